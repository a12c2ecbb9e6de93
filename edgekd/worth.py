"""What a score on dev is worth: what an answer that knows nothing of a row would score, and how many rows train has
too.
"""

import math
import warnings
from typing import Any

from edgekd.data import Data
from edgekd.report import Score

VERSION = 1
_MANY = 0.01  # of dev's rows


def worth(data: Data) -> dict[str, Any]:
    """`seen`: how many of dev's rows have the very texts of one of train. `blind` and `answer`: the best score that one
    answer to all of dev has, and which; None and "" of a task that has none.
    """
    import numpy as np

    train, scores = set(data.train.texts), dict[str, float]()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a correlation with a constant is told to be no number
        for answer, outputs in data.task.blind(data.train.targets, data.labels).items():
            score = data.score(data.metric, np.tile(outputs, (len(data.dev.targets), 1)))
            scores[answer] = score if math.isfinite(score) else 0.0
    answer = max(scores, key=lambda name: scores[name], default="")
    return {"seen": sum(texts in train for texts in data.dev.texts), "blind": scores.get(answer), "answer": answer}


def told(found: dict[str, Any]) -> dict[str, Any]:
    """As a report tells it of the data, beside what a score is to be read with."""
    blind = None if found["blind"] is None else f"{found['answer']}, {found['blind']:.4f}"
    return {"blind answer": blind, "dev rows in train": found["seen"]}


def doubts(found: dict[str, Any], score: Score) -> tuple[str, ...]:
    """What a reader of a score has to know of it."""
    told = []
    if found["blind"] is not None and score.value <= found["blind"]:
        one = f"that of {found['answer']}, {found['blind']:.4f}"
        told.append(f"its {score.metric}, {score.value:.4f}, is no better than {one}")
    if found["seen"] > _MANY * score.rows:
        told.append(f"{found['seen']:,} of dev's {score.rows:,} rows are in train too, word for word")
    return tuple(told)
