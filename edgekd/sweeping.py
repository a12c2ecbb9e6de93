"""Runs a sweep: what its variants need is made once, anywhere; what they measure is measured here, one at a time."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from edgekd import __version__, pipeline, sweep_files
from edgekd.data import Data
from edgekd.errors import EdgekdError
from edgekd.executor import Executor, Made
from edgekd.launching import Command
from edgekd.recipe import Recipe, Variants
from edgekd.store import Store, remove_drafts
from edgekd.sweep import Sweep, Variant
from edgekd.sweep_plan import Node, Plan, Planner
from edgekd.sweep_results import Objective, Outcome, Results, importance
from edgekd.watcher import Silent, Watcher

_EVERY_S = 5.0  # all outcomes are written each time: after every one of ten thousand that would be the most of the work


class Runner:
    """Runs variants of one sweep, in one go or more, and writes what is known as it goes."""

    def __init__(
        self,
        sweep: Sweep,
        store: Store,
        runs: Path,
        executor: Executor,
        objectives: tuple[Objective, ...],
        variants: int,
        watcher: Watcher,
        launch: str = "",
    ) -> None:
        """`launch` is the command by which trainings take several processes, wherever they run."""
        self.sweep, self.store, self.runs = sweep, store, runs
        self.executor, self.objectives, self.watcher = executor, objectives, watcher
        self._launch = launch
        self._planner, self._recipes = Planner(sweep, store), Variants(sweep.path, sweep.online)
        self._variants, self._keys, self._cached = variants, set[str](), set[str]()
        self._steps, self._made = 0, list[dict[str, Any]]()
        self._data = Data(sweep.base.data, sweep.base.seed)
        self.outcomes: list[Outcome] = []
        self._written = 0.0

    @property
    def folder(self) -> Path:
        return self.runs / self.sweep.name

    def run(self, variants: Sequence[Variant]) -> list[Outcome]:
        """Make, then measure, these variants. A variant that is refused or fails is told of, and the others go on.

        Raises EdgekdError where one of them makes no recipe, or the executor cannot work.
        """
        remove_drafts(self.folder)
        plan = self._planner(variants)
        self._count(plan)
        self.watcher.say(told(plan, len(variants)))
        bad = self._make(plan)
        found = []
        for number, variant in enumerate(variants, start=1):
            self.watcher.say(f"[{number}/{len(variants)}] {variant.number}: {variant.name}")
            outcome = self._outcome(variant, plan, bad)
            found.append(outcome)
            self.outcomes.append(outcome)
            if time.monotonic() - self._written > _EVERY_S:
                self.write()
        self.write()
        return found

    def write(self, weights: dict[str, dict[str, float]] | None = None) -> Results:
        """runs/NAME/sweep.json, sweep.md and sweep.svg; `weights`: of fields, where something better tells them."""
        results = self.results(weights)
        sweep_files.write(results, self.folder)
        self._written = time.monotonic()
        return results

    def results(self, weights: dict[str, dict[str, float]] | None = None) -> Results:
        base, data = self.sweep.base, self._data
        return Results(
            name=self.sweep.name,
            when=datetime.now(UTC).isoformat(timespec="seconds"),
            edgekd=__version__,
            recipe=base.name,
            metric=data.metric,
            measure=self.sweep.measure,
            objectives=self.objectives,
            variants=self._variants,
            data=data.fingerprint,
            overrides=base.overrides,
            executor=type(self.executor).__module__.rpartition(".")[2],
            steps=self._steps,
            distinct=len(self._keys),
            cached=len(self._cached),
            outcomes=tuple(self.outcomes),
            made=tuple(self._made),
            importance=weights or {name: importance(self.outcomes, name) for name in self.objectives},
        )

    def _count(self, plan: Plan) -> None:
        self._steps += plan.asked
        new = {node.key for node in plan.nodes}
        self._cached |= plan.cached - self._keys
        self._keys |= plan.cached | new

    def _make(self, plan: Plan) -> dict[str, Made]:
        """Make what is to be made; what was refused or failed, by key."""
        bad: dict[str, Made] = {}
        by_key = {node.key: node for node in plan.nodes}
        for count, made in enumerate(self.executor.run(plan.nodes, self._ask, self.watcher.say), start=1):
            node = by_key[made.key]
            self._made.append({"step": node.step, **asdict(made)})
            if not made.usable:
                bad[made.key] = made
            ending = made.failed.partition("\n")[0] or made.refused or f"{made.seconds:.0f} s, {made.where}"
            self.watcher.say(f"  {count}/{len(plan.nodes)} {node.step} {node.key[:8]}: {ending}")
            self.watcher.progress("steps", count, len(plan.nodes))
        return bad

    def _ask(self, node: Node) -> dict[str, Any]:
        """A node as edgekd.sweep_worker takes it. Paths are absolute: a worker has a folder of its own."""
        return {
            "recipe": str(self.sweep.path.absolute()),
            "settings": self.sweep.over(node.variant),
            "online": False if self.sweep.base.overrides else self.sweep.online,
            "name": self.sweep.name,
            "step": node.step,
            "key": node.key,
            "launch": self._launch,
            "store": self.store.place,
            "runs": str(self.runs.absolute()),
        }

    def _outcome(self, variant: Variant, plan: Plan, bad: dict[str, Made]) -> Outcome:
        keys = plan.keys[variant.number]
        found = Outcome(variant.number, variant.values, keys[self.sweep.measure])
        reasons = [bad[key].failed for key in keys.values() if key in bad and bad[key].failed]
        if reasons:
            return replace(found, failed=reasons[0])
        try:
            launch = Command.read(self._launch) if self._launch else None
            # Where nothing is timed there is nothing left to do but read.
            watcher = self.watcher if "p50" in self.objectives else Silent()
            report = pipeline.attempt(self._recipe(variant), self.store, self.runs, watcher, launch=launch)
        except EdgekdError as error:
            self.watcher.say(f"  failed: {error.problem}")
            return replace(found, failed=str(error))
        if report.refused:
            self.watcher.say(f"  {report.refused}")
        found = replace(found, refused=report.refused)
        step = next((step for step in report.steps if step.step == self.sweep.measure), None)
        if step is None:
            return found
        timed = list(_medians(step.timings))
        value, device = min(timed) if timed else (None, "")
        score = step.score.value if step.score else None
        return replace(found, score=score, p50=value, device=device, size=step.model_size)

    def _recipe(self, variant: Variant) -> Recipe:
        """As it is measured: up to the step that is, and timed where that is an objective."""
        whole = self.sweep.recipe(self._recipes, variant)
        found = whole.scoring(self.sweep.measure)
        if "p50" in self.objectives:
            needed = {step.id for step in found.steps}
            found = replace(whole, steps=tuple(step for step in whole.steps if step.id in needed))
        return replace(found, name=f"{self.sweep.name}/{variant.folder}")


def told(plan: Plan, variants: int) -> str:
    """A line for a plan."""
    return (
        f"{variants} variants, {plan.asked} steps: {plan.distinct} different ones, {len(plan.cached)} of them there, "
        f"{len(plan.nodes)} to make"
    )


def _medians(timings: Sequence[Any]) -> Iterator[tuple[float, str]]:
    """Medians in seconds on the first device, and it."""
    for timing in timings:
        middle = timing.latency.percentile(50)
        if middle and timing.device == timings[0].device:
            yield middle.value, timing.device
