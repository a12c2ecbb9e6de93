"""One label of a closed set for a sentence or a pair of sentences."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from edgekd.errors import EdgekdError, nearest
from edgekd.task import Task

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgekd.task import Floats


def _accuracy(predicted: "NDArray[Any]", true: "NDArray[Any]") -> float:
    return float((predicted == true).mean())


def _matthews(predicted: "NDArray[Any]", true: "NDArray[Any]") -> float:
    from sklearn.metrics import matthews_corrcoef

    return float(matthews_corrcoef(true, predicted))


def _f1(predicted: "NDArray[Any]", true: "NDArray[Any]") -> float:
    """F1 of the second label, as GLUE means it: "equivalent", "duplicate"."""
    from sklearn.metrics import f1_score

    return float(f1_score(true == 1, predicted == 1, zero_division=0.0))


def _macro_f1(predicted: "NDArray[Any]", true: "NDArray[Any]") -> float:
    from sklearn.metrics import f1_score

    return float(f1_score(true, predicted, average="macro", zero_division=0.0))


class Classification(Task):
    problem_type = "single_label_classification"
    default_metric = "accuracy"
    metrics: ClassVar = {"accuracy": _accuracy, "matthews_correlation": _matthews, "f1": _f1, "macro_f1": _macro_f1}

    def outputs(self, labels: Sequence[str]) -> int:
        return len(labels)

    def labels(self, cells: Sequence[Any], names: Sequence[str]) -> tuple[str, ...]:
        found = tuple(names) or tuple(sorted({str(cell).strip() for cell in cells}))
        if len(found) < 2:
            raise EdgekdError(f"the only label is {found[0]!r}", "A classification needs two: check data.label.")
        return found

    def read(
        self, cells: Sequence[Any], label: Any, labels: Sequence[str], indexed: bool
    ) -> tuple[tuple[str, ...], list[float]]:
        return tuple(map(str, cells)), [self.target(label, labels, indexed)]

    def target(self, value: Any, labels: Sequence[str], indexed: bool) -> float:
        """A label cell as the label's number. Raises EdgekdError where it is none."""
        text = str(value).strip()
        if indexed and text.isdecimal() and int(text) < len(labels):
            return int(text)
        if text in labels:
            return labels.index(text)
        raise EdgekdError(f"label {text!r} is none of {', '.join(labels)}", nearest(text, labels))

    def predictions(self, logits: "Floats") -> "NDArray[Any]":
        found: NDArray[Any] = logits.argmax(axis=1)
        return found

    def decode(self, logits: "Floats", labels: Sequence[str], texts: Sequence[Sequence[str]] = ()) -> list[Any]:
        import numpy as np

        shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
        chances = shifted / shifted.sum(axis=1, keepdims=True)
        return [
            {
                "label": labels[int(row.argmax())],
                "scores": {name: round(float(p), 6) for name, p in zip(labels, row, strict=True)},
            }
            for row in chances
        ]

    def agreement(self, ours: "Floats", theirs: "Floats") -> float:
        return float((self.predictions(ours) == self.predictions(theirs)).mean())
