"""One label of a closed set for a sentence or a pair of sentences."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from edgekd.errors import EdgekdError, listed, nearest
from edgekd.examination import Calibration, Group
from edgekd.task import Task

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgekd.task import Floats, Sampler


def _chances(logits: "Floats") -> "NDArray[Any]":
    """Softmax: (rows, outputs) -> (rows, outputs)."""
    import numpy as np

    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    chances: NDArray[Any] = shifted / shifted.sum(axis=1, keepdims=True)
    return chances


def _accuracy(predicted: "NDArray[Any]", true: "NDArray[Any]") -> float:
    return float((predicted == true).mean())


def _matthews(predicted: "NDArray[Any]", true: "NDArray[Any]") -> float:
    from sklearn.metrics import matthews_corrcoef

    return float(matthews_corrcoef(true, predicted))


def _f1(predicted: "NDArray[Any]", true: "NDArray[Any]") -> float:
    """F1 of the second of two labels, as GLUE means it: "equivalent", "duplicate"."""
    from sklearn.metrics import f1_score

    return float(f1_score(true == 1, predicted == 1, zero_division=0.0))


def _macro_f1(predicted: "NDArray[Any]", true: "NDArray[Any]") -> float:
    from sklearn.metrics import f1_score

    return float(f1_score(true, predicted, average="macro", zero_division=0.0))


# The same of a table of counts, (answers, labels): a library's call takes a millisecond, and intervals take thousands.


def _table_accuracy(table: "NDArray[Any]") -> float:
    return float(table.trace() / table.sum())


def _table_matthews(table: "NDArray[Any]") -> float:
    """Gorodkin 2004; 0 where all answers or all labels are the same."""
    answers, true, rows = table.sum(axis=1), table.sum(axis=0), table.sum()
    spread = float(rows**2 - answers @ answers) * float(rows**2 - true @ true)
    return float(table.trace() * rows - answers @ true) / math.sqrt(spread) if spread else 0.0


def _table_f1(table: "NDArray[Any]") -> float:
    found = table[1].sum() + table[:, 1].sum()
    return float(2 * table[1, 1] / found) if found else 0.0


def _table_macro_f1(table: "NDArray[Any]") -> float:
    found = table.sum(axis=0) + table.sum(axis=1)
    there = found > 0  # labels that were given or are true
    return float((2 * table.diagonal()[there] / found[there]).mean())


_OF_TABLE = {
    "accuracy": _table_accuracy,
    "matthews_correlation": _table_matthews,
    "f1": _table_f1,
    "macro_f1": _table_macro_f1,
}
_MANY = 50  # labels, above which one a row is taken for a column of another kind


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
        if not names and len(found) > max(_MANY, 0.9 * len(cells)):
            raise EdgekdError(
                f"{len(found):,} labels in {len(cells):,} rows: nearly every row has its own",
                "Is data.label right? If it is, name the labels in data.labels.",
            )
        return found

    def scores(self, labels: Sequence[str]) -> Sequence[str]:
        return tuple(name for name in self.metrics if name != "f1" or len(labels) == 2)

    def read(
        self, cells: Sequence[Any], label: Any, labels: Sequence[str], indexed: bool
    ) -> tuple[tuple[str, ...], list[float]]:
        return self.texts(cells), [self.target(label, labels, indexed)]

    def target(self, value: Any, labels: Sequence[str], indexed: bool) -> float:
        """A label cell as the label's number. Raises EdgekdError where it is none."""
        text = str(value).strip()
        if indexed and text.isdecimal() and len(text) < 10 and int(text) < len(labels):
            return int(text)
        if text in labels:
            return labels.index(text)
        raise EdgekdError(f"label {text!r} is none of {listed(labels)}", nearest(text, labels))

    def predictions(self, logits: "Floats") -> "NDArray[Any]":
        found: NDArray[Any] = logits.argmax(axis=1)
        return found

    def decode(self, logits: "Floats", labels: Sequence[str], texts: Sequence[Sequence[str]] = ()) -> list[Any]:
        return [self._decoded(row, labels) for row in logits.tolist()]

    @staticmethod
    def _decoded(row: list[float], labels: Sequence[str]) -> dict[str, Any]:
        """By Python's own numbers: of a few labels numpy takes longer to be called than to count."""
        largest = max(row)
        parts = [math.exp(value - largest) for value in row]
        whole = sum(parts)
        scores = {name: round(part / whole, 6) for name, part in zip(labels, parts, strict=True)}
        return {"label": labels[row.index(largest)], "scores": scores}

    def blind(self, targets: "NDArray[Any]", labels: Sequence[str]) -> "dict[str, Floats]":
        import numpy as np

        return {f"always '{label}'": row for label, row in zip(labels, np.eye(len(labels)), strict=True)}

    def agreement(self, ours: "Floats", theirs: "Floats") -> float:
        return float((self.predictions(ours) == self.predictions(theirs)).mean())

    def sampler(
        self, metric: str, logits: "Floats", targets: "NDArray[Any]", labels: Sequence[str], ends: "NDArray[Any]"
    ) -> "Sampler":
        import numpy as np

        if metric not in _OF_TABLE:
            return super().sampler(metric, logits, targets, labels, ends)
        count, of_table = len(labels), _OF_TABLE[metric]
        cells = self.predictions(logits) * count + targets.astype(np.intp)
        return lambda rows: of_table(np.bincount(cells[rows], minlength=count**2).reshape(count, count))

    def losses(self, logits: "Floats", targets: "NDArray[Any]") -> "NDArray[Any]":
        """Cross-entropy."""
        import numpy as np

        likely: NDArray[Any] = -np.log(np.maximum(_chances(logits)[np.arange(len(targets)), targets], 1e-12))
        return likely

    def right(self, logits: "Floats", targets: "NDArray[Any]") -> "NDArray[np.bool_]":
        found: NDArray[np.bool_] = self.predictions(logits) == targets
        return found

    def told(self, logits: "Floats", targets: "NDArray[Any]", labels: Sequence[str]) -> list[tuple[str, str]]:
        chances = _chances(logits)
        sure = zip(chances.argmax(axis=1), chances.max(axis=1), targets, strict=True)
        return [(labels[int(target)], f"{labels[int(answer)]} ({chance:.2f})") for answer, chance, target in sure]

    def groups(self, logits: "Floats", targets: "NDArray[Any]", labels: Sequence[str]) -> tuple[Group, ...]:
        """F1, precision and recall of each label."""
        from sklearn.metrics import precision_recall_fscore_support

        numbers = range(len(labels))
        found = precision_recall_fscore_support(targets, self.predictions(logits), labels=numbers, zero_division=0.0)
        return tuple(
            Group(name, int(rows), {"F1": float(f1), "precision": float(precision), "recall": float(recall)})
            for name, precision, recall, f1, rows in zip(labels, *found, strict=True)
        )

    def calibration(self, logits: "Floats", targets: "NDArray[Any]") -> Calibration:
        """Confidence of the answer against how often it is right, in 15 bins of equal width as Guo et al. 2017 have."""
        import numpy as np

        said, true = _chances(logits).max(axis=1), self.right(logits, targets)
        return Calibration.of(
            said, true, [float(edge) for edge in np.linspace(0, 1, 16)], ("confidence", "share right")
        )
