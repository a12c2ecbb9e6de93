"""edgekd from Python: `from edgekd import Recipe, run, load`."""

from collections.abc import Sequence
from pathlib import Path

from edgekd import pipeline
from edgekd.errors import EdgekdError
from edgekd.launching import Command
from edgekd.predicting import Model
from edgekd.recipe import Recipe
from edgekd.report import Report
from edgekd.shared_store import opened
from edgekd.watcher import Silent, Watcher


def run(
    recipe: Recipe | Path | str,
    runs: Path | str = "runs",
    store: Path | str | None = None,
    settings: Sequence[str] = (),
    time_again: bool = False,
    watcher: Watcher | None = None,
    track: Sequence[str] = (),
    launch: str | None = None,
) -> Report:
    """Run a recipe, or the one that a file holds, as `edgekd run` does; the report and links go to RUNS/NAME.

    `settings` override a file's fields, such as "steps.student.epochs=1". The report's times are in seconds, its sizes
    in bytes. `track` names trackers to tell, such as "tensorboard". `launch` is a command that has
    trainings take several processes, such as "torchrun --standalone --nproc-per-node 2". Raises EdgekdError for
    anything wrong in the recipe or on the machine, and its RefusedError where an artifact fails a gate, after the
    report is written.
    """
    for name, given in (("settings", settings), ("track", track)):
        if isinstance(given, str):
            raise EdgekdError(f"{name} is a list", f'Such as {name}=["{given}"].')
    found = recipe if isinstance(recipe, Recipe) else Recipe.read(recipe, settings)
    kept = opened(store, Path(runs))
    launched = Command.read(launch) if launch else None
    return pipeline.run(found, kept, Path(runs), watcher or Silent(), time_again, track, launched)


def load(folder: Path | str) -> Model:
    """An artifact of a run, such as load("runs/cola_int8/onnx_int8"), ready to `predict`.

    Raises EdgekdError where the folder is no sound artifact, or its runtime is not installed.
    """
    return Model(folder)
