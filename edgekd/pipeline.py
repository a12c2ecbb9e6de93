"""run(): one visible loop over the steps. Every artifact is made once, measured, and held to its gates."""

import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from edgekd import __version__, answers, apart, extras, report_files, worth
from edgekd.artifact import TRAINING, Artifact, Manifest
from edgekd.assess import Assessed, Assessor, unscored
from edgekd.data import Data
from edgekd.errors import EdgekdError, RefusedError
from edgekd.launching import Launch
from edgekd.machine import fingerprint
from edgekd.plan import STATE, Planned, placed, plan
from edgekd.processes import for_training
from edgekd.recipe import Recipe
from edgekd.report import Report, StepReport
from edgekd.stage import Job
from edgekd.store import Store, draft_of, remove_drafts, writable, write_text
from edgekd.tracking import Track, Tracking, figures
from edgekd.watcher import Watcher


def run(
    recipe: Recipe,
    store: Store,
    runs: Path,
    watcher: Watcher,
    time_again: bool = False,
    track: Sequence[str] = (),
    launch: Launch | None = None,
) -> Report:
    """Make and measure every step's artifact, then write the report and the answers into runs/NAME.

    Timings that the store has kept are used, unless `time_again`. `track` names trackers (edgekd.tracking) to tell.
    Steps that train do so by `launch`, or in this process.
    Raises RefusedError, after the report is written, when an artifact fails a gate; it is not linked then.
    """
    report = attempt(recipe, store, runs, watcher, time_again, track, launch)
    if report.refused:
        where = recipe.steps[len(report.steps) - 1].where
        hint = f"See {runs / recipe.name / 'report.md'}. Change the step's options, or its limits."
        raise RefusedError(report.refused, hint, where)
    return report


def attempt(
    recipe: Recipe,
    store: Store,
    runs: Path,
    watcher: Watcher,
    time_again: bool = False,
    track: Sequence[str] = (),
    launch: Launch | None = None,
) -> Report:
    """As `run`, but a refusal is told by the report alone: it ends with the refused step."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise EdgekdError(
            "a run is one process, and this was started as one of several",
            'Start it alone; its trainings take several with --launch "torchrun --standalone --nproc-per-node 2".',
        )
    for_training()
    folder = runs / recipe.name
    remove_drafts(folder)
    tracking = Tracking(track, recipe.name, folder, watcher.say)
    data = Data(recipe.data, recipe.seed)
    planned = plan(recipe, store, runs, data)
    if not all(item.cached for item in planned):
        with placed(recipe):
            data.read()  # now, and not when the first step needs it
    found: dict[str, Assessed] = {}
    reports: list[StepReport] = []
    # What an earlier run left stays whole until this one has made something: it may be stopped, or fail, before that.
    links: dict[Path, Path] = {}
    settled = False

    def settle() -> None:
        nonlocal settled
        if not settled:
            _clear_stale(folder, planned)
            _save_state(folder, recipe, planned)
        settled = True
        for link, target in links.items():
            _link(link, target)
        links.clear()

    with Assessor(recipe, data, store, watcher, time_again) as assess:
        if any(type(item.step.stage).trains and not item.cached for item in planned):
            with placed(recipe):
                assess.look()
        for number, item in enumerate(planned, start=1):
            step = item.step
            watcher.say(f"[{number}/{len(planned)}] {step.id} ({step.stage.name()})")
            sources = {source: found[source].artifact for source in step.sources}
            with (
                store.lock(item.key, lambda: watcher.say("  another run is making it; waiting")),
                placed(recipe, step),
                tracking.step(step.id, item.key, item.parts["options"]) as tracked,
            ):
                made = _make(item, sources, data, store, watcher, tracked, launch)
                source = found[step.source] if step.source else None
                found[step.id] = (
                    assess(made.artifact, step.stage, source)
                    if step.stage.reads_data
                    else unscored(made.artifact, step.stage)
                )
                reports.append(_report(item, made, found[step.id]))
                tracked(figures(reports[-1]), None)
            watcher.say(f"  {_summary(reports[-1])}")
            if not reports[-1].passed:
                settle()
                for later in recipe.steps[number - 1 :]:  # nor is what was made from it
                    (folder / later.id).unlink(missing_ok=True)
                break
            links[folder / step.id] = store.path(item.key)
            if settled or not item.cached:
                settle()
        scored = any(step.score for step in reports)
        about = {"metric": data.metric, **(worth.told(assess.worth()) if scored else {})}
    settle()
    refused = _refusal(reports[-1])
    machine = {"edgekd": __version__, **fingerprint()}
    when = datetime.now(UTC).isoformat(timespec="seconds")
    report = Report(
        recipe.name,
        when,
        recipe.seed,
        {**data.fingerprint, **data.dropped, **about},
        recipe.overrides,
        machine,
        tuple(reports),
        refused,
    )
    logits = {name: assessed.logits for name, assessed in found.items() if assessed.score}
    answers.write(folder, data.dev, data.labels, logits)
    report_files.write(report, folder)
    return report


@dataclass(frozen=True)
class _Made:
    """A step's artifact, whether it was there already, and how many seconds it took."""

    artifact: Artifact
    cached: bool
    seconds: float


def _make(
    item: Planned,
    sources: Mapping[str, Artifact],
    data: Data,
    store: Store,
    watcher: Watcher,
    track: Track,
    launch: Launch | None,
) -> _Made:
    start = time.perf_counter()
    if item.key in store:
        return _Made(store.load(item.key), True, 0.0)
    stage = item.step.stage
    source = sources[item.step.source] if item.step.source else None

    def fill(out: Path) -> Artifact:
        scratch = store.scratch(item.key)
        if any(scratch.iterdir()):
            watcher.say("  going on from what a stopped run left")
        job = Job(source, sources, data, out, scratch, int(item.parts["seed"]), watcher.progress, track)
        if lacks := extras.lacking(stage.needs()):
            python = extras.environment(lacks, watcher.say, watcher.progress)
            facts, libraries = apart.run(stage, job, python)
        elif launch and type(stage).trains:
            facts, libraries = launch(stage, job), item.parts["libraries"]
        else:
            facts, libraries = stage.made(job), item.parts["libraries"]
        return Artifact.seal(out, _manifest(item, data, facts, libraries))

    return _Made(store.publish(item.key, fill), False, time.perf_counter() - start)


def _manifest(item: Planned, data: Data, facts: Mapping[str, Any], libraries: Mapping[str, str]) -> Manifest:
    stage = item.step.stage
    return Manifest(
        key=item.key,
        stage=stage.name(),
        stage_version=type(stage).version,
        format=type(stage).makes,
        task=data.options.task if stage.reads_data else "",
        labels=data.labels if stage.reads_data else (),
        text=data.options.text if stage.reads_data else (),
        max_length=data.options.max_length if stage.reads_data else 0,
        options=item.parts["options"],
        parents=item.parts["sources"],
        data=item.parts["data"],
        libraries=libraries,
        offline=bool(item.parts["offline"]),
        facts=facts,
    )


def _report(item: Planned, made: _Made, found: Assessed) -> StepReport:
    return StepReport(
        step=item.step.id,
        stage=item.step.stage.name(),
        key=item.key,
        format=made.artifact.manifest.format,
        cached=made.cached,
        seconds=made.seconds,
        size=made.artifact.size,
        model_size=made.artifact.model_size,
        parameters=made.artifact.manifest.facts.get("parameters"),
        score=found.score,
        source=item.step.source,
        timings=found.timings,
        tuned=found.tuned,
        gates=found.gates,
        doubts=(
            *made.artifact.manifest.facts.get("doubts", ()),
            *found.doubts,
            *(f"{timing.device}: {doubt}" for timing in found.timings for doubt in timing.doubts),
        ),
        facts=made.artifact.manifest.facts,
        others=tuple(sorted(set(item.step.sources) - {item.step.source})),
        change=found.change,
        examination=found.examination,
        training=_training(made.artifact),
    )


def _training(artifact: Artifact) -> tuple[dict[str, Any], ...]:
    """The losses that a stage which trains leaves beside the weights; none of another."""
    file = artifact.path / TRAINING
    return tuple(json.loads(file.read_text())) if file.is_file() else ()


def _refusal(report: StepReport) -> str:
    failed = [gate for gate in report.gates if not gate.passed]
    told = "; ".join(f"{gate.name} is {gate.value:.4g}, the limit is {gate.limit:.4g}" for gate in failed)
    return f"'{report.step}' is refused: {told}" if failed else ""


def _save_state(folder: Path, recipe: Recipe, planned: Sequence[Planned]) -> None:
    """What the next plan compares with, and the recipe as it runs."""
    import yaml

    write_text(folder / STATE, json.dumps({item.step.id: item.parts for item in planned}, indent=1) + "\n")

    def fields(item: Planned) -> dict[str, Any]:
        options = item.step.stage.model_dump(mode="json", by_alias=True, exclude_none=True)
        return {"id": item.step.id, "stage": item.step.stage.name(), **options}

    resolved = {
        "name": recipe.name,
        "data": recipe.data.model_dump(mode="json", exclude_none=True),
        "seed": recipe.seed,
        "steps": [fields(item) for item in planned],
        "devices": [device.name for device in recipe.devices],
    }
    head = "# The recipe as it ran, every default written out.\n"
    if recipe.overrides:
        head += f"# Overrides of its offline block applied to {', '.join(recipe.overrides)}.\n"
    write_text(folder / report_files.RECIPE, head + yaml.safe_dump(resolved, sort_keys=False, allow_unicode=True))


def _clear_stale(folder: Path, planned: Sequence[Planned]) -> None:
    """Remove what an earlier run of other options left: links to its artifacts, and the report that speaks of them."""
    current = {item.step.id: item.key for item in planned}
    stale = [link for link in folder.glob("*") if link.is_symlink() and current.get(link.name) != link.readlink().name]
    if stale or not all(item.cached for item in planned):
        stale += [folder / name for name in (*report_files.NAMES, answers.FILE)]
    for file in stale:
        file.unlink(missing_ok=True)


def _link(link: Path, target: Path) -> None:
    """Point runs/NAME/STEP at the store, by a relative link that is replaced in one rename."""
    with writable(link):
        draft = draft_of(link)
        draft.unlink(missing_ok=True)
        draft.symlink_to(os.path.relpath(target, os.path.realpath(link.parent)))
        draft.replace(link)


def _summary(result: StepReport) -> str:
    score = f"{result.score.metric} {result.score.value:.4f}" if result.score else "knows no task, not scored"
    parts = [score, f"{result.model_size / 1e6:.1f} MB"]
    for timing in result.timings:
        if middle := timing.latency.percentile(50):
            threads = f"{timing.threads} thread{'s' * (timing.threads > 1)}"
            parts.append(f"p50 {middle.value * 1e3:.2f} ms on {timing.device} ({threads})")
    parts.append("cached" if result.cached else f"{result.seconds:.0f} s")
    return ", ".join(parts)
