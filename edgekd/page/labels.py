"""Names of dots, each where it covers no dot and no other name."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from edgekd.svg import label, line

_LETTER, _HIGH = 6.4, 13.0  # pixels: a letter's mean width and a name's height
_GAP, _STEP, _FURTHEST = 4, 7, 200


@dataclass(frozen=True)
class Dot:
    name: str
    x: float
    y: float
    radius: float


@dataclass(frozen=True)
class _Box:
    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: "_Box") -> bool:
        across = self.left < other.right and other.left < self.right
        return across and self.top < other.bottom and other.top < self.bottom


def names(dots: Sequence[Dot], left: float, right: float) -> Iterator[str]:
    """In the order given, which is who chooses first: beside its dot, above or below, or further off with a line to it;
    between `left` and `right`.
    """
    taken = [_Box(dot.x - dot.radius, dot.y - dot.radius, dot.x + dot.radius, dot.y + dot.radius) for dot in dots]
    for dot in dots:
        inside = [box for box in _offers(dot) if box.left > left and box.right < right and box.top > 0]
        free = (box for box in inside if not any(box.meets(other) for other in taken))
        box = next(free, next(_offers(dot)))
        taken.append(box)
        if abs(box.top + _HIGH / 2 - dot.y) > dot.radius + 2 * _HIGH:
            yield line(dot.x, dot.y, box.left if box.left > dot.x else box.right, box.top + _HIGH / 2, class_="leader")
        yield label(box.left, box.top + 10, dot.name, class_="tick halo")


def _offers(dot: Dot) -> Iterator[_Box]:
    """Where a name may stand, best first."""
    size = _LETTER * len(dot.name)
    off, half = dot.radius + _GAP, _HIGH / 2
    places = [(off, -half), (-size / 2, -off - _HIGH), (-size / 2, off), (-off - size, -half)]
    places += [
        (aside, side * down - half)
        for down in range(2 * _STEP, _FURTHEST, _STEP)
        for side in (1, -1)
        for aside in (off, -off - size)
    ]
    for right, down in places:
        left, top = dot.x + right, dot.y + down
        yield _Box(left, top, left + size, top + _HIGH)
