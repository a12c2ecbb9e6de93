"""Rows that a quantizer watches a model on: drawn from the train split, so that dev stays unseen."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from edgekd.reading import Reader
from edgekd.stage import Job

if TYPE_CHECKING:
    from numpy.typing import NDArray


def samples(job: Job, count: int, together: int = 1) -> "Iterator[dict[str, NDArray[Any]]]":
    """`count` rows of the job's source, or all if it has fewer, one at a time: int64 arrays (1, length), at their real
    lengths. `together`: so many at a time, the longest first, filled up to the longest of them.
    """
    import numpy as np

    assert job.source is not None
    split = job.data.train
    chosen = np.random.default_rng(job.seed).permutation(len(split))[:count]
    rows = Reader(job.source).encode([split.texts[row] for row in chosen])
    order = list(range(len(chosen)))
    if together > 1:
        order.sort(key=lambda row: -len(rows.ids[row]))
    for start in range(0, len(order), together):
        job.progress("calibration", min(start + together, len(order)), len(order))
        yield rows.pad(order[start : start + together])
