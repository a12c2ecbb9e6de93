"""What layers or operators amount to, as bars, the largest first."""

from collections.abc import Container, Mapping, Sequence

from edgekd.svg import label, tag, title

_BAR, _BARS, _LETTER = 20, 200, 6.6  # pixels
_MOST, _KINDS, _LETTERS = 24, 8, 44  # layers that are shown, and kinds of operators, and how much of a name


def ranking(found: Sequence[tuple[str, float]], floats: Container[str]) -> str:
    """A bar a layer: what quantizing it alone does to the outputs; hollow where it was left in float."""
    return _bars(found, floats, "sensitivity of layers")


def operators(seconds: Mapping[str, float]) -> str:
    """A bar a kind of operator: the milliseconds of an inference that it takes."""
    return _bars([(name, 1e3 * spent) for name, spent in list(seconds.items())[:_KINDS]], (), "time by operator")


def _bars(found: Sequence[tuple[str, float]], floats: Container[str], what: str) -> str:
    shown = sorted(found, key=lambda entry: -entry[1])[:_MOST]
    left = 12 + _LETTER * max(len(_cut(name)) for name, _ in shown)
    most = max(change for _, change in shown) or 1.0
    drawn = []
    for number, (name, change) in enumerate(shown):
        y = 4 + _BAR * number
        told = f"{name}: {change:.4g}{', left in float' if name in floats else ''}"
        kind = "bar float" if name in floats else "bar"
        size = max(1.0, _BARS * change / most)
        drawn.append(label(left - 8, y + 14, _cut(name), class_="tick", text_anchor="end"))
        drawn.append(tag("rect", title(told), x=left, y=y + 3, width=size, height=_BAR - 6, class_=kind))
        drawn.append(label(left + size + 6, y + 14, f"{change:.3g}", class_="tick"))
    return tag(
        "svg",
        "".join(drawn),
        viewBox=f"0 0 {left + _BARS + 64:.0f} {8 + _BAR * len(shown)}",
        class_="plot ranking",
        role="img",
        aria_label=what,
    )


def _cut(name: str) -> str:
    """The end of a long name, which is what tells layers apart."""
    return name if len(name) <= _LETTERS else "..." + name[-_LETTERS:]
