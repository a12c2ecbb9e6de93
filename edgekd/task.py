"""The contract of a task: what a label is, how logits are scored and decoded. No torch: it also serves on a device."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from edgekd.errors import EdgekdError, nearest
from edgekd.registry import Registry

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgekd.examination import Calibration, Group

    Floats = NDArray[np.floating[Any]]
    Metric = Callable[[NDArray[Any], NDArray[Any]], float]


class Task(ABC):
    """One kind of task. Stateless: labels are passed in."""

    problem_type: ClassVar[str]  # transformers' name for it, stored in the model's config
    default_metric: ClassVar[str]
    # Name -> function(predictions, targets), both (rows,). Higher is better; libraries load when one is called.
    metrics: ClassVar["Mapping[str, Metric]"]

    @abstractmethod
    def outputs(self, labels: Sequence[str]) -> int:
        """The width of the model's head."""

    @abstractmethod
    def target(self, value: Any, labels: Sequence[str], indexed: bool) -> float:
        """A label cell as a number; `indexed`: it may be a label's number. Raises EdgekdError where it is no label."""

    @abstractmethod
    def predictions(self, logits: "Floats") -> "NDArray[Any]":
        """(rows, outputs) logits -> (rows,) predictions in the targets' unit."""

    @abstractmethod
    def decode(self, logits: "Floats", labels: Sequence[str]) -> list[dict[str, Any]]:
        """(rows, outputs) logits -> one JSON-able answer a row."""

    @abstractmethod
    def agreement(self, ours: "Floats", theirs: "Floats") -> float:
        """Share of rows, in [0, 1], on which two sets of (rows, outputs) logits give the same answer."""

    # What a report shows of the answers, where a task has it to tell. `logits` are (rows, outputs), `targets` (rows,).

    def losses(self, logits: "Floats", targets: "NDArray[Any]") -> "NDArray[Any] | None":
        """(rows,) how wrong each answer is, 0 at best: the worst are shown."""
        return None

    def right(self, logits: "Floats", targets: "NDArray[Any]") -> "NDArray[np.bool_] | None":
        """(rows,) which answers are right, where an answer is either right or wrong."""
        return None

    def told(self, logits: "Floats", targets: "NDArray[Any]", labels: Sequence[str]) -> list[tuple[str, str]]:
        """The target and the answer of each row, in words."""
        answers = self.decode(logits, labels)
        return [(str(target), str(answer)) for target, answer in zip(targets, answers, strict=True)]

    def groups(self, logits: "Floats", targets: "NDArray[Any]", labels: Sequence[str]) -> "tuple[Group, ...]":
        """Scores of the rows of each label, or of each range of targets."""
        return ()

    def calibration(self, logits: "Floats", targets: "NDArray[Any]") -> "Calibration | None":
        """Whether what the model says of its answers is so."""
        return None

    def metric(self, name: str) -> "Metric":
        """Raises EdgekdError with the nearest name where the task has no such metric."""
        if name not in self.metrics:
            raise EdgekdError(f"unknown metric '{name}'", nearest(name, self.metrics))
        return self.metrics[name]


TASKS: Registry[Task] = Registry("edgekd.tasks", Task, "task")  # type: ignore[type-abstract]
