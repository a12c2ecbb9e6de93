"""An artifact's answers on dev from nearer, and how far its score would move on other rows like them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from edgekd.data import Split
from edgekd.examination import Examination, Example
from edgekd.task import Task

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgekd.task import Sampler

    Floats = NDArray[np.floating[Any]]

VERSION = 2  # raise it when the same answers would be examined otherwise
DRAWS = 500
_WORST, _LETTERS = 10, 400


def examine(task: Task, logits: "Floats", dev: Split, labels: Sequence[str]) -> Examination:
    """What the task tells of the dev split's logits, (rows, outputs): groups, calibration, the worst answers."""
    worst: tuple[Example, ...] = ()
    if (losses := task.losses(logits, dev.targets)) is not None:
        rows = [int(row) for row in (-losses).argsort(kind="stable")[:_WORST]]
        words = task.told(logits[rows], dev.targets[rows], labels)
        worst = tuple(
            Example(row + 1, tuple(_cut(text) for text in dev.texts[row]), *told, float(losses[row]))
            for row, told in zip(rows, words, strict=True)
        )
    return Examination(task.groups(logits, dev.targets, labels), task.calibration(logits, dev.targets), worst)


def redrawn(score: "Sampler", count: int, draws: int = DRAWS) -> list[float]:
    """A task's sampler on `draws` samples of `count` rows, drawn with replacement (Efron 1979).

    Artifacts that answer the same rows get the same samples, so the differences of two lists are those of a paired
    bootstrap. Rows are drawn, whole: the words of one do not vary by themselves.
    """
    import numpy as np

    draw = np.random.default_rng(0)
    return [float(score(draw.integers(0, count, count))) for _ in range(draws)]


def interval(values: "Sequence[float] | NDArray[Any]") -> tuple[float, float] | None:
    """The middle 95 % of redrawn values; None where there are none, or one had no score, such as a correlation of equal
    numbers.
    """
    import numpy as np

    if not len(values) or not np.isfinite(values).all():
        return None
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


def _cut(text: str) -> str:
    return text if len(text) <= _LETTERS else text[:_LETTERS] + " ..."
