"""What an artifact's answers on dev look like from nearer: by group, by how sure they are, and where they are worst."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Group:
    """Dev rows that share a label, or whose targets lie in one range."""

    name: str
    rows: int
    scores: Mapping[str, float]


@dataclass(frozen=True)
class Bin:
    """Rows of which the model says nearly the same: the mean of what it says, and of what is true."""

    said: float
    true: float
    rows: int


@dataclass(frozen=True)
class Calibration:
    """Whether what a model says of its answers is so. `said` and `true` name the two axes.

    `error` is the mean distance of the two over rows: the expected calibration error where confidences are said
    (Guo et al. 2017, section 2).
    """

    said: str
    true: str
    error: float
    bins: tuple[Bin, ...]

    @classmethod
    def of(
        cls, said: "NDArray[Any]", true: "NDArray[Any]", edges: Sequence[float], names: tuple[str, str]
    ) -> "Calibration":
        """From what is said and true of each row, both (rows,), in bins between the `edges`."""
        import numpy as np

        place = np.digitize(said, edges[1:-1], right=True)
        bins = tuple(
            Bin(float(said[place == number].mean()), float(true[place == number].mean()), int((place == number).sum()))
            for number in np.unique(place)
        )
        error = sum(abs(found.said - found.true) * found.rows for found in bins) / len(said)
        return cls(*names, error, bins)


@dataclass(frozen=True)
class Example:
    """A dev row, counted from 1: its texts, its target and the answer in words, and how wrong that is."""

    row: int
    texts: tuple[str, ...]
    expected: str
    answer: str
    loss: float


@dataclass(frozen=True)
class Examination:
    """Empty where the task says nothing of the kind."""

    groups: tuple[Group, ...] = ()
    calibration: Calibration | None = None
    worst: tuple[Example, ...] = ()
