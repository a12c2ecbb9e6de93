import numpy as np
import pytest

from edgekd.errors import EdgekdError
from edgekd.task import TASKS


def test_classification_scores() -> None:
    task = TASKS.get("classification")()
    logits = np.array([[2.0, 1.0], [0.0, 1.0], [0.0, 3.0], [1.0, 0.0]])
    predicted, true = task.predictions(logits), np.array([0, 1, 0, 0])
    assert predicted.tolist() == [0, 1, 1, 0]
    scores = {name: metric(predicted, true) for name, metric in task.metrics.items()}
    assert scores["accuracy"] == 0.75
    # tp 1, tn 2, fp 1, fn 0: (2 - 0) / sqrt(2 * 1 * 3 * 2)
    assert scores["matthews_correlation"] == pytest.approx(2 / np.sqrt(12))
    assert scores["f1"] == pytest.approx(2 / 3)
    assert scores["macro_f1"] == pytest.approx((2 / 3 + 0.8) / 2)


def test_classification_answers() -> None:
    task = TASKS.get("classification")()
    (answer,) = task.decode(np.array([[0.0, np.log(3.0)]]), ("no", "yes"))
    assert answer == {"label": "yes", "scores": {"no": 0.25, "yes": 0.75}}
    assert task.outputs(("a", "b", "c")) == 3
    assert [task.target(value, ("b", "a"), True) for value in ("a", " b ", 1, "0")] == [1, 0, 1, 0]
    assert task.target(1, ("1", "2", "3"), indexed=True) == 1 and task.target("1", ("1", "2"), indexed=False) == 0
    for value in ("c", "0"):
        with pytest.raises(EdgekdError, match=f"label '{value}' is none of b, a"):
            task.target(value, ("b", "a"), indexed=False)
    ours, theirs = np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([[1.0, 0.0], [0.0, 1.0]])
    assert task.agreement(ours, theirs) == 0.5


def test_regression() -> None:
    task = TASKS.get("regression")()
    logits = np.array([[1.0], [2.0], [4.0]])
    predicted = task.predictions(logits)
    true = np.array([1.0, 2.0, 3.0])
    scores = {name: metric(predicted, true) for name, metric in task.metrics.items()}
    assert scores["pearson"] == pytest.approx(np.corrcoef(predicted, true)[0, 1])
    assert scores["spearman"] == pytest.approx(1.0) and scores["negative_mse"] == pytest.approx(-1 / 3)
    assert task.decode(logits, ())[2] == {"value": 4.0} and task.outputs(()) == 1
    assert task.target("2.5") == 2.5
    for bad in ("x", None, "nan", "inf"):
        with pytest.raises(EdgekdError, match="is not a finite number"):
            task.target(bad)
    assert task.agreement(logits + 0.01, logits) == 1.0 and task.agreement(logits + 1, logits) == 0.0
