"""An artifact is scored by the runtime that serves it, timed on every device, and held to its source."""

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from edgekd import extras, measure, worker
from edgekd.artifact import Artifact, canonical
from edgekd.data import Data
from edgekd.device import CONNECTIONS, Device
from edgekd.recipe import Recipe
from edgekd.report import Gate, Score, Timing
from edgekd.runtime import RUNTIMES, serving
from edgekd.stage import Budget, Stage, Tolerance
from edgekd.store import Store

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Watcher(Protocol):
    """Who is told how a run goes."""

    def say(self, text: str) -> None: ...

    def progress(self, label: str, done: float, total: float) -> None: ...


@dataclass(frozen=True)
class Assessed:
    """An artifact with what was found: logits of the dev split (positions, outputs), score, timings, gates."""

    artifact: Artifact
    logits: "NDArray[np.floating[Any]]"
    score: Score | None
    timings: tuple[Timing, ...]
    gates: tuple[Gate, ...]


def unscored(artifact: Artifact, stage: Stage) -> Assessed:
    """An artifact that knows no task: nothing but its size can be held to anything."""
    import numpy as np

    nothing = np.zeros((0, 0), dtype=np.float32)
    return Assessed(artifact, nothing, None, (), tuple(_sized(stage.budget, artifact)))


@dataclass(frozen=True)
class Assessor:
    """Assesses the artifacts of one run. What the store has kept of an artifact, runtime and device is not repeated."""

    recipe: Recipe
    data: Data
    store: Store
    watcher: Watcher
    again: bool = False  # time anew, whatever is kept

    def __call__(self, artifact: Artifact, stage: Stage, source: Assessed | None) -> Assessed:
        import numpy as np

        runtime = serving(artifact.manifest.format)
        basis = {
            "artifact": artifact.digest,
            "worker": worker.VERSION,
            "runtime": extras.versions(RUNTIMES.get(runtime).libraries),
        }
        local = Device(name="local")
        devices = [device for device in self.recipe.devices if device.serves(runtime)]
        told = {device.name: self._outputs(artifact, device, basis) for device in devices if not device.here}
        kept = self._outputs(artifact, local, basis)
        logits = np.array(kept["logits"], dtype=np.float32)
        score = measure.score(logits, self.data)
        timings = tuple(
            self._timing(artifact, device, threads, basis, told.get(device.name, kept)["facts"])
            for device in devices
            for threads in device.run.threads
        )
        gates: list[Gate] = []
        if source is not None:
            tolerance = stage.tolerance()
            gates += self._gates(tolerance, logits, source)
            if (limit := tolerance.max_difference) is not None:
                padding = kept["facts"]["padding"]
                gates.append(Gate("largest difference that padding makes", padding, limit, padding <= limit))
            for name, found in told.items():
                # A runtime that loads a file can be wrong in silence: what a device serves, it has to show there.
                there = self._gates(tolerance, np.array(found["logits"], dtype=np.float32), source)
                gates += [replace(gate, name=f"{gate.name} on {name}") for gate in there]
        gates += _budgeted(stage.budget, artifact, score, timings)
        return Assessed(artifact, logits, score, timings, tuple(gates))

    def _outputs(self, artifact: Artifact, device: Device, basis: Mapping[str, Any]) -> dict[str, Any]:
        def compute() -> dict[str, Any]:
            connection = self._equipped(device, artifact).connect()
            try:
                logits, facts = measure.outputs(artifact, self.data, connection, self.watcher.progress)
            finally:
                connection.close()
            return {"logits": logits.tolist(), "facts": facts}

        key = {**basis, "what": "outputs", "data": self.data.fingerprint}
        if not device.here:
            key |= {"transport": device.model_dump(mode="json")["transport"]}
        return self._kept(key, compute)  # type: ignore[no-any-return]

    def _timing(
        self, artifact: Artifact, device: Device, threads: int, basis: Mapping[str, Any], facts: dict[str, Any]
    ) -> Timing:
        def compute() -> dict[str, Any]:
            # Two runs on one store must not time at once: each would measure the other.
            busy = f"  another run is timing on {device.name}; waiting"
            with self.store.lock(f"device-{device.name}", lambda: self.watcher.say(busy)):
                equipped = self._equipped(device, artifact)
                timing = measure.time(artifact, self.data, equipped, threads, facts, self.watcher.progress)
            return measure.to_json(timing)

        options = device.model_dump(mode="json")
        key = {**basis, "what": "time", "device": options, "threads": threads, "on": fingerprint(device)}
        return measure.from_json(self._kept(key, compute, self.again))

    def _equipped(self, device: Device, artifact: Artifact) -> Device:
        """The device or, where it is this Python and lacks the runtime, this machine by an environment that has it."""
        lacks = extras.lacking(RUNTIMES.get(serving(artifact.manifest.format)).libraries) if device.here else ()
        if not lacks:
            return device
        extras.environment(lacks, self.watcher.say, self.watcher.progress)
        venv = CONNECTIONS.get("venv").model_validate({"packages": extras.packages(lacks)})
        return device.model_copy(update={"transport": venv})

    def _gates(self, tolerance: Tolerance, logits: "NDArray[np.floating[Any]]", source: Assessed) -> Iterator[Gate]:
        """The comparisons with the source that the stage asks for, of logits (positions, outputs)."""
        assert source.score is not None  # a source is of a format that is served
        metric, theirs = source.score.metric, source.score.value
        ours = self.data.value(logits)
        if (limit := tolerance.max_difference) is not None:
            difference = float(abs(logits - source.logits).max())
            yield Gate("largest difference of an output", difference, limit, difference <= limit)
        if (limit := tolerance.max_drop) is not None:
            drop = theirs - ours
            yield Gate(f"drop of {metric}", drop, limit, drop <= limit)
        if (limit := tolerance.min_agreement) is not None:
            agreement = self.data.task.agreement(logits, source.logits)
            yield Gate("share of equal answers", agreement, limit, agreement >= limit)
        if (limit := tolerance.min_kept) is not None:
            # A share means nothing of a source that scores nothing, or whose metric is negative: then no worse will do.
            kept = ours / theirs if theirs > 0 else float(ours >= theirs)
            yield Gate(f"share of the source's {metric}", kept, limit, kept >= limit)

    def _kept(self, key: Mapping[str, Any], compute: Callable[[], Any], again: bool = False) -> Any:
        digest = hashlib.sha256(canonical(key).encode()).hexdigest()[:32]
        found = None if again else self.store.measured(digest)
        if found is None:
            found = compute()
            self.store.keep(digest, found)
        return found


def _budgeted(budget: Budget, artifact: Artifact, score: Score, timings: tuple[Timing, ...]) -> Iterator[Gate]:
    """The limits that the recipe sets an artifact for itself."""
    if (limit := budget.min_score) is not None:
        yield Gate(f"budget: {score.metric}", score.value, limit, score.value >= limit)
    yield from _sized(budget, artifact)
    for name, limit in budget.max_p50_ms.items():
        found = [timing.latency.percentile(50) for timing in timings if timing.device == name]
        # A median that cannot be stated, of too few samples or on a device that does not serve it, keeps no promise.
        fastest = min((1e3 * median.value for median in found if median), default=math.inf)
        yield Gate(f"budget: p50 ms on {name}", fastest, limit, fastest <= limit)


def _sized(budget: Budget, artifact: Artifact) -> Iterator[Gate]:
    if (limit := budget.max_mb) is not None:
        size = artifact.model_size / 1e6
        yield Gate("budget: megabytes", size, limit, size <= limit)


def fingerprint(device: Device) -> dict[str, Any]:
    """What identifies the machine behind a device."""
    connection = device.connect()
    try:
        return connection.fingerprint()
    finally:
        connection.close()
