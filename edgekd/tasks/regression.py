"""One number for a sentence or a pair of sentences."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from edgekd.errors import EdgekdError
from edgekd.examination import Calibration, Group
from edgekd.task import Task

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgekd.task import Floats


def _pearson(predicted: "NDArray[Any]", true: "NDArray[Any]") -> float:
    from scipy.stats import pearsonr

    return float(pearsonr(predicted, true).statistic)


def _spearman(predicted: "NDArray[Any]", true: "NDArray[Any]") -> float:
    from scipy.stats import spearmanr

    return float(spearmanr(predicted, true).statistic)


def _negative_mse(predicted: "NDArray[Any]", true: "NDArray[Any]") -> float:
    """Negated, because a higher score is better everywhere in edgekd."""
    return -float(((predicted - true) ** 2).mean())


_LARGEST = 3.4e38  # of single precision


class Regression(Task):
    problem_type = "regression"
    default_metric = "pearson"
    metrics: ClassVar = {"pearson": _pearson, "spearman": _spearman, "negative_mse": _negative_mse}

    def outputs(self, labels: Sequence[str]) -> int:
        return 1

    def labels(self, cells: Sequence[Any], names: Sequence[str]) -> tuple[str, ...]:
        return ()

    def read(
        self, cells: Sequence[Any], label: Any, labels: Sequence[str], indexed: bool
    ) -> tuple[tuple[str, ...], list[float]]:
        return self.texts(cells), [self.target(label)]

    def target(self, value: Any) -> float:
        """A label cell as a number. Raises EdgekdError where it is none."""
        try:
            number = math.nan if "_" in str(value) else float(value)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if not abs(number) < _LARGEST:
            raise EdgekdError(
                f"{value!r:.100} is not a finite number", "Regression needs a number in every label cell."
            )
        return number

    def predictions(self, logits: "Floats") -> "NDArray[Any]":
        return logits[:, 0]

    def decode(self, logits: "Floats", labels: Sequence[str], texts: Sequence[Sequence[str]] = ()) -> list[Any]:
        return [{"value": round(float(row[0]), 6)} for row in logits]

    def blind(self, targets: "NDArray[Any]", labels: Sequence[str]) -> "dict[str, Floats]":
        import numpy as np

        return {f"always {targets.mean():.4g}": np.array([targets.mean()])}

    def agreement(self, ours: "Floats", theirs: "Floats") -> float:
        """Rows whose values are within 5 % of the range that the source's values span: a step of STS-B's own labels,
        means of five raters, is 4 %.
        """
        import numpy as np

        reference = self.predictions(theirs)
        span = float(reference.max() - reference.min()) or 1.0
        return float((np.abs(self.predictions(ours) - reference) <= 0.05 * span).mean())

    def losses(self, logits: "Floats", targets: "NDArray[Any]") -> "NDArray[Any]":
        """Absolute difference."""
        off: NDArray[Any] = abs(self.predictions(logits) - targets)
        return off

    def told(self, logits: "Floats", targets: "NDArray[Any]", labels: Sequence[str]) -> list[tuple[str, str]]:
        return [
            (f"{target:.4g}", f"{value:.4g}") for target, value in zip(targets, self.predictions(logits), strict=True)
        ]

    def groups(self, logits: "Floats", targets: "NDArray[Any]", labels: Sequence[str]) -> tuple[Group, ...]:
        """Mean errors by quarters of the targets; equal targets stay together."""
        import numpy as np

        off = self.predictions(logits) - targets
        edges = np.unique(np.quantile(targets, [0, 0.25, 0.5, 0.75, 1]))
        place = np.digitize(targets, edges[1:-1], right=True)
        return tuple(
            Group(
                f"{targets[place == number].min():.4g} to {targets[place == number].max():.4g}",
                int((place == number).sum()),
                {
                    "mean absolute error": float(abs(off[place == number]).mean()),
                    "mean error": float(off[place == number].mean()),
                },
            )
            for number in np.unique(place)
        )

    def calibration(self, logits: "Floats", targets: "NDArray[Any]") -> Calibration:
        """Mean value predicted against mean label, by tenths of the predictions."""
        import numpy as np

        said = self.predictions(logits)
        edges = [float(edge) for edge in np.unique(np.quantile(said, np.linspace(0, 1, 11)))]
        return Calibration.of(said, targets, edges, ("mean value predicted", "mean label"))
