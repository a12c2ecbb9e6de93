"""The search for a runtime's best setting on a device: threads first, then each of the runtime's own settings in turn.

What is compared is timed in the same rounds, in fresh processes, A B C C B A, so that a machine that grows slower or
faster favours none. A setting is taken that was faster in every round and by a few per cent, and only where it answers
as the runtime does by itself.
"""

from collections.abc import Sequence
from dataclasses import replace
from statistics import median
from typing import Any

from edgekd import __version__, measure
from edgekd.artifact import Artifact
from edgekd.board import Board
from edgekd.errors import EdgekdError
from edgekd.runtime import RUNTIMES, EngineDevice, serving
from edgekd.task import TASKS
from edgekd.tuned import Trial, Tuned, spoken, telling

VERSION = 2  # another one is a search that finds otherwise
_ROUNDS, _RUNS = 5, 100  # fresh processes of each setting, and inferences of each process
_GAIN = 0.97  # a setting has to take no more of the time than this: what gains less is gone with the next version
_THREADS = "threads"
Ratio = tuple[float, float, float]  # a time in multiples of another: over rounds the median, the least, the most
_AS_IT_IS: Ratio = (1.0, 1.0, 1.0)


def tune(artifact: Artifact, texts: measure.Texts, board: Board, progress: measure.Progress) -> Tuned:
    """Search on a device, on texts at their real lengths. Raises EdgekdError as timing and scoring do."""
    runtime, run = serving(artifact.manifest.format), board.device.run
    machine = board.fingerprint()
    dimensions = {_THREADS: _counts(run.threads, machine.get("cores")), **RUNTIMES.get(runtime).settings}
    total = _ROUNDS * (sum(map(len, dimensions.values())) + 2)
    done = 0

    def timed(places: Sequence[EngineDevice]) -> dict[EngineDevice, Ratio | str]:
        """Of each place but the first: its time in multiples of the first's, or why it does not run there."""
        nonlocal done
        found: dict[EngineDevice, list[float]] = {at: [] for at in places}
        broken: dict[EngineDevice, Ratio | str] = {}
        with board.alone():
            for number in range(_ROUNDS):
                left = [at for at in places if at not in broken]
                for at in left if number % 2 == 0 else reversed(left):
                    try:
                        found[at].append(median(measure.samples(artifact, sample, board, at, _RUNS, number * _RUNS)))
                    except EdgekdError as error:
                        if at == places[0]:  # which ran before: it is the device
                            raise
                        broken[at] = error.problem
                done += len(places)
                progress(f"tuning on {board.device.name}", min(done, total), total)
        return {at: broken.get(at) or _ratio(found[at], found[places[0]]) for at in places[1:]}

    sample = measure.sample(artifact, texts, _ROUNDS * _RUNS)
    scored = measure.scored(board.device, len(texts))
    asked = texts if scored is None else [texts[row] for row in scored]
    start = best = EngineDevice("cpu", run.threads[0])
    by_itself, facts = measure.outputs(artifact, asked, board, progress, start)
    task = TASKS.get(artifact.manifest.task)()
    trials: list[Trial] = []
    for name, values in dimensions.items():
        others = {at: value for value in values if (at := _with(best, name, value, values[0])) != best}
        if not others:
            continue
        taken, against = best, timed([best, *others])
        for at, ratio in sorted(against.items(), key=lambda entry: (isinstance(entry[1], str), entry[1])):
            if isinstance(ratio, str):
                trials.append(Trial(f"{name} {others[at]}", 0.0, 0.0, 0.0, f"does not run there: {ratio}"))
                continue
            verdict = "no gain"
            if taken != best:
                verdict = "slower than what was taken"
            elif ratio[0] <= _GAIN and ratio[2] < 1:
                same = task.agreement(measure.outputs(artifact, asked, board, progress, at)[0], by_itself)
                verdict = "taken" if same >= run.min_agreement else f"refused: {same:.1%} of its answers are the same"
                taken = at if same >= run.min_agreement else taken
            trials.append(Trial(f"{name} {others[at]}", *ratio, verdict))
        best = taken
    whole = timed([start, best])[best] if best != start else _AS_IT_IS
    if isinstance(whole, str) or whole[2] >= 1:  # what the steps gained is not there when all is looked at together
        if best != start and not isinstance(whole, str):
            trials.append(Trial(f"all of it: {spoken(best.threads, dict(best.settings))}", *whole, "left out"))
        best, whole = start, _AS_IT_IS
    libraries = {**facts["libraries"], "edgekd": __version__}
    told = board.device.name, runtime, telling(machine), libraries
    return Tuned(*told, best.threads, dict(best.settings), *whole, tuple(trials))


def _counts(listed: Sequence[int], cores: Any) -> tuple[int, ...]:
    """The device file's thread counts, one, and each doubling up to all cores, the file's first one first."""
    most = cores if isinstance(cores, int) and 1 <= cores <= 1024 else 1
    doubled = [2**power for power in range(most.bit_length()) if 2**power <= most]
    return tuple(dict.fromkeys([*listed, *doubled, most]))


def _with(place: EngineDevice, name: str, value: Any, own: Any) -> EngineDevice:
    """A place with another setting; `own` is the runtime's, which it need not be told."""
    if name == _THREADS:
        return replace(place, threads=value)
    others = {known: kept for known, kept in place.settings if known != name}
    return replace(place, settings=tuple((others if value == own else {**others, name: value}).items()))


def _ratio(times: Sequence[float], others: Sequence[float]) -> Ratio:
    """Round by round."""
    found = [time / other for time, other in zip(times, others, strict=True)]
    return median(found), min(found), max(found)
