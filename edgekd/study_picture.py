"""A study as a picture: a dot a seed, and each variant's mean with its interval. SVG, which needs no library."""

from collections.abc import Iterator, Sequence
from xml.sax.saxutils import escape

from edgekd.study_results import Results, Summary
from edgekd.svg import Axis, label, line

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
    across = _scale([score for summary in found for score in summary.scores.values()], left)
    width, bottom = left + _PLOT + 24, _TOP + _ROW * len(found)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {bottom + 62}" width="{width:.0f}" '
        f'font-family="sans-serif" font-size="12" fill="{_INK}" stroke-width="2">',
        '<rect width="100%" height="100%" fill="#fff"/>',
        label(12, 20, f"{results.name}: {results.metric} of {results.measure}", font_size=14),
        label(12, 38, "dot: a seed; bar: mean and its 95 % interval (arrow: it goes on); dashed: the base"),
    ]
    for value, spoken in across.marks():
        x = across(value)
        parts.append(line(x, _TOP, x, bottom, stroke="#eee", stroke_width=1))
        parts.append(label(x, bottom + 18, spoken, text_anchor="middle"))
    for summary in found:
        if summary.score and summary.variant == base:
            x = across(summary.score.value)
            parts.append(line(x, _TOP, x, bottom, stroke=_PALE, stroke_width=1, stroke_dasharray="4 3"))
    for number, summary in enumerate(found):
        y = _TOP + _ROW * (number + 0.5)
        weight = "bold" if summary.variant == base else "normal"
        parts.append(label(left - 12, y + 4, summary.variant, text_anchor="end", font_weight=weight))
        parts += _row(summary, y, across)
    parts.append(label(left + _PLOT / 2, bottom + 42, results.metric, text_anchor="middle"))
    return "\n".join([*parts, "</svg>", ""])


def _row(summary: Summary, y: float, across: Axis) -> Iterator[str]:
    """The interval with an arrow where it leaves the picture, the mean, and the dots."""
    mean = summary.score
    assert mean is not None
    if mean.low is not None and mean.high is not None:
        start, end = across(mean.low), across(mean.high)
        yield line(start, y, end, y, stroke=_INK)
        for x, outside, turn in ((start, mean.low < across.low, 5), (end, mean.high > across.high, -5)):
            drawn = f"{x + turn},{y - 4} {x},{y} {x + turn},{y + 4}" if outside else f"{x},{y - 4} {x},{y + 4}"
            yield f'<polyline points="{drawn}" fill="none" stroke="{_INK}"/>'
        yield line(across(mean.value), y - 7, across(mean.value), y + 7, stroke=_INK)
    for seed, score in sorted(summary.scores.items()):
        tip = escape(f"{summary.variant}, seed {seed}: {score:.4f}")
        yield (
            f'<circle cx="{across(score):.1f}" cy="{y}" r="4" fill="{_DOT}" fill-opacity="0.6">'
            f"<title>{tip}</title></circle>"
        )


def _scale(values: Sequence[float], left: float) -> Axis:
    """The axis, with half the scores' spread at each side."""
    spread = max(values) - min(values) or 0.01
    return Axis(min(values) - spread / 2, max(values) + spread / 2, left, left + _PLOT)
