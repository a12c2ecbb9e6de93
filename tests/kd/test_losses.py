"""Each loss on values computed by hand, and its gradient against finite differences."""

import math

import pytest
import torch
from torch.autograd import gradcheck

from edgekd.kd import losses

MASK = torch.tensor([[1, 1, 0]])


def test_hidden_mse_is_over_tokens_only() -> None:
    student = torch.tensor([[[1.0, 2.0], [3.0, 4.0], [100.0, 100.0]]])
    teacher = torch.tensor([[[1.0, 0.0], [0.0, 4.0], [0.0, 0.0]]])
    # position 1: (0 + 4) / 2 = 2; position 2: (9 + 0) / 2 = 4.5; mean 3.25
    assert losses.hidden_mse(student, teacher, MASK).item() == pytest.approx(3.25)


def test_attention_mse_is_over_valid_rows_and_columns() -> None:
    student = torch.zeros(1, 2, 3, 3)
    student[0, 0, 0, 1], student[0, 1, 1, 1] = 2.0, 4.0
    student[0, :, 2, :] = student[0, :, :, 2] = 99.0  # the padded position
    # two heads of 2 x 2 valid entries: (4 + 16) / 8
    assert losses.attention_score_mse(student, torch.zeros_like(student), MASK).item() == pytest.approx(2.5)


def test_attention_of_other_head_counts_is_compared_by_its_mean() -> None:
    student, teacher = torch.ones(1, 2, 3, 3), torch.ones(1, 4, 3, 3)
    teacher[:, 0] = 5.0  # mean over heads: 2
    assert losses.attention_score_mse(student, teacher, MASK).item() == pytest.approx(1.0)


def test_soft_cross_entropy() -> None:
    student, teacher = torch.tensor([[0.0, 0.0]]), torch.tensor([[0.0, math.log(3.0)]])
    # teacher (1/4, 3/4), student (1/2, 1/2): -log(1/2)
    assert losses.soft_cross_entropy(student, teacher, 1.0).item() == pytest.approx(math.log(2.0))
    # at T = 2 the teacher's odds are sqrt(3); the student's stay even; times T^2
    assert losses.soft_cross_entropy(student, teacher, 2.0).item() == pytest.approx(4 * math.log(2.0))
    uneven = torch.tensor([[math.log(4.0), 0.0]])
    expected = -(0.25 * math.log(0.8) + 0.75 * math.log(0.2))
    assert losses.soft_cross_entropy(uneven, teacher, 1.0).item() == pytest.approx(expected)


def test_one_output_is_a_regression() -> None:
    student, teacher = torch.tensor([[1.0], [2.0]]), torch.tensor([[3.0], [2.0]])
    assert losses.soft_cross_entropy(student, teacher, 3.0).item() == pytest.approx(2.0)
    assert losses.hard(student, torch.tensor([1.0, 4.0])).item() == pytest.approx(2.0)


def test_hard_labels() -> None:
    logits = torch.tensor([[0.0, math.log(3.0)]])
    assert losses.hard(logits, torch.tensor([1])).item() == pytest.approx(-math.log(0.75))


@pytest.mark.parametrize("name", ["hidden", "attention", "soft", "regression", "hard"])
def test_gradients(name: str) -> None:
    torch.manual_seed(0)

    def drawn(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, dtype=torch.float64)

    labels, teacher_hidden, teacher_scores, teacher_logits = (
        torch.tensor([0, 2]),
        drawn(1, 3, 2),
        drawn(1, 2, 3, 3),
        drawn(2, 3),
    )
    cases = {
        "hidden": (lambda x: losses.hidden_mse(x, teacher_hidden, MASK), (1, 3, 2), 1e-2),
        "attention": (lambda x: losses.attention_score_mse(x, teacher_scores, MASK), (1, 2, 3, 3), 1e-6),
        "soft": (lambda x: losses.soft_cross_entropy(x, teacher_logits, 2.0), (2, 3), 1e-6),
        "regression": (lambda x: losses.soft_cross_entropy(x, drawn(2, 1) * 0 + 1, 1.0), (2, 1), 1e-6),
        "hard": (lambda x: losses.hard(x, labels), (2, 3), 1e-6),
    }
    loss, shape, step = cases[name]
    # hidden_mse computes in float32, so its finite differences need a larger step.
    tolerance = 1e-2 if name == "hidden" else 1e-5
    assert gradcheck(loss, drawn(*shape).requires_grad_(), eps=step, atol=tolerance, rtol=tolerance)
