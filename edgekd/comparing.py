"""Runs against a first one, artifact by artifact: scores on the same rows, sizes, and times on the same devices."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgekd import answers, examining, report_files, sweep_files
from edgekd.answers import Answers
from edgekd.errors import EdgekdError, nearest
from edgekd.report import Percentile, Report, Score, StepReport, Timing
from edgekd.task import TASKS, Task

DRAWS = 2000


@dataclass(frozen=True)
class Run:
    """A finished run, under the name that tells it from the others; `kept` is None where it kept no answers."""

    name: str
    report: Report
    kept: Answers | None

    def step(self, name: str) -> StepReport | None:
        return next((step for step in self.report.steps if step.step == name), None)


@dataclass(frozen=True)
class Speed:
    """A median of one inference in seconds on one device; `ratio` is to the base's, with the widest interval that the
    two medians' own allow. None where one of them is not stated.
    """

    device: str
    threads: int
    p50: Percentile | None
    ratio: Percentile | None
    doubted: bool  # by its own report


@dataclass(frozen=True)
class Pair:
    """One artifact of a run, and how it differs from the base's of the same step.

    `interval`: 95 % of the score's change (paired bootstrap); `p`: McNemar's exact test, of answers that are right in
    one run alone. Both need the answers of both runs on the same rows, and `p` a task whose answers are right or wrong.
    """

    step: str
    run: str
    score: Score | None
    change: float | None
    interval: tuple[float, float] | None
    p: float | None
    size: int
    growth: float | None  # of the size, as a ratio
    speeds: tuple[Speed, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Limits:
    """What a run may lose against the base: of the metric, as a share of p50, and as a share of the size."""

    max_drop: float | None = None
    max_slower: float | None = None
    max_larger: float | None = None


def load(folders: Sequence[Path]) -> list[Run]:
    """Raises EdgekdError where a folder holds no run. Of a sweep its variants are taken."""
    nested = [sweep_files.runs(folder) if sweep_files.is_sweep(folder) else [folder] for folder in folders]
    folders = [run for runs in nested for run in runs]
    short = [folder.name for folder in folders]
    names = short if len(set(short)) == len(short) else [folder.as_posix() for folder in folders]
    return [
        Run(name, report_files.report(folder), answers.read(folder))
        for name, folder in zip(names, folders, strict=True)
    ]


def compare(runs: Sequence[Run], steps: Sequence[str] = ()) -> list[Pair]:
    """Each of the base's artifacts (of `steps`, where some are named), then that of every other run that has it.

    Raises EdgekdError where the base has none of a name: a limit on nothing would be kept.
    """
    base, found = runs[0], list[Pair]()
    known = [ours.step for ours in base.report.steps]
    if unknown := next((step for step in steps if step not in known), None):
        raise EdgekdError(f"{base.name} has no artifact '{unknown}'", nearest(unknown, known))
    for ours in base.report.steps:
        if steps and ours.step not in steps:
            continue
        for run in runs:
            if (theirs := run.step(ours.step)) is not None:
                found.append(_pair(run, theirs, base, ours))
    return found


def broken(runs: Sequence[Run], pairs: Sequence[Pair], limits: Limits, steps: Sequence[str] = ()) -> Iterator[str]:
    """What the runs after the first break of the limits, a sentence each; what cannot be told keeps no promise.

    Each limit is held by each of `steps`, where some are named, and else by one of the base's artifacts at least.
    """
    by_run = {run.name: {pair.step: pair for pair in pairs if pair.run == run.name} for run in runs}
    for run in runs[1:]:
        if run.report.refused:
            yield f"{run.name}: {run.report.refused}"
        for step, base in by_run[runs[0].name].items():
            if (pair := by_run[run.name].get(step)) is None:
                yield f"{run.name} has no artifact '{step}'"
            else:
                yield from (f"{run.name}, {step}: {what}" for what in _beyond(pair, base, limits))
        for names in [[step] for step in steps] or [list(by_run[runs[0].name])]:
            both = [(by_run[run.name][step], by_run[runs[0].name][step]) for step in names if step in by_run[run.name]]
            if both or not names:  # else each was told to be missing
                yield from (f"{run.name}: {what}" for what in _unheld(both, limits))


def _unheld(both: Sequence[tuple[Pair, Pair]], limits: Limits) -> Iterator[str]:
    """The limits that no artifact of a run and the base is held to: one that checks nothing is not kept."""
    names = " or ".join(f"'{pair.step}'" for pair, _ in both) or "anything"
    if limits.max_drop is not None and not any(base.score for _, base in both):
        yield f"--max-drop: no score of {names} in both runs"
    if limits.max_larger is not None and all(pair.growth is None for pair, _ in both):
        yield f"--max-larger: no size of {names} in both runs"
    if limits.max_slower is not None and not any(base.speeds for _, base in both):
        yield f"--max-slower: no device timed {names} in both runs"


def _beyond(pair: Pair, base: Pair, limits: Limits) -> Iterator[str]:
    if (most := limits.max_drop) is not None and base.score is not None:
        if pair.change is None:
            yield "its score cannot be compared"
        elif -pair.change > most:
            yield f"{base.score.metric} drops by {-pair.change:.4f}, the limit is {most:g}"
    if (most := limits.max_larger) is not None and pair.growth is not None and pair.growth - 1 > most:
        yield f"it is {pair.growth - 1:.1%} larger, the limit is {most:.1%}"
    if (most := limits.max_slower) is not None:
        ratios = {(speed.device, speed.threads): speed.ratio for speed in pair.speeds}
        for speed in base.speeds:
            if (ratio := ratios.get((speed.device, speed.threads))) is None:
                yield f"its p50 on {speed.device} cannot be compared"
            elif ratio.value - 1 > most:
                yield f"it is {ratio.value - 1:.1%} slower on {speed.device}, the limit is {most:.1%}"


def _pair(run: Run, ours: StepReport, base: Run, theirs: StepReport) -> Pair:
    change = p = interval = None
    notes = []
    if ours.score and theirs.score and run is not base:
        if ours.score.metric != theirs.score.metric:
            notes.append(f"scored by {ours.score.metric}, the base by {theirs.score.metric}")
        else:
            change = ours.score.value - theirs.score.value
            if (one := _same_rows(run, base)) is None:
                notes.append("no answers on the same dev rows are kept: the change has no interval")
            else:
                interval, p = _tested(*one, ours, TASKS.get(run.report.data["task"])())
    places = {(timing.device, timing.threads): timing for timing in theirs.timings}
    if any(_elsewhere(timing, places.get((timing.device, timing.threads))) for timing in ours.timings):
        notes.append("timed on another processor than the base")
    return Pair(
        step=ours.step,
        run=run.name,
        score=ours.score,
        change=change,
        interval=interval,
        p=p,
        size=ours.model_size,
        growth=ours.model_size / theirs.model_size if run is not base and theirs.model_size else None,
        speeds=tuple(_speeds(ours, places, run is base)),
        notes=tuple(notes),
    )


def _same_rows(run: Run, base: Run) -> tuple[Answers, Answers] | None:
    """Both runs' answers, where they are of the same dev rows."""
    one, other = run.kept, base.kept
    return (one, other) if one is not None and other is not None and one.dev == other.dev else None


def _tested(
    ours: Answers, theirs: Answers, step: StepReport, task: Task
) -> tuple[tuple[float, float] | None, float | None]:
    """The interval of the change, and McNemar's p."""
    import numpy as np
    from scipy.stats import binomtest

    assert step.score is not None
    one, other = (kept.logits.get(step.step) for kept in (ours, theirs))
    if one is None or other is None:
        return None, None
    scores = [task.sampler(step.score.metric, each, ours.targets, ours.labels, ours.ends) for each in (one, other)]
    drawn = [np.array(examining.redrawn(score, len(ours.ends), DRAWS)) for score in scores]
    right, before = task.right(one, ours.targets), task.right(other, ours.targets)
    p = None
    if right is not None and before is not None:
        gained, lost = int((right & ~before).sum()), int((before & ~right).sum())
        p = float(binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0
    return examining.interval(drawn[0] - drawn[1]), p


def _speeds(step: StepReport, base: Mapping[tuple[str, int], Timing], itself: bool) -> Iterator[Speed]:
    """Of every real device; emulated ones have no times to compare."""
    for timing in step.timings:
        theirs = base.get((timing.device, timing.threads))
        if timing.latency.emulated or (theirs and theirs.latency.emulated):
            continue
        one, other, ratio = timing.latency.percentile(50), theirs and theirs.latency.percentile(50), None
        if one and other and not itself:
            ratio = Percentile(one.value / other.value, one.low / other.high, one.high / other.low)
        yield Speed(timing.device, timing.threads, one, ratio, _doubted(timing))


def _elsewhere(ours: Timing, theirs: Timing | None) -> bool:
    return theirs is not None and ours.fingerprint.get("processor") != theirs.fingerprint.get("processor")


def _doubted(timing: Timing) -> bool:
    """Whether there is a doubt about the median itself, not only too few samples for a higher percentile."""
    return any("is not stated" not in doubt for doubt in timing.doubts)
