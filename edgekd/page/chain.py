"""The chain as a picture: each artifact under what it was made from."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from edgekd.report import StepReport
from edgekd.svg import label, tag

_LETTER, _SMALL, _HIGH = 7.6, 6.0, 62  # pixels: mean widths of a bold letter and a small one, a box's height
_ACROSS, _DOWN, _INDENT = 44, 14, 22


@dataclass(frozen=True)
class _Place:
    step: StepReport
    depth: int
    row: int


def wide(steps: Sequence[StepReport]) -> str:
    """From left to right, a column for each step away from the start; for a screen."""
    places = {place.step.step: place for place in _tree(steps, shared=True)}
    across = 28 + max(max(_LETTER * len(step.step), _SMALL * len(_made(step)), 120) for step in steps)
    pitch, height = across + _ACROSS, _HIGH + _DOWN
    corner = {name: (2 + place.depth * pitch, 2 + place.row * float(height)) for name, place in places.items()}
    drawn = []
    for step in steps:
        x, y = corner[step.step]
        for giver in _givers(step, places):
            fx, fy = corner[giver][0] + across, corner[giver][1] + _HIGH / 2
            middle, end = (fx + x) / 2, y + _HIGH / 2
            path = f"M{fx:.0f},{fy:.0f} C{middle:.0f},{fy:.0f} {middle:.0f},{end:.0f} {x:.0f},{end:.0f}"
            drawn.append(_arrow(path, "wide", giver != step.source))
    drawn += [_box(step, *corner[step.step], across) for step in steps]
    width = 4 + max(place.depth for place in places.values()) * pitch + across
    return _picture(drawn, width, 4 + max(place.row for place in places.values()) * height + _HIGH, "wide")


def narrow(steps: Sequence[StepReport]) -> str:
    """From top to bottom, indented; for a phone."""
    places = {place.step.step: place for place in _tree(steps, shared=False)}
    width, height = 350.0, _HIGH + _DOWN
    corner = {name: (2 + place.depth * float(_INDENT), 2 + place.row * float(height)) for name, place in places.items()}
    drawn = []
    for step in steps:
        x, y = corner[step.step]
        if step.source in corner:
            fx, fy = corner[step.source][0] + 10, corner[step.source][1] + _HIGH
            drawn.append(_arrow(f"M{fx:.0f},{fy:.0f} V{y + _HIGH / 2:.0f} H{x:.0f}", "narrow"))
    drawn += [_box(step, *corner[step.step], width - corner[step.step][0] - 2) for step in steps]
    return _picture(drawn, width, 4 + (len(steps) - 1) * height + _HIGH, "narrow")


def _tree(steps: Sequence[StepReport], shared: bool) -> Iterator[_Place]:
    """Each step after its source. `shared`: the first step made from one lies on its row."""
    known = {step.step for step in steps}
    row = 0

    def place(step: StepReport, depth: int) -> Iterator[_Place]:
        nonlocal row
        yield _Place(step, depth, row)
        for number, made in enumerate(other for other in steps if other.source == step.step):
            row += 1 if number or not shared else 0
            yield from place(made, depth + 1)

    for number, root in enumerate(step for step in steps if step.source not in known):
        row += 1 if number else 0
        yield from place(root, 0)


def _givers(step: StepReport, known: Iterable[str]) -> list[str]:
    return [name for name in (step.source, *step.others) if name in set(known)]


def _arrow(path: str, where: str, aside: bool = False) -> str:
    return tag("path", d=path, class_="edge aside" if aside else "edge", marker_end=f"url(#tip-{where})")


def _box(step: StepReport, x: float, y: float, width: float) -> str:
    score = f"{step.score.value:.4f}" if step.score else "not scored"
    state = "box refused" if not step.passed else "box"
    return tag(
        "g",
        tag("rect", x=x, y=y, width=width, height=_HIGH, rx=8, class_=state)
        + label(x + 12, y + 20, step.step, class_="name")
        + label(x + 12, y + 37, _made(step), class_="small")
        + label(x + 12, y + 53, f"{score} · {step.model_size / 1e6:.1f} MB", class_="small"),
    )


def _made(step: StepReport) -> str:
    made = "cached" if step.cached else f"{step.seconds:.0f} s"
    return f"{step.stage}, {made}" if step.passed else f"{step.stage}, refused"


def _picture(drawn: Sequence[str], width: float, height: float, name: str) -> str:
    tip = tag(
        "marker",
        tag("path", d="M0,0 L7,3.5 L0,7", class_="tip"),
        id=f"tip-{name}",
        viewBox="0 0 7 7",
        refX=7,
        refY=3.5,
        markerWidth=7,
        markerHeight=7,
        orient="auto",
    )
    return tag(
        "svg",
        tag("defs", tip) + "".join(drawn),
        viewBox=f"0 0 {width:.0f} {height:.0f}",
        width=round(width),
        class_=f"chain {name}",
        role="img",
        aria_label="What was made from what",
    )
