"""A run's losses, scores and latencies, told to the tracker that a user has: TensorBoard, MLflow or Weights & Biases.

Accelerate's own integrations do it. A tracker has a run of its own for each step of a recipe, so that their curves lie
over each other.
"""

import importlib.util
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from edgekd.errors import EdgekdError, nearest
from edgekd.report import StepReport

FOLDER = "curves.tensorboard"  # a name that no step can have
# Name -> packages that are it, any of which will do; what to look at where it does not start.
TRACKERS: Mapping[str, tuple[tuple[str, ...], str]] = {
    "tensorboard": (("tensorboard", "tensorboardX"), "Is its folder one that can be written to?"),
    "mlflow": (("mlflow",), "Look at MLFLOW_TRACKING_URI."),
    "wandb": (("wandb",), "Type: wandb login; or set WANDB_MODE=offline"),
}

# Takes values by name, and the training step that they are of; None: of the artifact.
Track = Callable[[Mapping[str, float], int | None], None]


class Tracking:
    """The trackers of a run. `folder` is the run's own, `say` is told of a tracker that fails when a run is on its way:
    it is told nothing more, and the run goes on.

    Raises EdgekdError for one that is not installed.
    """

    def __init__(self, names: Sequence[str], recipe: str, folder: Path, say: Callable[[str], None]) -> None:
        self._names, self._recipe, self._folder, self._say = list(dict.fromkeys(names)), recipe, folder, say
        self._begun = False
        for name in self._names:
            if name not in TRACKERS:
                raise EdgekdError(f"there is no tracker '{name}'", nearest(name, TRACKERS))
            packages = TRACKERS[name][0]
            # A folder of that name, such as wandb makes, is found too, and has no origin.
            if not any((spec := importlib.util.find_spec(package)) and spec.origin for package in packages):
                raise EdgekdError(f"{name} is not installed", f"Type: pip install {packages[0]}")

    @contextmanager
    def step(self, name: str, key: str, options: Mapping[str, Any]) -> Iterator[Track]:
        """A step of the recipe. Raises EdgekdError where a tracker does not start for the first of them."""
        started: dict[str, Any] = {}

        def each(do: Callable[[str], None], kinds: Iterable[str]) -> None:
            for kind in list(kinds):
                try:
                    do(kind)
                except Exception as error:  # each has its own families of errors, and none may end a training
                    if tracker := started.pop(kind, None):
                        with suppress(Exception):
                            tracker.finish()
                    self._lose(kind, error)

        def begin(kind: str) -> None:
            tracker = self._tracker(kind, name, key)
            tracker.start()
            started[kind] = tracker
            if kind != "tensorboard":  # there it would be a run of its own, with nothing in it
                tracker.store_init_configuration({"key": key, **options})

        try:
            each(begin, self._names)
            self._begun = True
            yield lambda values, at: each(lambda kind: started[kind].log(dict(values), step=at), started)
        finally:
            each(lambda kind: started[kind].finish(), started)

    def _tracker(self, kind: str, step: str, key: str) -> Any:
        from accelerate import tracking

        match kind:
            case "tensorboard":
                # What was made by other options has another key, and stays beside it.
                return tracking.TensorBoardTracker(f"{step}/{key[:8]}", self._folder / FOLDER)
            case "mlflow":
                return tracking.MLflowTracker(self._recipe, run_name=step)
        return tracking.WandBTracker(self._recipe, name=step)

    def _lose(self, kind: str, error: Exception) -> None:
        told = f"{kind}: {type(error).__name__}: {error}"
        if not self._begun:
            raise EdgekdError(told, TRACKERS[kind][1]) from None
        self._names.remove(kind)
        self._say(f"  {told}. It is told nothing more; the run goes on")


def figures(report: StepReport) -> dict[str, float]:
    """What is told of an artifact: scores, megabytes (10^6), median milliseconds by device and threads, and whether it
    passed its gates (1 or 0).
    """
    found = {"model_mb": report.model_size / 1e6, "passed": float(report.passed)}
    if report.score:
        scores = {report.score.metric: report.score.value, **report.score.others}
        found |= {f"score/{name}": value for name, value in scores.items()}
    for timing in report.timings:
        if middle := timing.latency.percentile(50):
            found[f"p50_ms/{timing.device}/{timing.threads}"] = 1e3 * middle.value
    return found
