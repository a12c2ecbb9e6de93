"""Losses over a training, a picture a phase, from what the trainer left behind."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from edgekd.svg import Axis, label, line, points, tag, title

_WIDE, _HIGH = 330, 200
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 12, 12, 40
_NO_TERM = {"phase", "epoch", "loss", "course"}
_SPAN = 20  # times the least loss, from which the axis is logarithmic


def phases(training: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str, list[tuple[str, float, float]]]]:
    """Of each phase its name, its picture, and of its loss and of each term the first and the last epoch's mean."""
    for name, grouped in groupby(training, key=lambda record: record["phase"]):
        records = list(grouped)
        terms = [term for term in records[0] if term not in _NO_TERM]
        shown = ["loss", *(terms if len(terms) > 1 else ())]
        yield name, _svg(records), [(term, records[0][term], records[-1][term]) for term in shown]


def _svg(records: Sequence[Mapping[str, Any]]) -> str:
    """The loss of parts of an epoch as a line, the epochs' means as dots."""
    course = [
        (record["epoch"] - 1 + (part + 0.5) / len(record["course"]), loss)
        for record in records
        if "course" in record
        for part, loss in enumerate(record["course"])
    ]
    # The mean of an epoch stands in its middle, where the line has about that value.
    means = [(record["epoch"] - 0.5, record["loss"]) for record in records]
    losses = [loss for _, loss in [*course, *means]]
    x = Axis(0, max(record["epoch"] for record in records), _LEFT, _WIDE - _RIGHT)
    y = _axis(min(losses), max(losses))
    drawn = []
    for value, spoken in y.marks(3):
        drawn.append(line(_LEFT, y(value), _WIDE - _RIGHT, y(value), class_="grid"))
        drawn.append(label(_LEFT - 6, y(value) + 4, spoken, class_="tick", text_anchor="end"))
    for value, spoken in x.marks():
        if value == int(value):
            drawn.append(
                label(x(value), _HIGH - _BOTTOM + 16, spoken.split(".")[0], class_="tick", text_anchor="middle")
            )
    drawn.append(label((x.start + x.end) / 2, _HIGH - 6, "epochs", class_="axis", text_anchor="middle"))
    drawn.append(tag("polyline", points=points((x(at), y(loss)) for at, loss in course or means), class_="course"))
    drawn += [
        tag("circle", title(f"epoch {at + 0.5:.0f}: {loss:.4g}"), cx=x(at), cy=y(loss), r=3.5, class_="mean")
        for at, loss in means
    ]
    return tag(
        "svg", "".join(drawn), viewBox=f"0 0 {_WIDE} {_HIGH}", class_="plot curve", role="img", aria_label="loss"
    )


def _axis(low: float, high: float) -> Axis:
    if low > 0 and high / low > _SPAN:
        return Axis(low / 1.2, high * 1.2, _HIGH - _BOTTOM, _TOP, log=True)
    pad = 0.08 * (high - low) or 0.01
    return Axis(low - pad, high + pad, _HIGH - _BOTTOM, _TOP)
