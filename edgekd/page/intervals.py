"""Changes with their intervals, a line each, against the line of no change."""

from collections.abc import Sequence
from dataclasses import dataclass

from edgekd.svg import Axis, label, line, tag, title

_ROW, _TOP, _PLOT, _LETTER = 26, 10, 230, 6.4  # pixels


@dataclass(frozen=True)
class Change:
    name: str
    value: float
    low: float
    high: float


def svg(found: Sequence[Change], none: float, unit: str, limit: float | None = None, log: bool = False) -> str:
    """The picture, or "" of nothing. `none` is where nothing has changed; `limit` a line that was not to be passed."""
    if not found:
        return ""
    values = [none, *([limit] if limit is not None else []), *(end for one in found for end in (one.low, one.high))]
    left = 16 + _LETTER * max(len(one.name) for one in found)
    low, high = min(values), max(values)
    pad = 0.05 * (high - low) or 0.01
    axis = (
        Axis(low / 1.05, high * 1.05, left, left + _PLOT, log=True)
        if log
        else Axis(low - pad, high + pad, left, left + _PLOT)
    )
    bottom = _TOP + _ROW * len(found)
    drawn = []
    for value, spoken in axis.marks():
        drawn.append(line(axis(value), _TOP, axis(value), bottom, class_="grid"))
        drawn.append(label(axis(value), bottom + 16, spoken, class_="tick", text_anchor="middle"))
    drawn.append(line(axis(none), _TOP, axis(none), bottom, class_="diagonal"))
    if limit is not None:
        drawn.append(line(axis(limit), _TOP, axis(limit), bottom, class_="limit"))
    for number, one in enumerate(found):
        y = _TOP + _ROW * (number + 0.5)
        tip = title(f"{one.name}: {one.value:.4g}, 95 % {one.low:.4g} to {one.high:.4g}")
        drawn.append(label(left - 10, y + 4, one.name, class_="tick", text_anchor="end"))
        drawn.append(line(axis(one.low), y, axis(one.high), y, class_="span"))
        drawn.append(tag("circle", tip, cx=axis(one.value), cy=y, r=5, class_="dot k0"))
    drawn.append(label((axis.start + axis.end) / 2, bottom + 36, unit, class_="axis", text_anchor="middle"))
    return tag(
        "svg",
        "".join(drawn),
        viewBox=f"0 0 {axis.end + 20:.0f} {bottom + 44}",
        class_="plot intervals",
        role="img",
        aria_label=unit,
    )
