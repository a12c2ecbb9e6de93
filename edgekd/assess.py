"""An artifact is scored by the runtime that serves it, timed on every device, and held to its source."""

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

from pydantic import TypeAdapter

from edgekd import __version__, examining, extras, machine, measure, tuned, tuning, worker, worth
from edgekd.artifact import Artifact, canonical
from edgekd.board import Board
from edgekd.data import Data
from edgekd.device import Device
from edgekd.errors import EdgekdError
from edgekd.examination import Examination
from edgekd.provider import PROVIDERS
from edgekd.recipe import Recipe
from edgekd.report import Gate, Score, Timing
from edgekd.runtime import RUNTIMES, EngineDevice, serving
from edgekd.stage import Budget, Stage, Tolerance
from edgekd.store import Store, remove_drafts, write_text
from edgekd.tuned import Tuned
from edgekd.watcher import Watcher

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Assessed:
    """An artifact with what was found: logits of the dev split (positions, outputs), score, timings, gates.

    `redrawn` are its scores on samples of dev; `change` is the interval of their differences to the source's.
    """

    artifact: Artifact
    logits: "NDArray[np.floating[Any]]"
    score: Score | None
    timings: tuple[Timing, ...]
    gates: tuple[Gate, ...]
    examination: Examination = field(default_factory=Examination)
    redrawn: "NDArray[Any] | None" = None
    change: tuple[float, float] | None = None
    tuned: tuple[Tuned, ...] = ()
    doubts: tuple[str, ...] = ()  # of the score


def unscored(artifact: Artifact, stage: Stage) -> Assessed:
    """An artifact that knows no task: nothing but its size can be held to anything."""
    import numpy as np

    nothing = np.zeros((0, 0), dtype=np.float32)
    return Assessed(artifact, nothing, None, (), tuple(_sized(stage.budget, artifact)))


@dataclass(frozen=True)
class Assessor:
    """Assesses the artifacts of one run. What the store has kept of an artifact, runtime and device is not repeated.

    Used as a context: the devices that it reached are let go at its end.
    """

    recipe: Recipe
    data: Data
    store: Store
    watcher: Watcher
    again: bool = False  # time anew, whatever is kept
    _boards: dict[Device, Board] = field(default_factory=dict)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for board in self._boards.values():
            board.close()

    def look(self) -> None:
        """Reach every device but this machine, and let it go again: before hours of training, and not after them.

        Raises EdgekdError for the first that cannot be reached, or is not what its file expects.
        """
        for device in self.recipe.devices:
            if not device.here:
                self.watcher.say(f"looking at {device.name}")
                with Board(device, self.watcher.say) as board:
                    board.fingerprint()

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
        told = {device: self._outputs(artifact, device, basis) for device in devices if not device.here}
        kept = self._outputs(artifact, local, basis)
        logits = np.array(kept["logits"], dtype=np.float32)
        examination, redrawn = self._examined(logits, basis)
        score = replace(measure.score(logits, self.data), interval=examining.interval(redrawn))
        change = None
        if source is not None and source.redrawn is not None:
            change = examining.interval(redrawn - source.redrawn)
        timings = tuple(
            self._timing(artifact, device, EngineDevice("cpu", threads), basis, told.get(device, kept)["facts"])
            for device in devices
            for threads in device.run.threads
        )
        best_of = {device: self._tuned(artifact, device, basis) for device in devices if device.tune}
        for device, best in best_of.items():
            if best.ratio < 1:
                place = EngineDevice("cpu", best.threads, tuple(best.settings.items()))
                there = told[device.tuned()] = self._outputs(artifact, device, basis, place)
                timing = self._timing(artifact, device, place, basis, there["facts"])
                timings += (replace(timing, device=device.tuned().name),)
        gates: list[Gate] = []
        if source is not None:
            tolerance = stage.tolerance()
            gates += self._gates(tolerance, logits, source)
            if (limit := tolerance.max_difference) is not None:
                padding = kept["facts"]["padding"]
                gates.append(Gate("largest difference that padding makes", padding, limit, padding <= limit))
            for device, found in told.items():
                # A runtime that loads a file can be wrong in silence: what a device serves, it has to show there.
                gates += self._there(tolerance, device, found, logits, source)
        gates += _budgeted(stage.budget, artifact, score, timings)
        return Assessed(
            artifact,
            logits,
            score,
            timings,
            tuple(gates),
            examination,
            redrawn,
            change,
            tuple(best_of.values()),
            worth.doubts(self.worth(), score),
        )

    def _examined(
        self, logits: "NDArray[np.floating[Any]]", basis: Mapping[str, Any]
    ) -> "tuple[Examination, NDArray[Any]]":
        import numpy as np

        task, dev = self.data.task, self.data.dev

        def compute() -> dict[str, Any]:
            found = examining.examine(task, logits, dev, self.data.labels)
            score = task.sampler(self.data.metric, logits, dev.targets, self.data.labels, dev.ends)
            return {"examination": asdict(found), "redrawn": examining.redrawn(score, len(dev))}

        key = {**basis, "what": "examination", "version": examining.VERSION, "data": self.data.fingerprint}
        kept = self._kept({**key, "metric": self.data.metric}, compute)
        return TypeAdapter(Examination).validate_python(kept["examination"]), np.array(kept["redrawn"])

    def worth(self) -> dict[str, Any]:
        """As `edgekd.worth.worth`, once for the same data."""
        key = {"what": "worth", "version": worth.VERSION, "data": self.data.fingerprint, "metric": self.data.metric}
        return self._kept(key, lambda: worth.worth(self.data))  # type: ignore[no-any-return]

    def _tuned(self, artifact: Artifact, device: Device, basis: Mapping[str, Any]) -> Tuned:
        """The settings that are best on a device, which stay beside the artifact for whoever serves it."""

        def compute() -> dict[str, Any]:
            board = self._board(device, artifact)
            return asdict(tuning.tune(artifact, self.data.dev.texts, board, self.watcher.progress))

        told = device.model_dump(mode="json", exclude={"benchmark_model"})
        key = {**basis, "what": "tune", "version": tuning.VERSION, "edgekd": __version__, "data": self.data.fingerprint}
        key |= {"device": told, "on": self._on(device, artifact)}
        found = TypeAdapter(Tuned).validate_python(self._kept(key, compute, self.again))
        if found not in tuned.read(artifact.path):
            try:
                remove_drafts(artifact.path)
                write_text(artifact.path / tuned.FILE, tuned.among(artifact.path, found))
            except (EdgekdError, OSError) as error:  # a store that is read only serves all the same
                self.watcher.say(f"  {device.name}: its settings are not kept beside the artifact: {error}")
        return found

    def _outputs(
        self, artifact: Artifact, device: Device, basis: Mapping[str, Any], place: EngineDevice | None = None
    ) -> dict[str, Any]:
        def compute() -> dict[str, Any]:
            board = self._board(device, artifact)
            rows, texts = measure.scored(device, len(self.data.dev)), self.data.dev.texts
            asked = texts if rows is None else [texts[row] for row in rows]
            logits, facts = measure.outputs(artifact, asked, board, self.watcher.progress, place)
            return {"logits": logits.tolist(), "facts": facts}

        key = {**basis, "what": "outputs", "data": self.data.fingerprint}
        if place is not None:
            key["place"] = asdict(place)
        if not device.here:
            told = device.model_dump(mode="json")
            key |= {"rows": device.run.score_rows, "provider": told["provider"], "on": self._on(device, artifact)}
        return self._kept(key, compute)  # type: ignore[no-any-return]

    def _timing(
        self, artifact: Artifact, device: Device, place: EngineDevice, basis: Mapping[str, Any], facts: dict[str, Any]
    ) -> Timing:
        def compute() -> dict[str, Any]:
            board = self._board(device, artifact)
            sample = measure.sample(artifact, self.data.dev.texts, device.run.min_runs)
            timing = measure.time(artifact, sample, board, place, facts, self.watcher.progress)
            return measure.to_json(timing)

        options = device.model_dump(mode="json", exclude={"benchmark_model", "tune"})
        key = {**basis, "what": "time", "device": options, "threads": place.threads, "on": self._on(device, artifact)}
        if place.settings:
            key["settings"] = dict(place.settings)
        return measure.from_json(self._kept(key, compute, self.again))

    def _on(self, device: Device, artifact: Artifact) -> dict[str, Any]:
        """What identifies the machine behind a device."""
        if not device.here:
            return self._board(device, artifact).fingerprint()
        found = machine.fingerprint()  # as the agent would tell, without starting one for each artifact
        device.expect.check(device.name, found)
        return found

    def _board(self, device: Device, artifact: Artifact) -> Board:
        """The device, reached; or, where it is this Python and lacks the runtime, this machine with a Python that has
        it.
        """
        lacks = extras.lacking(RUNTIMES.get(serving(artifact.manifest.format)).libraries) if device.here else ()
        if lacks:
            extras.environment(lacks, self.watcher.say, self.watcher.progress)
            venv = PROVIDERS.get("venv").model_validate({"packages": extras.packages(lacks)})
            device = device.model_copy(update={"provider": venv})
        if device not in self._boards:
            self._boards[device] = Board(device, self.watcher.say)
        return self._boards[device]

    def _there(
        self,
        tolerance: Tolerance,
        device: Device,
        found: Mapping[str, Any],
        here: "NDArray[np.floating[Any]]",
        source: Assessed,
    ) -> Iterator[Gate]:
        """A device's own logits against the source's, and against those of the same artifact on this machine."""
        import numpy as np

        logits = np.array(found["logits"], dtype=np.float32)
        rows = measure.scored(device, len(self.data.dev))
        positions = None if rows is None else self.data.dev.positions(rows)
        for gate in self._gates(tolerance, logits, source, positions):
            yield replace(gate, name=f"{gate.name} on {device.name}")
        if device.transport.kind() != "local":
            same = self.data.task.agreement(logits, here if positions is None else here[positions])
            limit = device.run.min_agreement
            yield Gate(f"share of answers as on this machine on {device.name}", same, limit, same >= limit)

    def _gates(
        self,
        tolerance: Tolerance,
        logits: "NDArray[np.floating[Any]]",
        source: Assessed,
        positions: "NDArray[np.int64] | None" = None,
    ) -> Iterator[Gate]:
        """The comparisons with the source that the stage asks for, of logits (positions, outputs) of the dev split or
        of some of its positions: then not those of the score, which a few do not tell.
        """
        assert source.score is not None  # a source is of a format that is served
        theirs = source.logits if positions is None else source.logits[positions]
        metric, whole = source.score.metric, source.score.value
        ours = self.data.value(logits) if positions is None else math.nan
        if (limit := tolerance.max_difference) is not None:
            difference = float(abs(logits - theirs).max())
            yield Gate("largest difference of an output", difference, limit, difference <= limit)
        if (limit := tolerance.max_drop) is not None and positions is None:
            drop = whole - ours
            yield Gate(f"drop of {metric}", drop, limit, drop <= limit)
        if (limit := tolerance.min_agreement) is not None:
            agreement = self.data.task.agreement(logits, theirs)
            yield Gate("share of equal answers", agreement, limit, agreement >= limit)
        if (limit := tolerance.min_kept) is not None and positions is None:
            # A share means nothing of a source that scores nothing, or whose metric is negative: then no worse will do.
            kept = ours / whole if whole > 0 else float(ours >= whole)
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
        found = [timing.latency.percentile(50) for timing in timings if timing.device in (name, f"{name}, tuned")]
        # A median that cannot be stated, of too few samples or on a device that does not serve it, keeps no promise.
        fastest = min((1e3 * median.value for median in found if median), default=math.inf)
        yield Gate(f"budget: p50 ms on {name}", fastest, limit, fastest <= limit)


def _sized(budget: Budget, artifact: Artifact) -> Iterator[Gate]:
    if (limit := budget.max_mb) is not None:
        size = artifact.model_size / 1e6
        yield Gate("budget: megabytes", size, limit, size <= limit)
