"""Rows that a quantizer watches a model on: drawn from the train split, so that dev stays unseen."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from edgekd.reading import Reader
from edgekd.stage import Job

if TYPE_CHECKING:
    from numpy.typing import NDArray


def samples(job: Job, count: int) -> "Iterator[dict[str, NDArray[Any]]]":
    """`count` rows of the job's source, or all if it has fewer, one at a time: int64 arrays (1, length), at their real
    lengths.
    """
    import numpy as np

    assert job.source is not None
    split = job.data.train
    chosen = np.random.default_rng(job.seed).permutation(len(split))[:count]
    rows = Reader(job.source).encode([split.texts[row] for row in chosen])
    for row in range(len(chosen)):
        job.progress("calibration", row + 1, len(chosen))
        yield rows.pad([row])
