"""Accuracy against what it costs: every artifact with its intervals, and the line of those that none beats."""

import math
from collections.abc import Container, Sequence
from dataclasses import dataclass
from itertools import pairwise

from edgekd.page.labels import Dot, names
from edgekd.report_rows import Row
from edgekd.svg import Axis, label, line, points, tag, title

_WIDE, _HIGH = 450, 330
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 18, 14, 46


@dataclass(frozen=True)
class Point:
    """An artifact: what it costs and its score, with their intervals; `size` in bytes is the area of its dot."""

    name: str
    kind: str
    cost: float
    costs: tuple[float, float] | None
    score: float
    scores: tuple[float, float] | None
    size: int


def of_size(rows: Sequence[Row]) -> list[Point]:
    """Megabytes of the model's files; an artifact counts once."""
    found = {row.step: row for row in rows if row.score is not None}
    return [_point(row, row.model_size / 1e6, None) for row in found.values()]


def of_latency(rows: Sequence[Row], device: str, threads: int) -> list[Point]:
    """Milliseconds of a median single inference on a device."""
    return [
        _point(row, 1e3 * row.p50, (1e3 * row.p50_low, 1e3 * row.p50_high))
        for row in rows
        if (row.device, row.threads) == (device, threads)
        and row.score is not None
        and row.p50 is not None
        and row.p50_low is not None
        and row.p50_high is not None
    ]


def unbeaten(found: Sequence[Point]) -> list[Point]:
    """The Pareto front, by cost: no other artifact is both cheaper and better."""
    front: list[Point] = []
    for point in sorted(found, key=lambda point: (point.cost, -point.score)):
        if not front or point.score > front[-1].score:
            front.append(point)
    return front


def svg(
    found: Sequence[Point], cost: str, metric: str, kinds: Sequence[str], named: Container[str] | None = None
) -> str:
    """The plot, or "" where fewer than two artifacts have both figures. A kind's colour is its place in `kinds`. Names
    stand beside all dots, or those `named`.
    """
    if len(found) < 2:
        return ""
    x, y = _axes(found)
    drawn = [*_frame(x, y, cost, metric)]
    front = [(x(point.cost), y(point.score)) for point in unbeaten(found)]
    stairs = [
        front[0],
        *(place for (_, before), now in pairwise(front) for place in ((now[0], before), now)),
    ]
    drawn.append(tag("polyline", points=points([*stairs, (x.end, front[-1][1])]), class_="front"))
    largest = max(point.size for point in found)
    for point in found:
        drawn += _whiskers(point, x, y)
    ordered = sorted(found, key=lambda point: (-point.score, point.cost))
    for point in sorted(found, key=lambda point: -point.size):
        told = f"{point.name}: {metric} {point.score:.4f}, {point.cost:.3g} {cost}, {point.size / 1e6:.1f} MB"
        drawn.append(
            tag(
                "circle",
                title(told),
                cx=x(point.cost),
                cy=y(point.score),
                r=_radius(point, largest),
                class_=f"dot k{kinds.index(point.kind)}",
            )
        )
    dots = [
        Dot(point.name, x(point.cost), y(point.score), _radius(point, largest))
        for point in ordered
        if named is None or point.name in named
    ]
    drawn += names(dots, _LEFT, _WIDE)
    return tag(
        "svg",
        "".join(drawn),
        viewBox=f"0 0 {_WIDE} {_HIGH}",
        class_="plot frontier",
        role="img",
        aria_label=f"{metric} against {cost}",
    )


def _point(row: Row, cost: float, costs: tuple[float, float] | None) -> Point:
    assert row.score is not None
    scores = None if row.score_low is None or row.score_high is None else (row.score_low, row.score_high)
    return Point(row.step, row.format, cost, costs, row.score, scores, row.model_size)


def _axes(found: Sequence[Point]) -> tuple[Axis, Axis]:
    costs = [value for point in found for value in (point.cost, *(point.costs or ()))]
    scores = [value for point in found for value in (point.score, *(point.scores or ()))]
    pad = 0.06 * (max(scores) - min(scores)) or 0.01
    return (
        Axis(min(costs) / 1.25, max(costs) * 1.25, _LEFT, _WIDE - _RIGHT, log=True),
        Axis(min(scores) - pad, max(scores) + pad, _HIGH - _BOTTOM, _TOP),
    )


def _frame(x: Axis, y: Axis, cost: str, metric: str) -> list[str]:
    drawn = []
    for value, spoken in x.marks():
        drawn.append(line(x(value), _TOP, x(value), _HIGH - _BOTTOM, class_="grid"))
        drawn.append(label(x(value), _HIGH - _BOTTOM + 16, spoken, class_="tick", text_anchor="middle"))
    for value, spoken in y.marks():
        drawn.append(line(_LEFT, y(value), _WIDE - _RIGHT, y(value), class_="grid"))
        drawn.append(label(_LEFT - 8, y(value) + 4, spoken, class_="tick", text_anchor="end"))
    drawn.append(label((x.start + x.end) / 2, _HIGH - 8, cost, class_="axis", text_anchor="middle"))
    middle = (y.start + y.end) / 2
    turned = f"rotate(-90 12 {middle:.0f})"
    drawn.append(label(12, middle, metric, class_="axis", text_anchor="middle", transform=turned))
    return drawn


def _whiskers(point: Point, x: Axis, y: Axis) -> list[str]:
    drawn = []
    if point.costs:
        low, high = map(x, point.costs)
        drawn.append(line(low, y(point.score), high, y(point.score), class_="whisker"))
    if point.scores:
        low, high = map(y, point.scores)
        drawn.append(line(x(point.cost), low, x(point.cost), high, class_="whisker"))
    return drawn


def _radius(point: Point, largest: int) -> float:
    return 4 + 7 * math.sqrt(point.size / largest)
