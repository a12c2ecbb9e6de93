"""The contract of a task: what a label is, how logits are scored and decoded. No torch: it also serves on a device.

A task answers once for each *position*: a row, or a word of a row (`per_token`). Logits are (positions, outputs), the
rows one after another, and so are targets and predictions.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from edgekd.errors import EdgekdError, nearest
from edgekd.registry import Registry

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgekd.examination import Calibration, Group
    from edgekd.tokens import Encoded
    from edgekd.words import Span

    Floats = NDArray[np.floating[Any]]
    Metric = Callable[[Any, Any], float]
    Sampler = Callable[["NDArray[np.intp]"], float]


class Task(ABC):
    """One kind of task. Stateless: labels are passed in."""

    problem_type: ClassVar[str | None]  # transformers' name for it, stored in the model's config
    per_token: ClassVar[bool] = False  # the model's outputs are (rows, length, outputs) and its positions are words
    default_metric: ClassVar[str]
    # Name -> function of predictions and targets, as `compared` gives them. Higher is better; libraries load in it.
    metrics: ClassVar["Mapping[str, Metric]"]

    @classmethod
    def continuous(cls) -> bool:
        """Whether the model learns a number rather than one of several labels."""
        return cls.problem_type == "regression"

    @abstractmethod
    def outputs(self, labels: Sequence[str]) -> int:
        """The width of the model's head."""

    @abstractmethod
    def labels(self, cells: Sequence[Any], names: Sequence[str]) -> tuple[str, ...]:
        """The labels of a train split's label cells; `names` are those that the source declares, if it does.

        Raises EdgekdError where the cells are none.
        """

    def scores(self, labels: Sequence[str]) -> Sequence[str]:
        """The names of the metrics that mean something where there are these labels."""
        return tuple(self.metrics)

    @abstractmethod
    def read(
        self, cells: Sequence[Any], label: Any, labels: Sequence[str], indexed: bool
    ) -> tuple[tuple[str, ...], list[float]]:
        """A row's text cells and label cell: its texts, and a number for each of its positions.

        `indexed`: the label may be a label's number. Raises EdgekdError where it is no label.
        """

    def texts(self, cells: Sequence[Any]) -> tuple[str, ...]:
        """A row's text cells as texts. Raises EdgekdError for one that holds several values."""
        for cell in cells:
            if isinstance(cell, (list, dict)):
                raise EdgekdError(f"a {'list' if isinstance(cell, list) else 'mapping'} is no text", "Give a string.")
        return tuple(map(str, cells))

    def words(self, text: str) -> "list[Span] | None":
        """The positions of a row of this text; None: it has one."""
        return None

    def answers(self, outputs: "Floats", tokens: "Encoded", labels: Sequence[str]) -> "Floats":
        """What a model gave for rows, one after another, to (positions, outputs)."""
        return outputs

    @abstractmethod
    def predictions(self, logits: "Floats") -> "NDArray[Any]":
        """(positions, outputs) logits -> (positions,) predictions in the targets' unit."""

    def compared(self, values: "NDArray[Any]", labels: Sequence[str], ends: "NDArray[Any]") -> Any:
        """Predictions or targets (positions,) as the metrics take them; `ends` says where each row's positions end."""
        return values

    @abstractmethod
    def decode(self, logits: "Floats", labels: Sequence[str], texts: Sequence[Sequence[str]] = ()) -> list[Any]:
        """(positions, outputs) logits -> one JSON-able answer a row; `texts` are the rows', for tasks with `words`."""

    def blind(self, targets: "NDArray[Any]", labels: Sequence[str]) -> "Mapping[str, Floats]":
        """Answers that know nothing of a row, by name: the outputs (outputs,) of each. `targets` are those of train.

        A model that scores no more than the best of them has learnt nothing.
        """
        return {}

    @abstractmethod
    def agreement(self, ours: "Floats", theirs: "Floats") -> float:
        """Share of positions, in [0, 1], at which two sets of (positions, outputs) logits give the same answer."""

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

    def sampler(
        self, metric: str, logits: "Floats", targets: "NDArray[Any]", labels: Sequence[str], ends: "NDArray[Any]"
    ) -> "Sampler":
        """The metric of any sample of the rows, as a function of their numbers; of all rows it is the metric itself."""
        import numpy as np

        predicted, score = self.predictions(logits), self.metric(metric)
        lengths = np.diff(ends, prepend=0)

        def sampled(rows: "NDArray[np.intp]") -> float:
            cut = np.cumsum(lengths[rows])
            # Of each row drawn, all its positions: where they begin in all, counted on from where they begin here.
            places = np.repeat(ends[rows] - cut, lengths[rows]) + np.arange(cut[-1])
            return float(score(*(self.compared(values[places], labels, cut) for values in (predicted, targets))))

        return sampled

    def metric(self, name: str) -> "Metric":
        """Raises EdgekdError with the nearest name where the task has no such metric."""
        if name not in self.metrics:
            raise EdgekdError(f"unknown metric '{name}'", nearest(name, self.metrics))
        return self.metrics[name]


TASKS: Registry[Task] = Registry("edgekd.tasks", Task, "task")  # type: ignore[type-abstract]
