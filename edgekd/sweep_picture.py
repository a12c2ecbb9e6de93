"""A sweep as a picture: every variant's score against its latency and its size. SVG, which needs no library."""

from edgekd.page import frontier
from edgekd.page.frontier import Point
from edgekd.svg import label, tag
from edgekd.sweep_results import Objective, Outcome, Results

_STYLE = (
    "text{font:11px sans-serif;fill:#333}.grid{stroke:#e5e5e5}.front{fill:none;stroke:#888;stroke-dasharray:4 3}"
    ".dot{fill-opacity:.75;stroke:#fff}.k0{fill:#1f6fb4}.k1{fill:#b9c4cf}.lead{stroke:#999}.axis{font-weight:bold}"
)
_COSTS: dict[Objective, tuple[str, float]] = {"p50": ("p50 ms", 1e3), "size": ("MB", 1e-6)}
_FRONT, _BEATEN, _WIDE, _TOP, _NAMED = "on the front", "beaten", 450, 44, 40


def svg(results: Results) -> str:
    """A panel for each objective beside the score, or "" where fewer than two variants have both. A dot's number is
    the variant's; only those on the front have one where there are many.
    """
    front = {outcome.number for outcome in results.front}
    few = len(results.outcomes) <= _NAMED
    named = {str(outcome.number) for outcome in results.outcomes if few or outcome.number in front}
    panels = []
    for objective, (cost, factor) in _COSTS.items():
        if objective in results.objectives and "score" in results.objectives:
            found = [_point(outcome, objective, factor, outcome.number in front) for outcome in results.outcomes]
            points = [point for point in found if point is not None]
            panels.append(frontier.svg(points, cost, results.metric, (_FRONT, _BEATEN), named))
    panels = [panel for panel in panels if panel]
    if not panels:
        return ""
    for at, panel in enumerate(panels):
        place = f'<svg x="{at * _WIDE}" y="{_TOP}" width="{_WIDE}" height="330" '
        panels[at] = panel.replace("<svg ", place, 1)
    ground = tag("rect", width="100%", height="100%", fill="#fff")
    head = label(12, 20, f"{results.name}: {results.metric} of {results.measure}", font_weight="bold")
    told = label(12, 36, "a dot: a variant, by its number; blue: beaten by none in all objectives; area: size")
    whole = tag(
        "svg",
        "".join([tag("style", _STYLE), ground, head, told, *panels]),
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {_WIDE * len(panels)} {_TOP + 336}",
        width=_WIDE * len(panels),
    )
    return f"{whole}\n"


def _point(outcome: Outcome, objective: Objective, factor: float, best: bool) -> Point | None:
    score, cost = outcome.figure("score"), outcome.figure(objective)
    if score is None or cost is None:
        return None
    kind = _FRONT if best else _BEATEN
    return Point(str(outcome.number), kind, factor * cost, None, score, None, outcome.size or 1)
