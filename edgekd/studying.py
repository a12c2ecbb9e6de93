"""Runs a study: each variant and seed is a run of the pipeline in one store, so that what they share is made once."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from edgekd import __version__, pipeline, study_files
from edgekd.data import Data
from edgekd.errors import EdgekdError
from edgekd.launching import Launch
from edgekd.store import Store, remove_drafts
from edgekd.study import Study
from edgekd.study_plan import Trial, outlook, trials
from edgekd.study_results import Outcome, Results
from edgekd.watcher import Watcher


def run(study: Study, store: Store, runs: Path, watcher: Watcher, launch: Launch | None = None) -> Results:
    """Run every trial; runs/NAME/study.json, study.md and study.svg are written anew after each. Trainings are by
    `launch`, as `pipeline.run` has it.

    A refused or failed trial is recorded with its reason, and the study goes on. Raises EdgekdError at the end where a
    trial failed: an artifact that a gate refuses is a result, a run that broke is not.
    """
    folder = runs / study.name
    remove_drafts(folder)
    ordered = trials(study, store, runs)
    taken = study_files.seconds(folder)
    broken: dict[str, str] = {}
    outcomes: list[Outcome] = []
    for trial, line in zip(ordered, outlook(ordered), strict=True):
        watcher.say(line)
        outcome = _outcome(study, trial, store, folder, watcher, broken, launch)
        if outcome.seconds is None:
            outcome = replace(outcome, seconds=taken.get(outcome.key))
        else:
            taken[outcome.key] = outcome.seconds
        outcomes.append(outcome)
        results = _results(study, outcomes)
        study_files.write(results, folder)
    if failed := [outcome for outcome in outcomes if outcome.failed]:
        raise EdgekdError(
            f"{len(failed)} of {len(outcomes)} runs failed, the first: {failed[0].failed}",
            f"See {folder / study_files.MARKDOWN}. The same command tries these again.",
        )
    return results


def _outcome(
    study: Study,
    trial: Trial,
    store: Store,
    folder: Path,
    watcher: Watcher,
    broken: dict[str, str],
    launch: Launch | None,
) -> Outcome:
    """Run a trial. `broken` holds why a step failed, by key: what shares it is not tried again, and told the same."""
    found = Outcome(trial.variant.name, trial.variant.labels, trial.seed, trial.key(study.measure))
    if reasons := [broken[key] for key in trial.keys if key in broken]:
        return replace(found, failed=reasons[0])
    try:
        report = pipeline.attempt(trial.recipe, store, folder, watcher, launch=launch)
    except EdgekdError as error:
        watcher.say(f"  failed: {error.problem}")
        missing = next((key for key in trial.keys if key not in store), found.key)
        broken[missing] = error.problem
        return replace(found, failed=error.problem)
    steps = {step.step: step for step in report.steps}
    found = replace(found, refused=report.refused)
    if (held := steps.get(study.options.against or "")) and held.score:
        found = replace(found, against=held.score.value)
    if (measured := steps.get(study.measure)) and measured.score:
        found = replace(found, score=measured.score.value, seconds=None if measured.cached else measured.seconds)
    if report.refused:
        watcher.say(f"  {report.refused}")
    return found


def _results(study: Study, outcomes: Sequence[Outcome]) -> Results:
    data = Data(study.recipe.data, study.recipe.seed)
    return Results(
        name=study.name,
        when=datetime.now(UTC).isoformat(timespec="seconds"),
        edgekd=__version__,
        recipe=study.recipe.name,
        data=data.fingerprint,
        metric=data.metric,
        overrides=study.recipe.overrides,
        measure=study.measure,
        against=study.options.against,
        seeds=study.options.seeds,
        seeded=study.seeded,
        base=study.variants[0].labels,
        variants=tuple(variant.name for variant in study.variants),
        outcomes=tuple(outcomes),
    )
