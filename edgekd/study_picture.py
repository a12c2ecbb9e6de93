"""A study as a picture: a dot a seed, and each variant's mean with its interval. SVG, which needs no library."""

import math
from collections.abc import Callable, Iterator, Sequence
from xml.sax.saxutils import escape

from edgekd.study_results import Results, Summary

_ROW, _TOP, _PLOT, _LETTER = 26, 58, 460, 7  # pixels; the last a letter's mean width
_INK, _PALE, _DOT = "#222", "#bbb", "#1f6fb4"


def svg(results: Results) -> str:
    """The picture, the best mean at the top, or "" where nothing has a score. The dashed line is the base's mean."""
    found = [summary for summary in results.summaries() if summary.score]
    if not found:
        return ""
    base = results.variants[0]
    found.sort(key=lambda summary: -summary.score.value if summary.score else 0.0)
    left = 24 + _LETTER * max(len(summary.variant) for summary in found)
    low, high, step = _scale([score for summary in found for score in summary.scores.values()])
    width, bottom = left + _PLOT + 24, _TOP + _ROW * len(found)

    def across(value: float) -> float:
        return left + _PLOT * (min(max(value, low), high) - low) / (high - low)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {bottom + 62}" width="{width:.0f}" '
        'font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="#fff"/>',
        _label(12, 20, f"{results.name}: {results.metric} of {results.measure}", "start", 'font-size="14"'),
        _label(12, 38, "dot: a seed; bar: mean and its 95 % interval (arrow: it goes on); dashed: the base", "start"),
    ]
    for number in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1):
        x = across(number * step)
        parts.append(_line(x, _TOP, x, bottom, "#eee"))
        parts.append(_label(x, bottom + 18, f"{number * step:.{max(0, -math.floor(math.log10(step)))}f}"))
    parts += [
        _line(across(summary.score.value), _TOP, across(summary.score.value), bottom, _PALE, 'stroke-dasharray="4 3"')
        for summary in found
        if summary.score and summary.variant == base
    ]
    for number, summary in enumerate(found):
        y = _TOP + _ROW * (number + 0.5)
        weight = 'font-weight="bold"' if summary.variant == base else ""
        parts.append(_label(left - 12, y + 4, summary.variant, "end", weight))
        parts += _row(summary, y, low, high, across)
    parts.append(_label(left + _PLOT / 2, bottom + 42, results.metric))
    return "\n".join([*parts, "</svg>", ""])


def _row(summary: Summary, y: float, low: float, high: float, across: Callable[[float], float]) -> Iterator[str]:
    """The interval with an arrow where it leaves the picture, the mean, and the dots."""
    mean = summary.score
    assert mean is not None
    if mean.low is not None and mean.high is not None:
        start, end = across(mean.low), across(mean.high)
        yield _line(start, y, end, y, _INK, 'stroke-width="2"')
        for x, outside, turn in ((start, mean.low < low, 5), (end, mean.high > high, -5)):
            drawn = f"{x + turn},{y - 4} {x},{y} {x + turn},{y + 4}" if outside else f"{x},{y - 4} {x},{y + 4}"
            yield f'<polyline points="{drawn}" fill="none" stroke="{_INK}" stroke-width="2"/>'
        yield _line(across(mean.value), y - 7, across(mean.value), y + 7, _INK, 'stroke-width="2"')
    for seed, score in sorted(summary.scores.items()):
        tip = escape(f"{summary.variant}, seed {seed}: {score:.4f}")
        yield (
            f'<circle cx="{across(score):.1f}" cy="{y}" r="4" fill="{_DOT}" fill-opacity="0.6">'
            f"<title>{tip}</title></circle>"
        )


def _scale(values: Sequence[float]) -> tuple[float, float, float]:
    """Ends of the axis, with half the scores' spread at each side, and a step of 1, 2 or 5 times a power of ten."""
    spread = max(values) - min(values) or 0.01
    low, high = min(values) - spread / 2, max(values) + spread / 2
    power = 10.0 ** math.floor(math.log10((high - low) / 4))
    step = max(factor * power for factor in (1, 2, 5) if factor * power <= (high - low) / 4)
    return low, high, step


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, more: str = "") -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" {more}/>'


def _label(x: float, y: float, text: str, anchor: str = "middle", more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{_INK}" {more}>{escape(text)}</text>'
