"""Training in several processes of a Ray cluster, by Ray Train."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekd import apart, launching
from edgekd.errors import EdgekdError
from edgekd.stage import Job, Stage
from edgekd.store import write_text

_FACTS = "facts.json"
_FAILURES = 3  # times that all begin again, at their last checkpoint, where one was lost


@dataclass(frozen=True)
class Training:
    """A stage's work in so many processes, each with its cores and GPUs; an edgekd.launching.Launch.

    They need the store and the data under the same paths. Raises EdgekdError where they cannot be placed or fail.
    """

    workers: int
    cpus: int
    gpus: float

    def __call__(self, stage: Stage, job: Job) -> Mapping[str, Any]:
        from ray.train import FailureConfig, RunConfig, ScalingConfig, TrainingFailedError
        from ray.train.torch import TorchTrainer

        resources = {"CPU": self.cpus, **({"GPU": self.gpus} if self.gpus else {})}
        trainer = TorchTrainer(
            _share,
            train_loop_config=apart.ask(stage, job),
            scaling_config=ScalingConfig(
                num_workers=self.workers, use_gpu=self.gpus > 0, resources_per_worker=resources
            ),
            run_config=RunConfig(
                name=job.out.name,
                storage_path=str(job.scratch / "ray"),
                failure_config=FailureConfig(max_failures=_FAILURES),
            ),
        )
        try:
            trainer.fit()
        except TrainingFailedError as error:
            failures = getattr(error, "worker_failures", {}).values()
            raise next(filter(None, map(_told, failures)), EdgekdError(str(error).strip())) from None
        facts: Mapping[str, Any] = json.loads((job.scratch / _FACTS).read_text())
        return facts


def _share(asked: dict[str, Any]) -> None:
    """One of the processes."""
    facts = launching.share(asked)["facts"]
    if launching.rank() == 0:
        write_text(Path(asked["scratch"]) / _FACTS, json.dumps(facts))


def _told(failure: BaseException | None) -> EdgekdError | None:
    """What a process itself told, under what Ray makes of it."""
    while failure is not None and not isinstance(failure, EdgekdError):
        failure = getattr(failure, "_base_exc", None) or failure.__cause__
    return failure
