"""What a study found, as values: every run is kept, every statistic is derived from them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Outcome:
    """One run of one variant. `key` is the measured artifact's; `seconds` to make it, None where it was there already.

    `score` is None where the run did not come so far: then `refused` or `failed` says why. A refused artifact may have
    a score, and it counts: to leave out what a gate refuses would flatter the mean.
    """

    variant: str
    labels: Mapping[str, str]
    seed: int
    key: str
    score: float | None = None
    against: float | None = None
    seconds: float | None = None
    refused: str = ""
    failed: str = ""

    @property
    def share(self) -> float | None:
        """Of the score of the step it is held against; a share of nothing, or of less, is not stated."""
        return self.score / self.against if self.score is not None and self.against and self.against > 0 else None


@dataclass(frozen=True)
class Mean:
    """A mean of `count` values with Student's t interval.

    There is none of one value, nor of values that are all equal: that they never vary is more than they can tell.
    """

    value: float
    count: int
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Summary:
    """A variant over its seeds. `difference` is to the base, of pairs with equal seeds."""

    variant: str
    scores: Mapping[int, float]  # by seed
    score: Mean | None
    difference: Mean | None
    share: Mean | None
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Results:
    """The runs of a study so far, of `runs` in all, and what they have in common."""

    name: str
    when: str
    edgekd: str
    recipe: str
    data: Mapping[str, Any]
    metric: str
    overrides: tuple[str, ...]
    measure: str
    against: str | None
    seeds: tuple[int, ...]
    seeded: tuple[str, ...]
    base: Mapping[str, str]  # label by axis
    variants: tuple[str, ...]
    outcomes: tuple[Outcome, ...]

    @property
    def runs(self) -> int:
        return len(self.variants) * len(self.seeds)

    def summaries(self) -> list[Summary]:
        """Every variant, the base first."""
        base = _scores(self.of(self.variants[0]))
        return [self._summary(variant, base) for variant in self.variants]

    def of(self, variant: str) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.variant == variant]

    def _summary(self, variant: str, base: Mapping[int, float]) -> Summary:
        outcomes = self.of(variant)
        scores = _scores(outcomes)
        paired = [] if variant == self.variants[0] else [scores[seed] - base[seed] for seed in scores if seed in base]
        shares = [outcome.share for outcome in outcomes if outcome.share is not None]
        return Summary(variant, scores, mean(list(scores.values())), mean(paired), mean(shares), self._notes(outcomes))

    def _notes(self, outcomes: Sequence[Outcome]) -> tuple[str, ...]:
        told: dict[str, list[int]] = {}
        for outcome in outcomes:
            if reason := f"failed: {outcome.failed}" if outcome.failed else outcome.refused:
                told.setdefault(reason, []).append(outcome.seed)
        notes = [f"seed {', '.join(map(str, sorted(seeds)))}: {reason}" for reason, seeds in told.items()]
        keys = {outcome.key for outcome in outcomes}
        for other in self.variants[: self.variants.index(outcomes[0].variant)] if outcomes else ():
            if keys & {outcome.key for outcome in self.of(other)}:
                return (f"the same artifacts as '{other}'", *notes)
        return tuple(notes)


def mean(values: Sequence[float]) -> Mean | None:
    """The mean with its interval, value +- t s / sqrt(n); None of no values."""
    count = len(values)
    if not count:
        return None
    middle = math.fsum(values) / count
    if min(values) == max(values):
        return Mean(middle, count, None, None)
    from scipy.stats import t

    deviation = math.sqrt(math.fsum((value - middle) ** 2 for value in values) / (count - 1))
    half = float(t.ppf((1 + CONFIDENCE) / 2, count - 1)) * deviation / math.sqrt(count)
    return Mean(middle, count, middle - half, middle + half)


def _scores(outcomes: Sequence[Outcome]) -> dict[int, float]:
    return {outcome.seed: outcome.score for outcome in outcomes if outcome.score is not None}
