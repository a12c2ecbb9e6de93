"""Answers from nearer, against values computed by hand."""

from typing import Any

import numpy as np
import pytest
from scipy import stats

from edgekd import examining
from edgekd.data import Split
from edgekd.examination import Bin, Calibration
from edgekd.task import TASKS, Task

# Confidences 0.75 and 0.5 + of two labels: logit differences of log 3 and log 1.5.
LOGITS = np.array([[0, np.log(3)], [np.log(3), 0], [0, np.log(1.5)], [np.log(3), 0]])
TARGETS = np.array([1, 1, 1, 0])
DEV = Split((("one",), ("two",), ("three",), ("x" * 500,)), TARGETS)


def test_classification() -> None:
    task = TASKS.get("classification")()
    found = examining.examine(task, LOGITS, DEV, ("no", "yes"))
    assert [(group.name, group.rows) for group in found.groups] == [("no", 1), ("yes", 3)]
    # "no" is answered twice, once rightly; "yes" twice, both rightly, of three.
    assert found.groups[0].scores == pytest.approx({"F1": 2 / 3, "precision": 0.5, "recall": 1.0})
    assert found.groups[1].scores == pytest.approx({"F1": 0.8, "precision": 1.0, "recall": 2 / 3})
    assert found.calibration is not None
    # Confidence 0.6 once, right; 0.75 three times, right twice: (0.4 + 3 (0.75 - 2/3)) / 4.
    assert found.calibration.error == pytest.approx((0.4 + 3 * (0.75 - 2 / 3)) / 4)
    assert [part.rows for part in found.calibration.bins] == [1, 3]
    worst = found.worst[0]
    assert (worst.row, worst.texts, worst.expected, worst.answer) == (2, ("two",), "yes", "no (0.75)")
    assert worst.loss == pytest.approx(np.log(4))
    assert [example.row for example in found.worst[:2]] == [2, 3] and len(found.worst[3].texts[0]) == 404


def test_regression() -> None:
    task = TASKS.get("regression")()
    targets = np.array([0.0, 1, 2, 3, 4, 5, 6, 7])
    logits = (targets + np.array([0, 0, 0, 0, 1, -1, 2, 2]))[:, None]
    found = examining.examine(task, logits, Split(tuple((str(row),) for row in range(8)), targets), ())
    assert [(group.name, group.rows) for group in found.groups] == [
        ("0 to 1", 2),
        ("2 to 3", 2),
        ("4 to 5", 2),
        ("6 to 7", 2),
    ]
    assert found.groups[2].scores == {"mean absolute error": 1.0, "mean error": 0.0}
    assert (found.worst[0].row, found.worst[0].expected, found.worst[0].answer) == (7, "6", "8")


def test_bins_hold_the_edge_above_them() -> None:
    said, true = np.array([0.0, 0.5, 0.6, 1.0]), np.array([0, 1, 1, 1])
    found = Calibration.of(said, true, [0, 0.5, 1], ("a", "b"))
    assert found.bins == (Bin(0.25, 0.5, 2), Bin(0.8, 1.0, 2))
    assert found.error == pytest.approx(0.225)


def test_intervals_are_the_bootstraps_of_scipy() -> None:
    task = TASKS.get("classification")()
    draw = np.random.default_rng(3)
    targets = draw.integers(0, 2, 300)
    answers = np.where(draw.random(300) < 0.8, targets, 1 - targets)
    score = task.sampler("accuracy", np.eye(2)[answers], targets, ("no", "yes"), np.arange(300) + 1)
    ours = examining.interval(examining.redrawn(score, 300, 2000))
    right = (answers == targets).astype(float)
    theirs = stats.bootstrap((right,), np.mean, method="percentile", n_resamples=2000, rng=1).confidence_interval
    assert ours == pytest.approx((theirs.low, theirs.high), abs=0.01)


def test_the_same_rows_are_drawn_for_every_artifact() -> None:
    def drawn(logits: Any) -> list[float]:
        score = TASKS.get("classification")().sampler(
            "accuracy", logits, TARGETS, ("no", "yes"), np.arange(len(TARGETS)) + 1
        )
        return examining.redrawn(score, len(TARGETS))

    ours = drawn(LOGITS)
    assert drawn(2 * LOGITS) == ours
    better = np.array(drawn(np.eye(2)[TARGETS]))
    low, high = examining.interval(better - ours) or (1, 0)
    assert 0 <= low <= 0.25 <= high <= 1 and (better >= ours).all()
    assert examining.interval([0.5, float("nan")]) is None


def test_a_sample_of_texts_has_the_entity_score_that_seqeval_gives_it() -> None:
    task = TASKS.get("tokens")()
    labels = ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")
    draw = np.random.default_rng(5)
    ends = np.cumsum(draw.integers(1, 9, 40))
    targets, logits = draw.integers(0, 5, ends[-1]), draw.normal(size=(ends[-1], 5))
    logits[np.arange(len(targets)), targets] += 1.5
    tags = [task.compared(values, labels, ends) for values in (task.predictions(logits), targets)]
    for metric, score in task.metrics.items():
        counted = task.sampler(metric, logits, targets, labels, ends)
        gathered = Task.sampler(task, metric, logits, targets, labels, ends)  # as any task's are
        for rows in (np.arange(40), draw.integers(0, 40, 40), np.array([7])):
            ours, theirs = ([each[row] for row in rows] for each in tags)
            assert counted(rows) == pytest.approx(score(ours, theirs)) == gathered(rows), (metric, rows)
    low, high = examining.interval(examining.redrawn(task.sampler("f1", logits, targets, labels, ends), 40)) or (0, 0)
    assert 0 < low < task.metrics["f1"](*tags) < high < 1


@pytest.mark.parametrize("count", [2, 4])
def test_a_sample_of_answers_has_the_score_that_scikit_learn_gives_it(count: int) -> None:
    task, labels = TASKS.get("classification")(), tuple("abcd"[:count])
    draw = np.random.default_rng(5)
    targets, logits = draw.integers(0, count, 60), draw.normal(size=(60, count))
    logits[np.arange(60), targets] += 0.5
    ends = np.arange(60) + 1
    samples = [np.arange(60), *draw.integers(0, 60, (20, 60)), *draw.integers(0, 60, (20, 3)), np.array([7])]
    for metric in task.metrics:
        counted = task.sampler(metric, logits, targets, labels, ends)
        gathered = Task.sampler(task, metric, logits, targets, labels, ends)
        for rows in samples:
            assert counted(rows) == pytest.approx(gathered(rows), abs=1e-12), (metric, rows)
