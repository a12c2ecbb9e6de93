"""Pictures as text: SVG elements and axes. A browser draws them, so no library is needed and nothing is loaded."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr


def tag(name: str, content: str = "", /, **attributes: object) -> str:
    """An element. `content` is markup. An attribute's last underscore is taken off, others are hyphens."""
    told = "".join(
        f" {key.rstrip('_').replace('_', '-')}={quoteattr(_spoken(value))}" for key, value in attributes.items()
    )
    return f"<{name}{told}>{content}</{name}>" if content else f"<{name}{told}/>"


def label(x: float, y: float, words: str, **attributes: object) -> str:
    """Words at a place, escaped."""
    return tag("text", escape(words), x=x, y=y, **attributes)


def title(words: str) -> str:
    """What a pointer that rests on an element is told, escaped."""
    return tag("title", escape(words))


def line(x1: float, y1: float, x2: float, y2: float, **attributes: object) -> str:
    return tag("line", x1=x1, y1=y1, x2=x2, y2=y2, **attributes)


def points(places: Iterable[tuple[float, float]]) -> str:
    """The `points` of a polyline or polygon."""
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in places)


def step(low: float, high: float, count: int = 4) -> float:
    """The distance of about `count` marks between two values: 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10((high - low) / count))
    return max(factor * power for factor in (1, 2, 5) if factor * power <= (high - low) / count)


@dataclass(frozen=True)
class Axis:
    """Values to pixels. `start` and `end` are where `low` and `high` lie; `log` for values over some octaves."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """Where a value lies; one outside lies at the end."""
        value = min(max(value, self.low), self.high)
        if self.log:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def marks(self, count: int = 4) -> list[tuple[float, str]]:
        """Round values inside, with how they are written."""
        if self.log:
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            found = [factor * 10.0**power for power in powers for factor in (1, 2, 5)]
            inside = [value for value in found if self.low <= value <= self.high]
            if len(inside) >= 2:
                return [(value, f"{value:.6g}") for value in inside]
        size = step(self.low, self.high, count)
        digits = max(0, -math.floor(math.log10(size)))
        first, last = math.ceil(self.low / size - 1e-9), math.floor(self.high / size + 1e-9)
        return [(number * size, f"{number * size:.{digits}f}") for number in range(first, last + 1)]


def _spoken(value: object) -> str:
    return f"{value:.1f}" if isinstance(value, float) else str(value)
