"""plan() and run(): one visible loop over the steps. Every artifact is made once, measured, and held to its gates."""

import hashlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from edgekd import __version__, measure, report_files
from edgekd.artifact import Artifact, Manifest, canonical
from edgekd.data import Data
from edgekd.device import Device
from edgekd.errors import EdgekdError, Refused
from edgekd.recipe import Recipe, Step
from edgekd.report import Gate, Report, Score, StepReport, Timing
from edgekd.runtime import serving
from edgekd.stage import Job, versions
from edgekd.store import Store, write_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

STATE = "state.json"


class Watcher(Protocol):
    """Who is told how a run goes."""

    def say(self, text: str) -> None: ...

    def progress(self, label: str, done: float, total: float) -> None: ...


@dataclass(frozen=True)
class Planned:
    """A step with its cache key, the parts the key is made of, and why it is not cached (empty: it is)."""

    step: Step
    key: str
    parts: Mapping[str, Any]
    changes: tuple[str, ...]

    @property
    def cached(self) -> bool:
        return not self.changes


@dataclass(frozen=True)
class _Made:
    """A step's artifact and its outputs on dev."""

    artifact: Artifact
    score: Score
    logits: "NDArray[np.floating[Any]]"
    report: StepReport


def plan(recipe: Recipe, store: Store, runs: Path) -> list[Planned]:
    """Each step's key, and whether its artifact is there. Runs nothing, and loads neither torch nor a runtime."""
    data = Data(recipe.data, recipe.seed)
    try:
        before = json.loads((runs / recipe.name / STATE).read_text())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        before = {}
    planned: list[Planned] = []
    keys: dict[str, str] = {}
    for step in recipe.steps:
        with _at(step):
            parts: dict[str, Any] = {
                "stage": step.stage.name(),
                "version": type(step.stage).version,
                "options": step.stage.key_options(),
                "sources": {".".join(path): keys[source] for path, source in step.stage.sources().items()},
                "data": data.fingerprint,
                "seed": recipe.seed,
                "libraries": versions(type(step.stage).libraries),
                "overrides": list(recipe.overrides),
            }
        key = hashlib.sha256(canonical(parts).encode()).hexdigest()[:32]
        keys[step.id] = key
        planned.append(Planned(step, key, parts, () if key in store else _changes(before.get(step.id), parts)))
    return planned


def run(recipe: Recipe, store: Store, runs: Path, watcher: Watcher) -> Report:
    """Make and measure every step's artifact, then write runs/NAME/report.json and report.md.

    Raises Refused, after the report is written, when an artifact fails a gate; it is not linked then.
    """
    data = Data(recipe.data, recipe.seed)
    planned = plan(recipe, store, runs)
    folder = runs / recipe.name
    _save_state(folder, recipe, planned)
    made: dict[str, _Made] = {}
    refused = ""
    for number, item in enumerate(planned, start=1):
        step = item.step
        watcher.say(f"[{number}/{len(planned)}] {step.id} ({step.stage.name()})")
        with store.lock(item.key, lambda: watcher.say("  another run is making it; waiting")), _at(step):
            sources = {source: made[source].artifact for source in step.sources}
            made[step.id] = _measured(recipe, item, *_make(item, sources, data, store, watcher), data, made, store, watcher)
        result = made[step.id].report
        watcher.say(f"  {_summary(result)}")
        if result.passed:
            _link(folder / step.id, store.path(item.key))
        else:
            failed = "; ".join(f"{gate.name} is {gate.value:.4g}, the limit is {gate.limit:.4g}" for gate in result.gates if not gate.passed)
            refused = f"'{step.id}' is refused: {failed}"
            (folder / step.id).unlink(missing_ok=True)
            break
    machine = {"edgekd": __version__, **_machine()}
    when = datetime.now(UTC).isoformat(timespec="seconds")
    reports = tuple(item.report for item in made.values())
    report = Report(recipe.name, when, recipe.seed, data.fingerprint, recipe.overrides, machine, reports, refused)
    report_files.write(report, folder)
    if refused:
        raise Refused(refused, f"See {folder / 'report.md'}. Change the step's options, or its limits.", recipe.steps[len(made) - 1].where)
    return report


def _make(
    item: Planned, sources: Mapping[str, Artifact], data: Data, store: Store, watcher: Watcher
) -> tuple[Artifact, bool, float]:
    """The step's artifact, whether it was there already, and how many seconds it took."""
    start = time.perf_counter()
    if item.key in store:
        return store.load(item.key), True, 0.0
    stage = item.step.stage
    source = sources[item.step.source] if item.step.source else None
    stage.requires(source, data)

    def fill(out: Path) -> Artifact:
        job = Job(source, sources, data, out, store.scratch(item.key), int(item.parts["seed"]), watcher.progress)
        facts = stage.run(job)
        return Artifact.seal(out, _manifest(item, data, facts))

    return store.publish(item.key, fill), False, time.perf_counter() - start


def _manifest(item: Planned, data: Data, facts: Mapping[str, Any]) -> Manifest:
    stage = item.step.stage
    return Manifest(
        key=item.key,
        stage=stage.name(),
        stage_version=type(stage).version,
        format=type(stage).makes,
        task=data.options.task,
        labels=data.labels,
        text=data.options.text,
        metric=data.metric,
        max_length=data.options.max_length,
        options=item.parts["options"],
        parents=item.parts["sources"],
        data=data.fingerprint,
        libraries=item.parts["libraries"],
        overrides=tuple(item.parts["overrides"]),
        facts=facts,
    )


def _measured(
    recipe: Recipe,
    item: Planned,
    artifact: Artifact,
    cached: bool,
    seconds: float,
    data: Data,
    made: Mapping[str, _Made],
    store: Store,
    watcher: Watcher,
) -> _Made:
    """Score on dev by the runtime that serves it, time on every device, compare with its source."""
    import numpy as np

    runtime = serving(artifact.manifest.format)
    basis = {"artifact": item.key, "worker": measure.worker.VERSION, "runtime": measure.runtime_versions(runtime)}
    kept = _kept(store, {**basis, "what": "outputs"}, lambda: _outputs(artifact, data, watcher))
    logits = np.array(kept["logits"], dtype=np.float32)
    score = measure.score(logits, data)
    timings: list[Timing] = []
    for device in recipe.devices:
        for threads in device.run.threads:
            raw = _kept(
                store,
                {**basis, "what": "time", "device": device.model_dump(mode="json"), "threads": threads, "on": _fingerprint(device)},
                lambda device=device, threads=threads: _timed(artifact, data, device, threads, kept["memory"], store, watcher),  # type: ignore[misc]
            )
            timings.append(measure.from_json(raw))
    source = made[item.step.source] if item.step.source else None
    report = StepReport(
        step=item.step.id,
        stage=item.step.stage.name(),
        key=item.key,
        format=artifact.manifest.format,
        cached=cached,
        seconds=seconds,
        size=artifact.size,
        model_size=artifact.model_size,
        parameters=artifact.manifest.facts.get("parameters"),
        score=score,
        source=item.step.source,
        timings=tuple(timings),
        gates=_gates(item.step, data, score, logits, source),
        doubts=tuple(f"{timing.device}: {doubt}" for timing in timings for doubt in timing.latency.doubts),
    )
    return _Made(artifact, score, logits, report)


def _gates(
    step: Step, data: Data, score: Score, logits: "NDArray[np.floating[Any]]", source: _Made | None
) -> tuple[Gate, ...]:
    """The artifact against its source, as far as the stage says they must agree."""
    tolerance = step.stage.tolerance()
    if source is None:
        return ()
    gates = []
    if tolerance.max_difference is not None:
        difference = float(abs(logits - source.logits).max())
        gates.append(Gate("largest difference of an output", difference, tolerance.max_difference, difference <= tolerance.max_difference))
    if tolerance.max_drop is not None:
        drop = source.score.value - score.value
        gates.append(Gate(f"drop of {score.metric}", drop, tolerance.max_drop, drop <= tolerance.max_drop))
    if tolerance.min_agreement is not None:
        agreement = data.task.agreement(logits, source.logits)
        gates.append(Gate("share of equal answers", agreement, tolerance.min_agreement, agreement >= tolerance.min_agreement))
    return tuple(gates)


def _outputs(artifact: Artifact, data: Data, watcher: Watcher) -> dict[str, Any]:
    connection = Device(name="local").connect()
    try:
        logits, memory = measure.outputs(artifact, data, connection, watcher.progress)
    finally:
        connection.close()
    return {"logits": logits.tolist(), "memory": memory}


def _timed(
    artifact: Artifact, data: Data, device: Device, threads: int, memory: dict[str, Any], store: Store, watcher: Watcher
) -> dict[str, Any]:
    # Two runs on one store must not time at once: each would measure the other.
    with store.lock(f"device-{device.name}", lambda: watcher.say(f"  another run is timing on {device.name}; waiting")):
        return measure.to_json(measure.time(artifact, data, device, threads, memory, watcher.progress))


def _kept(store: Store, key: Mapping[str, Any], compute: Any) -> Any:
    digest = hashlib.sha256(canonical(key).encode()).hexdigest()[:32]
    found = store.measured(digest)
    if found is None:
        found = compute()
        store.keep(digest, found)
    return found


def _fingerprint(device: Device) -> dict[str, Any]:
    connection = device.connect()
    try:
        return connection.fingerprint()
    finally:
        connection.close()


def _machine() -> dict[str, Any]:
    return _fingerprint(Device(name="local"))


def _changes(before: Mapping[str, Any] | None, now: Mapping[str, Any]) -> tuple[str, ...]:
    """What differs from the key this step had in the last run."""
    if before is None:
        return ("it has not run yet",)
    found: list[str] = []

    def compare(path: str, old: Any, new: Any) -> None:
        if isinstance(old, dict) and isinstance(new, dict):
            for name in sorted(old.keys() | new.keys()):
                compare(f"{path}.{name}" if path else name, old.get(name), new.get(name))
        elif old != new:
            found.append(f"{path} changed" if path.startswith("sources.") else f"{path}: {old} -> {new}")

    compare("", before, json.loads(canonical(now)))
    return tuple(found) or ("it was not finished, or was removed",)


def _save_state(folder: Path, recipe: Recipe, planned: Sequence[Planned]) -> None:
    import yaml

    write_text(folder / STATE, json.dumps({item.step.id: item.parts for item in planned}, indent=1) + "\n")
    resolved = {
        "name": recipe.name,
        "data": recipe.data.model_dump(mode="json", exclude_none=True),
        "seed": recipe.seed,
        "steps": [
            {"id": step.id, "stage": step.stage.name(), **step.stage.model_dump(mode="json", by_alias=True, exclude_none=True)}
            for step in recipe.steps
        ],
        "devices": [device.name for device in recipe.devices],
    }
    applied = f"# Overrides of the offline block that applied: {', '.join(recipe.overrides)}\n" if recipe.overrides else ""
    text = yaml.safe_dump(resolved, sort_keys=False, allow_unicode=True)
    write_text(folder / "recipe.yaml", f"# The recipe as it ran, every default written out.\n{applied}{text}")


def _link(link: Path, target: Path) -> None:
    """Point runs/NAME/STEP at the store, by a relative link that is replaced in one rename."""
    draft = link.with_name(f".{link.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    draft.symlink_to(os.path.relpath(target, os.path.realpath(link.parent)))
    os.replace(draft, link)


def _summary(result: StepReport) -> str:
    parts = [f"{result.score.metric} {result.score.value:.4f}", f"{result.model_size / 1e6:.1f} MB"]
    for timing in result.timings:
        if middle := timing.latency.percentile(50):
            parts.append(f"p50 {middle.value * 1e3:.2f} ms on {timing.device} ({timing.threads} thread{'s' * (timing.threads > 1)})")
    parts.append("cached" if result.cached else f"{result.seconds:.0f} s")
    return ", ".join(parts)


@contextmanager
def _at(step: Step) -> "Iterator[None]":
    """Give an error without a place the place of its step."""
    try:
        yield
    except EdgekdError as error:
        raise error.at(step.where) from error.__cause__


