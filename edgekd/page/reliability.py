"""A reliability diagram: whether what an artifact says of its answers is so."""

from edgekd.examination import Calibration
from edgekd.svg import Axis, label, line, tag, title

_SIDE, _LEFT, _BOTTOM, _TOP = 250, 46, 42, 10


def reliability(found: Calibration) -> str:
    """What is said against what is true: on the diagonal they agree. A dot's area is the rows that it stands for
    (DeGroot & Fienberg 1983).
    """
    values = [value for part in found.bins for value in (part.said, part.true)]
    low, high = min(values), max(values)
    if low >= 0 and high <= 1:
        low, high = min(low, 0.5), 1.0  # shares
    pad = 0.04 * (high - low) or 0.01
    x = Axis(low - pad, high + pad, _LEFT, _SIDE - 8)
    y = Axis(low - pad, high + pad, _SIDE - _BOTTOM, _TOP)
    drawn = []
    for value, spoken in x.marks():
        drawn.append(line(x(value), y.start, x(value), y.end, class_="grid"))
        drawn.append(line(x.start, y(value), x.end, y(value), class_="grid"))
        drawn.append(label(x(value), _SIDE - _BOTTOM + 15, spoken, class_="tick", text_anchor="middle"))
        drawn.append(label(x.start - 6, y(value) + 4, spoken, class_="tick", text_anchor="end"))
    drawn.append(line(x.start, y.start, x.end, y.end, class_="diagonal"))
    total = sum(part.rows for part in found.bins)
    for part in found.bins:
        drawn.append(line(x(part.said), y(part.said), x(part.said), y(part.true), class_="gap"))
        told = f"{part.rows} rows: {found.said} {part.said:.3g}, {found.true} {part.true:.3g}"
        radius = 3 + 13 * (part.rows / total) ** 0.5
        drawn.append(tag("circle", title(told), cx=x(part.said), cy=y(part.true), r=radius, class_="dot k0"))
    drawn.append(label((x.start + x.end) / 2, _SIDE - 6, found.said, class_="axis", text_anchor="middle"))
    turned = f"rotate(-90 11 {(y.start + y.end) / 2:.0f})"
    drawn.append(label(11, (y.start + y.end) / 2, found.true, class_="axis", text_anchor="middle", transform=turned))
    return tag(
        "svg",
        "".join(drawn),
        viewBox=f"0 0 {_SIDE} {_SIDE}",
        class_="plot reliability",
        role="img",
        aria_label=f"{found.true} against {found.said}",
    )
