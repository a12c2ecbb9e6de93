"""Each loss of the outputs on values computed by hand, its gradient, and where there truly is none."""

import math
from collections.abc import Callable
from typing import get_args

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

from edgekd.kd.losses import LogitLoss, logits
from edgekd.kd.losses.logits import LOGITS, NEEDS_TARGETS, degenerate


def of(*rows: tuple[float, ...]) -> Tensor:
    """Logits whose softmax at temperature 1 is these rows."""
    return torch.tensor(rows, dtype=torch.float64).log()


def test_cross_entropy() -> None:
    student, teacher = of((0.5, 0.5)), of((0.25, 0.75))
    assert logits.cross_entropy(student, teacher, 1.0).item() == pytest.approx(math.log(2.0))
    # at T = 2 the teacher's odds are sqrt(3); the student's stay even; times T^2
    assert logits.cross_entropy(student, teacher, 2.0).item() == pytest.approx(4 * math.log(2.0))
    expected = -(0.25 * math.log(0.8) + 0.75 * math.log(0.2))
    assert logits.cross_entropy(of((0.8, 0.2)), teacher, 1.0).item() == pytest.approx(expected)


def test_kl() -> None:
    student, teacher = of((0.5, 0.5)), of((0.25, 0.75))
    uneven = 0.25 * math.log(0.5) + 0.75 * math.log(1.5)
    assert logits.kl(student, teacher, 1.0).item() == pytest.approx(uneven)
    # at T = 2 the teacher's odds are sqrt(3)
    low, high = 1 / (1 + math.sqrt(3)), math.sqrt(3) / (1 + math.sqrt(3))
    expected = 4 * (low * math.log(2 * low) + high * math.log(2 * high))
    assert logits.kl(student, teacher, 2.0).item() == pytest.approx(expected)


def test_one_output_is_a_regression() -> None:
    student, teacher = torch.tensor([[1.0], [2.0]]), torch.tensor([[3.0], [2.0]])
    for name in ("cross_entropy", "kl", "mse"):
        assert LOGITS[name](student, teacher, 3.0).item() == pytest.approx(2.0)
    assert logits.hard(student, torch.tensor([1.0, 4.0])).item() == pytest.approx(2.0)


def test_hard_labels() -> None:
    assert logits.hard(of((0.25, 0.75)), torch.tensor([1])).item() == pytest.approx(-math.log(0.75))


def test_mse_is_of_the_logits_themselves() -> None:
    student, teacher = torch.tensor([[0.0, 2.0]]), torch.tensor([[1.0, 0.0]])
    assert logits.mse(student, teacher, 5.0).item() == pytest.approx((1 + 4) / 2)


def test_dkd() -> None:
    student, teacher, target = of((0.5, 0.25, 0.25)), of((0.25, 0.25, 0.5)), torch.tensor([0])
    tckd = 0.25 * math.log(0.5) + 0.75 * math.log(1.5)  # (1/4, 3/4) from (1/2, 1/2)
    nckd = 1 / 3 * math.log(2 / 3) + 2 / 3 * math.log(4 / 3)  # (1/3, 2/3) from (1/2, 1/2)
    assert logits.dkd(student, teacher, 1.0, target, alpha=1, beta=0).item() == pytest.approx(tckd)
    assert logits.dkd(student, teacher, 1.0, target, alpha=0, beta=1).item() == pytest.approx(nckd)
    # Weighted by the teacher's share of the other classes, the two are the plain divergence.
    plain = logits.kl(student, teacher, 1.0).item()
    assert logits.dkd(student, teacher, 1.0, target, alpha=1, beta=0.75).item() == pytest.approx(plain)


def test_dist() -> None:
    student = of((0.5, 0.25, 0.25), (0.25, 0.5, 0.25))
    teacher = of((0.5, 0.25, 0.25), (0.25, 0.25, 0.5))
    # rows: 1 and (-1, 2, -1)(-1, -1, 2) / 6 = -1/2, so 1 - 1/4; columns: 1, and two where one side is constant
    assert logits.dist_columns(student, teacher, 1.0).item() == pytest.approx(2 / 3)
    assert logits.dist(student, teacher, 1.0).item() == pytest.approx(3 / 4 + 2 / 3)
    # Logits twice as large at T = 2 have the same softmax.
    assert logits.dist(2 * student, 2 * teacher, 2.0).item() == pytest.approx(4 * (3 / 4 + 2 / 3))


def test_standardized() -> None:
    student, teacher = torch.tensor([[0.0, 3.0, 6.0]]), torch.tensor([[30.0, 20.0, 10.0]])
    # (-1, 0, 1) and (1, 0, -1), with one normaliser
    expected = 2 * (math.e - 1 / math.e) / (math.e + 1 + 1 / math.e)
    assert logits.standardized(student, teacher, 1.0).item() == pytest.approx(expected)


def call(name: LogitLoss, student: Tensor, teacher: Tensor, **more: float) -> Tensor:
    targets = {"targets": torch.arange(len(student)) % student.shape[-1]} if name in NEEDS_TARGETS else {}
    return LOGITS[name](student, teacher, 2.0, **targets, **more)


def drawn(classes: int) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(0)
    student, teacher = (torch.randn(4, classes, dtype=torch.float64, generator=draw) for _ in range(2))
    return student.requires_grad_(), teacher


@pytest.mark.parametrize("name", get_args(LogitLoss))
def test_gradients(name: LogitLoss) -> None:
    student, teacher = drawn(3)
    assert gradcheck(lambda x: call(name, x, teacher), student)


def test_the_gradient_of_labels() -> None:
    assert gradcheck(lambda x: logits.hard(x, torch.tensor([0, 2, 1, 1])), drawn(3)[0])


def test_every_name_has_a_loss() -> None:
    assert set(get_args(LogitLoss)) == set(LOGITS)


# What is said to be dead with two classes, and what is left of the same loss.
DEAD: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "dkd": lambda x, y: call("dkd", x, y, alpha=0.0),
    "dist": lambda x, y: call("dist", x, y) - call("dist_columns", x, y),
    "standardized": lambda x, y: call("standardized", x, y),
}
ALIVE: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "dkd": lambda x, y: call("dkd", x, y, beta=0.0),
    "dist": lambda x, y: call("dist_columns", x, y),
}


def steepest(loss: Callable[[Tensor, Tensor], Tensor], classes: int) -> float:
    student, teacher = drawn(classes)
    (gradient,) = torch.autograd.grad(loss(student, teacher), student)
    return gradient.abs().max().item()


@pytest.mark.parametrize("name", get_args(LogitLoss))
def test_two_classes_have_no_gradient_where_it_is_said(name: LogitLoss) -> None:
    said = degenerate(name, 2)
    assert (said is None) == (name not in DEAD) and degenerate(name, 3) is None
    if said:
        assert name in said
        assert steepest(DEAD[name], 2) < 1e-6 < 1e-3 < steepest(DEAD[name], 3)
    if name != "standardized":
        assert steepest(ALIVE.get(name, lambda x, y: call(name, x, y)), 2) > 1e-3


@pytest.mark.filterwarnings("ignore:std")  # of one value
@pytest.mark.parametrize("name", get_args(LogitLoss))
def test_one_output_has_no_gradient_where_it_is_said(name: LogitLoss) -> None:
    assert (degenerate(name, 1) is None) == (steepest(lambda x, y: call(name, x, y), 1) > 1e-3)
