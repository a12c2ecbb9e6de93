"""What a study would run, in which order, and what its runs share. Loads neither torch nor a runtime."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgekd.plan import Planned, plan
from edgekd.recipe import Recipe
from edgekd.store import Store
from edgekd.study import Study, Variant


@dataclass(frozen=True)
class Trial:
    """One variant with one seed, and its steps' keys."""

    variant: Variant
    seed: int
    planned: Sequence[Planned]

    @property
    def recipe(self) -> Recipe:
        return self.variant.recipes[self.seed]

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(item.key for item in self.planned)

    def key(self, step: str) -> str:
        return next(item.key for item in self.planned if item.step.id == step)


def trials(study: Study, store: Store, runs: Path) -> list[Trial]:
    """What a study runs, in its order: seed after seed, so that an early end leaves whole columns, but what shares a
    beginning stays together.
    """
    found = [
        Trial(variant, seed, plan(variant.recipes[seed], store, runs / study.name))
        for seed in study.options.seeds
        for variant in study.variants
    ]
    first: dict[str, int] = {}
    for trial in found:
        for key in trial.keys:
            first.setdefault(key, len(first))
    return sorted(found, key=lambda trial: [first[key] for key in trial.keys])


def outlook(ordered: Sequence[Trial]) -> Iterator[str]:
    """A line a trial: which of its steps are cached, shared with an earlier trial, or to make."""
    seen: set[str] = set()
    for number, trial in enumerate(ordered, start=1):
        states = [
            f"{item.step.id} {'cached' if item.cached else 'shared' if item.key in seen else 'to make'}"
            for item in trial.planned
        ]
        seen |= set(trial.keys)
        yield f"[{number}/{len(ordered)}] {trial.variant.name}, seed {trial.seed}: {', '.join(states)}"
