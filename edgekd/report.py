"""What was measured, as values: raw samples are kept, every statistic is derived from them."""

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from edgekd.examination import Examination
from edgekd.tuned import Tuned

# Fewest samples for which a percentile is stated: below 64 a 90th percentile rests on six values, and 662 is the
# bound MLPerf LoadGen's early stopping gives for the 99th at 99 % confidence with no sample over it.
FEWEST = {50: 5, 90: 64, 99: 662}
_CROWDED, _STOLEN = 0.25, 0.05  # cores: an idle system's own services take a tenth of that
_TELLING_S = 0.2  # the kernel counts in hundredths of a second
_WARMED = 10.0  # degrees: a passively cooled board slows down some ten or twenty degrees above where it starts


@dataclass(frozen=True)
class Percentile:
    """A percentile in seconds with its 95 % interval: of order statistics (distribution-free), or of what fresh
    processes differ by (Student's t over the logarithms of theirs), whichever end lies further out.

    The samples of one process share its place in memory and its moment: two benches of one artifact differ by more than
    the order statistics of either tell.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Latency:
    """Raw wall times in seconds, one per inference, in the order they ran; one tuple per fresh process."""

    processes: tuple[tuple[float, ...], ...]
    cpu_seconds: float = 0.0
    emulated: bool = False  # no percentile is ever stated then: the times say nothing of any machine

    @property
    def seconds(self) -> tuple[float, ...]:
        return tuple(sample for process in self.processes for sample in process)

    def percentile(self, rank: int) -> Percentile | None:
        """The nearest-rank percentile, or None where the samples are too few to state it, or are an emulator's."""
        if self.emulated:
            return None
        ordered = sorted(self.seconds)
        count = len(ordered)
        if count < FEWEST[rank]:
            return None
        value = _nearest(ordered, rank)
        low, high = (ordered[place] for place in _order_interval(count, rank / 100))
        each = [_nearest(sorted(process), rank) for process in self.processes if process]
        apart = math.exp(_half_width([math.log(found) for found in each]))
        return Percentile(value, min(low, value / apart), max(high, value * apart))

    @property
    def doubts(self) -> tuple[str, ...]:
        """Reasons to distrust the figures, in plain words."""
        if self.emulated:
            return ("emulated hardware: no latency is stated",)
        seconds = self.seconds
        found = [
            f"p{rank} is not stated: {len(seconds)} samples, {fewest} needed"
            for rank, fewest in FEWEST.items()
            if len(seconds) < fewest
        ]
        if self.cpu_seconds and self.cpu_seconds < 0.9 * sum(seconds):
            share = self.cpu_seconds / sum(seconds)
            found.append(f"the process had a processor for {share:.0%} of the timed span: others were running")
        quarter = len(seconds) // 4
        if quarter >= 16:
            first, last = _median(seconds[:quarter]), _median(seconds[-quarter:])
            if not 0.8 < last / first < 1.25:
                found.append(f"the last quarter's median is {last / first:.2f} times the first's: the machine drifted")
        if len(self.processes) > 1:
            medians = [_median(process) for process in self.processes if process]
            if max(medians) > 1.15 * min(medians):
                found.append(f"medians of fresh processes differ by {max(medians) / min(medians) - 1:.0%}")
        return tuple(found)


@dataclass(frozen=True)
class Score:
    """A score on the dev split by the runtime that serves the artifact.

    `interval`: 95 %, of other rows like these (bootstrap); None where it could not be stated.
    """

    metric: str
    value: float
    rows: int
    others: Mapping[str, float] = field(default_factory=dict)
    interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class Gate:
    """One comparison with a limit. A gate that fails refuses the artifact."""

    name: str
    value: float
    limit: float
    passed: bool


@dataclass(frozen=True)
class Timing:
    """One artifact on one device. Times in seconds, memory in bytes; None where the device could not tell."""

    device: str
    runtime: str
    threads: int
    fingerprint: Mapping[str, Any]
    load: tuple[float, ...]
    first: tuple[float, ...]
    latency: Latency
    tokenizer: Latency
    peak_memory: int | None
    base_memory: int | None
    when: str
    precision: str
    states: tuple[Mapping[str, Any], ...] = ()  # edgekd.state, before and after each process's timed runs
    operators: Mapping[str, float] = field(default_factory=dict)  # seconds of an inference by kind, profiled apart
    settings: Mapping[str, str] = field(default_factory=dict)  # of the runtime, where it was told otherwise than usual

    @property
    def energy(self) -> float | None:
        """Joules of an inference, all that the processor used meanwhile. None where the device has no counter that may
        be read, or it began anew, and for emulated hardware.
        """
        used = self._used("joules")
        if used is None or min(used) < 0 or self.latency.emulated:
            return None
        return sum(used) / len(self.latency.seconds)

    def _used(self, name: str) -> list[float] | None:
        """What a counter of the states went on by while samples were taken. None where it was not told."""
        found = []
        for before, after in pairwise(self.states):
            if after["samples"] > before["samples"]:  # else they are of two processes
                # Reports of older versions lack some.
                start, end = before.get(name), after.get(name)
                if start is None or end is None:
                    return None
                found.append(end - start)
        return found or None

    @property
    def _crowded(self) -> Iterator[str]:
        """What others took of the machine, beyond what its own services do."""
        passed, own = self._used("at"), self._used("own")
        if not passed or not own or sum(passed) < _TELLING_S:
            return
        if busy := self._used("busy"):
            others = (sum(busy) - sum(own)) / sum(passed)
            if others > _CROWDED:
                yield f"other processes kept {others:.1f} cores busy meanwhile"
        if (stolen := self._used("stolen")) and sum(stolen) / sum(passed) > _STOLEN:
            yield f"the host of this virtual machine took {sum(stolen) / sum(passed):.0%} of a core meanwhile"

    @property
    def doubts(self) -> tuple[str, ...]:
        """Reasons to distrust the figures, in plain words."""
        found = []
        throttled = {reason for state in self.states for reason in state["throttled"] or ()}
        if throttled:
            found.append(f"the board held itself back while it was timed: {', '.join(sorted(throttled))}")
        elif earlier := {reason for state in self.states for reason in state["throttled_before"] or ()}:
            found.append(f"the board has held itself back since its start: {', '.join(sorted(earlier))}")
        warmth = [state["celsius"] for state in self.states if state["celsius"] is not None]
        if warmth and warmth[-1] - warmth[0] > _WARMED:
            found.append(f"the processor warmed from {warmth[0]:.0f} to {warmth[-1]:.0f} degrees Celsius")
        return (*found, *(() if self.latency.emulated else self._crowded), *self.latency.doubts)


@dataclass(frozen=True)
class StepReport:
    """Everything known of one step's artifact.

    `change`: 95 % interval of its score less its source's, on the same rows. `training`: an epoch's losses a record.
    """

    step: str
    stage: str
    key: str
    format: str
    cached: bool
    seconds: float
    size: int
    model_size: int
    parameters: int | None
    score: Score | None  # None: it knows no task
    source: str | None
    timings: tuple[Timing, ...]
    gates: tuple[Gate, ...]
    doubts: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)  # what the stage says of the artifact
    others: tuple[str, ...] = ()  # the steps it took something of beside its source
    change: tuple[float, float] | None = None
    examination: Examination = field(default_factory=Examination)
    training: tuple[Mapping[str, Any], ...] = ()
    tuned: tuple[Tuned, ...] = ()

    @property
    def passed(self) -> bool:
        return all(gate.passed for gate in self.gates)


@dataclass(frozen=True)
class Report:
    """One run of one recipe."""

    name: str
    when: str
    seed: int
    data: Mapping[str, Any]
    overrides: tuple[str, ...]
    machine: Mapping[str, Any]
    steps: tuple[StepReport, ...]
    refused: str = ""


def _median(values: Sequence[float]) -> float:
    ordered = sorted(values)
    return ordered[len(ordered) // 2]


def _nearest(ordered: Sequence[float], rank: int) -> float:
    """The nearest-rank percentile of sorted values."""
    return ordered[math.ceil(rank / 100 * len(ordered)) - 1]


# The 97.5th percentile of Student's t by degrees of freedom, from 1; from ten on, that of ten.
_STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)


def _half_width(values: Sequence[float]) -> float:
    """Of the 95 % interval of the values' mean; 0 of a single one, which tells nothing of others."""
    if len(values) < 2:
        return 0.0
    return _STUDENT[min(len(values) - 1, len(_STUDENT)) - 1] * statistics.stdev(values) / math.sqrt(len(values))


def _order_interval(count: int, rank: float, confidence: float = 0.95) -> tuple[int, int]:
    """0-based indices of the order statistics that enclose a quantile with at least `confidence` (binomial, exact).

    The number of samples below the quantile is Binomial(count, rank); the bounds cut (1-confidence)/2 from each tail.
    """
    tail = (1 - confidence) / 2
    log_p, log_q = math.log(rank), math.log1p(-rank)
    low, high, below = 0, count - 1, 0.0
    for hits in range(count + 1):
        choose = math.lgamma(count + 1) - math.lgamma(hits + 1) - math.lgamma(count - hits + 1)
        below += math.exp(choose + hits * log_p + (count - hits) * log_q)
        if below <= tail:
            low = hits
        if below >= 1 - tail:
            high = min(hits, count - 1)
            break
    return low, high
