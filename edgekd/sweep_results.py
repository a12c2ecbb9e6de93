"""What a sweep found, as values: figures of every variant, what was shared, and where each step was made."""

import json
import operator
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

Objective = Literal["score", "p50", "size"]

BETTER: Mapping[Objective, int] = {"score": 1, "p50": -1, "size": -1}  # whether more or less is better


@dataclass(frozen=True)
class Outcome:
    """One variant: the measured artifact's score, its median single inference in seconds on `device`, its size in
    bytes. None where it did not come so far: `refused` or `failed` says why.
    """

    number: int
    values: Mapping[str, Any]
    key: str
    score: float | None = None
    p50: float | None = None
    device: str = ""
    size: int | None = None
    refused: str = ""
    failed: str = ""

    def figure(self, objective: Objective) -> float | None:
        """None of what is refused, too: nothing that may not be served is on a front."""
        found: float | None = getattr(self, objective)
        return None if self.refused or self.failed else found


@dataclass(frozen=True)
class Results:
    """The variants so far, of `variants` in all.

    `steps` are those of all variants together, `distinct` the different ones among them, `cached` of these were there
    before; `made` is where, and in how many seconds, each of the others was made, by step and key.
    """

    name: str
    when: str
    edgekd: str
    recipe: str
    metric: str
    measure: str
    objectives: tuple[Objective, ...]
    variants: int
    data: Mapping[str, Any]
    overrides: tuple[str, ...]
    executor: str
    steps: int
    distinct: int
    cached: int
    outcomes: tuple[Outcome, ...]
    made: tuple[Mapping[str, Any], ...] = ()
    importance: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @cached_property
    def front(self) -> list[Outcome]:
        """The variants that none beats in every objective (Pareto), by number."""
        whole: dict[tuple[float, ...], list[Outcome]] = {}  # by gains, so that more is better in each
        for one in self.outcomes:
            figures = [one.figure(name) for name in self.objectives]
            if None not in figures:
                named = zip(self.objectives, figures, strict=True)
                whole.setdefault(tuple(BETTER[name] * (figure or 0.0) for name, figure in named), []).append(one)
        found: list[tuple[float, ...]] = []
        # Who comes first is beaten by none that comes later, so that those found are all there is to compare with.
        for gains in sorted(whole, reverse=True):
            if not any(all(map(operator.ge, other, gains)) for other in found):
                found.append(gains)
        return sorted((one for gains in found for one in whole[gains]), key=lambda one: one.number)


def spoken(value: Any) -> str:
    """A swept field's value, in a table."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def importance(outcomes: Sequence[Outcome], objective: Objective) -> dict[str, float]:
    """Of each swept field, the share of the objective's variance that lies between its values' means (eta squared), the
    largest first; nothing where it does not vary. On a whole grid the shares of fields that act alone add up to 1.
    """
    known = [(one.values, figure) for one in outcomes if (figure := one.figure(objective)) is not None]
    if len(known) < 2:
        return {}
    figures = [figure for _, figure in known]
    whole = statistics.pvariance(figures)
    if whole <= 0:
        return {}
    middle = statistics.fmean(figures)
    found = {}
    for name in known[0][0]:
        groups = list(_groups(known, name).values())
        between = sum(len(group) * (statistics.fmean(group) - middle) ** 2 for group in groups) / len(figures)
        found[name] = between / whole
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def _groups(known: Sequence[tuple[Mapping[str, Any], float]], name: str) -> dict[str, list[float]]:
    groups: dict[str, list[float]] = {}
    for values, figure in known:
        groups.setdefault(spoken(values[name]), []).append(figure)
    return groups


def places(made: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, int, float]]:
    """Each machine and node, how many steps it made, and their seconds."""
    found: dict[str, list[float]] = {}
    for one in made:
        host, _, rest = str(one["where"]).partition(" ")
        node = rest.partition(", ")[2]
        found.setdefault(", ".join(filter(None, [host, node])), []).append(float(one["seconds"]))
    for place, seconds in sorted(found.items()):
        yield place, len(seconds), sum(seconds)
