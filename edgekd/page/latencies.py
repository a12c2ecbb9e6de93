"""How single inferences are spread, and whether they drifted while they were timed, from the raw samples."""

import math
from collections.abc import Sequence
from statistics import median

from edgekd.report import Latency
from edgekd.svg import Axis, label, line, points, tag, title

_ROW, _TOP, _PLOT, _LETTER = 34, 8, 290, 6.6  # pixels
_BINS, _BLOCK = 60, 20  # of the spread; samples whose median is a point of the drift
_BAND = 1.25  # the drift's axis runs from 1 / _BAND to _BAND, where a report begins to doubt

Named = Sequence[tuple[str, Latency]]


def spread(timed: Named) -> str:
    """A shape an artifact: how often each time was seen, with the median's interval and the 90th percentile."""
    samples = [second for _, latency in timed for second in latency.seconds]
    axis = Axis(1e3 * min(samples) / 1.05, 1e3 * _cut(timed) * 1.05, _left(timed), _left(timed) + _PLOT, log=True)
    drawn = []
    for number, (name, latency) in enumerate(timed):
        y = _TOP + _ROW * (number + 0.5)
        drawn.append(_name(timed, y, name))
        drawn.append(tag("polygon", points=points(_shape(latency, axis, y)), class_="shape"))
        if middle := latency.percentile(50):
            low, high = axis(1e3 * middle.low), axis(1e3 * middle.high)
            told = f"p50 {1e3 * middle.value:.3g} ms, 95 % {1e3 * middle.low:.3g} to {1e3 * middle.high:.3g}"
            tip = title(f"{name}: {told}")
            drawn.append(tag("rect", tip, x=low, y=y - 12, width=max(2.0, high - low), height=24, class_="median"))
        if high90 := latency.percentile(90):
            x = axis(1e3 * high90.value)
            drawn.append(line(x, y - 8, x, y + 8, class_="ninety"))
    return _figure(timed, axis, drawn, axis.marks(), "ms, one inference", "spread")


def drift(timed: Named) -> str:
    """A line a fresh process: medians of blocks of samples in the order they ran, against the artifact's median."""
    most = max(len(latency.seconds) for _, latency in timed)
    axis = Axis(0, most, _left(timed), _left(timed) + _PLOT)
    drawn = []
    for number, (name, latency) in enumerate(timed):
        y = _TOP + _ROW * (number + 0.5)
        ratio = Axis(1 / _BAND, _BAND, y + _ROW * 0.42, y - _ROW * 0.42, log=True)
        drawn.append(_name(timed, y, name))
        drawn.append(line(axis.start, y, axis.end, y, class_="grid"))
        middle, start = median(latency.seconds), 0
        for process in latency.processes:
            size = max(1, min(_BLOCK, len(process) // 4))
            blocks = range(0, len(process) - size + 1, size)
            path = [(axis(start + at + size / 2), ratio(median(process[at : at + size]) / middle)) for at in blocks]
            drawn.append(tag("polyline", points=points(path), class_="course"))
            start += len(process)
            if start < len(latency.seconds):
                drawn.append(line(axis(start), y - 14, axis(start), y + 14, class_="restart"))
    return _figure(timed, axis, drawn, axis.marks(), "inferences, in the order they ran", "drift")


def _cut(timed: Named) -> float:
    """The end of the axis, in seconds: a few outliers would squeeze all the rest."""
    return max(sorted(latency.seconds)[math.ceil(0.99 * len(latency.seconds)) - 1] for _, latency in timed)


def _shape(latency: Latency, axis: Axis, y: float) -> list[tuple[float, float]]:
    """The outline of a histogram in the axis's unit, mirrored; samples beyond the axis count in its last bin."""
    counts = [0] * _BINS
    width = (axis.end - axis.start) / _BINS
    for second in latency.seconds:
        counts[min(_BINS - 1, int((axis(1e3 * second) - axis.start) / width))] += 1
    seen = [number for number, count in enumerate(counts) if count]
    tall = max(counts)
    outline = [(axis.start + width * seen[0], 0.0)]
    outline += [(axis.start + width * (number + 0.5), counts[number] / tall) for number in range(seen[0], seen[-1] + 1)]
    outline.append((axis.start + width * (seen[-1] + 1), 0.0))
    half = _ROW * 0.42
    return [(x, y - half * part) for x, part in outline] + [(x, y + half * part) for x, part in reversed(outline)]


def _left(timed: Named) -> float:
    return 16 + _LETTER * max(len(name) for name, _ in timed)


def _name(timed: Named, y: float, name: str) -> str:
    return label(_left(timed) - 10, y + 4, name, class_="tick", text_anchor="end")


def _figure(
    timed: Named, axis: Axis, drawn: Sequence[str], marks: Sequence[tuple[float, str]], unit: str, kind: str
) -> str:
    bottom = _TOP + _ROW * len(timed)
    frame = []
    for value, spoken in marks:
        frame.append(line(axis(value), _TOP, axis(value), bottom, class_="grid"))
        frame.append(label(axis(value), bottom + 16, spoken, class_="tick", text_anchor="middle"))
    frame.append(label((axis.start + axis.end) / 2, bottom + 36, unit, class_="axis", text_anchor="middle"))
    return tag(
        "svg",
        "".join([*frame, *drawn]),
        viewBox=f"0 0 {axis.end + 20:.0f} {bottom + 44}",
        class_=f"plot {kind}",
        role="img",
        aria_label=unit,
    )
