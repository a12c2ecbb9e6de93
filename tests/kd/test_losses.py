"""Each loss of what is inside on values computed by hand, blind to padding, its gradient against finite differences."""

import math
from collections.abc import Callable
from typing import get_args

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

from edgekd.errors import EdgekdError
from edgekd.kd.losses import AttentionLoss, HiddenLoss, attention, feature_maps, hidden, pooled, relations, uncertainty

MASK = torch.tensor([[1, 1, 0]])
PADDING = 99.0
# The Kullback-Leibler divergence of (1/4, 3/4) from (1/2, 1/2), which scores of 0 and log 3 make.
LOG3 = math.log(3.0)
UNEVEN = 0.25 * math.log(0.5) + 0.75 * math.log(1.5)


def tokens(*states: tuple[float, ...]) -> Tensor:
    """States (1, 3, d) of two tokens and of a padded position."""
    return torch.tensor([[*states, (PADDING,) * len(states[0])]], dtype=torch.float64)


def scores(*heads: tuple[tuple[float, float], tuple[float, float]]) -> Tensor:
    """Scores (1, h, 3, 3) of two tokens and of a padded position."""
    found = torch.full((1, len(heads), 3, 3), PADDING, dtype=torch.float64)
    found[0, :, :2, :2] = torch.tensor(heads)
    return found


FLAT = ((0.0, 0.0), (0.0, 0.0))
TILTED = ((0.0, LOG3), (0.0, 0.0))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mse", 3.25),  # token 1: (0 + 4) / 2; token 2: (9 + 0) / 2
        ("cosine", 1 - 0.5 * (1 / math.sqrt(5) + 4 / 5)),  # (1, 2) with (1, 0), (3, 4) with (0, 4)
    ],
)
def test_hidden(name: HiddenLoss, expected: float) -> None:
    student, teacher = tokens((1, 2), (3, 4)), tokens((1, 0), (0, 4))
    assert hidden.HIDDEN[name](student, teacher, MASK).item() == pytest.approx(expected)


def test_normalized_mse() -> None:
    # token 1: (0.6, 0.8) - (1, 0), so (0.16 + 0.64) / 2; token 2 only differs in length
    student, teacher = tokens((3, 4), (0, 2)), tokens((1, 0), (0, 5))
    assert hidden.normalized_mse(student, teacher, MASK).item() == pytest.approx(0.2)


def test_gram_of_other_widths() -> None:
    # [[1, 2], [2, 4]] / 1 and [[2, 2], [2, 4]] / 2, so squares 0, 1, 1, 4 of four pairs
    assert hidden.gram(tokens((1,), (2,)), tokens((1, 1), (0, 2)), MASK).item() == pytest.approx(1.5)


def test_score_mse_is_over_valid_rows_and_columns() -> None:
    student, teacher = scores(((0, 2), (0, 0)), ((0, 0), (0, 4))), scores(FLAT, FLAT)
    assert attention.score_mse(student, teacher, MASK).item() == pytest.approx((4 + 16) / 8)


def test_scores_of_other_head_counts_are_compared_by_their_mean() -> None:
    student, teacher = torch.ones(1, 2, 3, 3), torch.ones(1, 4, 3, 3)
    teacher[:, 0] = 5.0  # mean over heads: 2
    assert attention.score_mse(student, teacher, MASK).item() == pytest.approx(1.0)


def test_probabilities() -> None:
    student, teacher = scores(FLAT), scores(TILTED)
    # a difference of 1/4 in both columns of one of two rows
    assert attention.probability_mse(student, teacher, MASK).item() == pytest.approx(1 / 32)
    assert attention.kl(student, teacher, MASK).item() == pytest.approx(UNEVEN / 2)


def test_probabilities_of_other_head_counts_are_averaged_as_such() -> None:
    student, teacher = scores(FLAT), scores(TILTED, FLAT)
    # (1/4, 3/4) and (1/2, 1/2) are (3/8, 5/8); row 2 is even in both
    expected = (3 / 8 * math.log(3 / 4) + 5 / 8 * math.log(5 / 4)) / 2
    assert attention.kl(student, teacher, MASK).item() == pytest.approx(expected)
    assert attention.probability_mse(student, teacher, MASK).item() == pytest.approx(1 / 128)


def test_relations() -> None:
    still = tokens((0, 0), (0, 0))
    # two heads of width 1; the first one's products are 0, but log 3 of token 2 with itself: one of four rows
    moved = tokens((0, 0), (math.sqrt(LOG3), 0))
    assert relations.relation_kl(still, moved, 2, MASK).item() == pytest.approx(UNEVEN / 4)
    # one head of width 2, divided by its root: one of two rows
    moved = moved * 2**0.25
    assert relations.relation_kl(still, moved, 1, MASK).item() == pytest.approx(UNEVEN / 2)
    # any width stands against any other
    assert relations.relation_kl(tokens((0,), (0,)), moved, 1, MASK).item() == pytest.approx(UNEVEN / 2)
    found = relations.minilmv2((still, still, still), (moved, still, moved), 1, MASK)
    assert found.item() == pytest.approx(UNEVEN)
    both = relations.minilm(scores(FLAT), scores(TILTED), still, moved, 1, MASK)
    assert both.item() == pytest.approx(UNEVEN)


def test_relation_heads_divide_both_widths() -> None:
    for fit in (12, 24):
        relations.check_heads(312, 768, fit)
    with pytest.raises(EdgekdError, match="48 relation heads do not divide the widths 312") as caught:
        relations.check_heads(312, 768, 48)
    assert "1, 2, 3, 4, 6, 8, 12, 24." in caught.value.hint


def test_pooled() -> None:
    assert pooled.mean_pooled(tokens((1, 2), (3, 4)), MASK).tolist() == [[2, 3]]
    # (0.6, 0.8) - (1, 0), so (0.16 + 0.64) / 2; the second row only differs in length
    student, teacher = torch.tensor([[3.0, 4.0], [0.0, 2.0]]), torch.tensor([[1.0, 0.0], [0.0, 5.0]])
    assert pooled.pkd(student, teacher).item() == pytest.approx(0.2)


def test_codir() -> None:
    student = torch.tensor([[3.0, 0.0], [0.0, 1.0]])
    one = math.log(1 + math.exp(-1))  # cosines 1 and 0
    assert pooled.codir(student, student, 1.0).item() == pytest.approx(one)
    assert pooled.codir(student, student, 0.5).item() == pytest.approx(math.log(1 + math.exp(-2)))
    assert pooled.codir(student[:1], student[:1], 1.0).item() == 0


def test_feature_maps() -> None:
    student, teacher = tokens((1, 3), (2, 4)), tokens((3, 1), (2, 6))
    # normalised (-1, 1) and (1, -1), then (-1, 1) twice, but for the addend to a variance
    assert feature_maps.normalized(student, teacher, MASK).item() == pytest.approx(4 / 2, rel=1e-4)
    assert feature_maps.means(student, teacher, MASK).item() == pytest.approx((0 + 1) / 2)  # 2, 2 and 3, 4
    assert feature_maps.variances(student, teacher, MASK).item() == pytest.approx((0 + 3) / 2)  # 1, 1 and 1, 4


def test_uncertainty() -> None:
    student, teacher, scale = tokens((1, 2), (3, 4)), tokens((1, 0), (0, 4)), tokens((0, LOG3), (-LOG3, LOG3))
    # residuals 0, 2 | 3, 0 times e^-s 1, 1/3 | 3, 1/3; scales sum to log 3
    expected = (2 / 3 + 9 + 2 * LOG3) / 4
    assert uncertainty.laplace(student, teacher, scale, MASK, 2.0).item() == pytest.approx(expected)
    expected = (4 / 3 + 27 + LOG3) / 8
    assert uncertainty.gaussian(student, teacher, scale, MASK).item() == pytest.approx(expected)
    # the least is of each neuron over the tokens: -log 3 and log 3
    expected = (2 * 1 + 3 * 1) / 4
    assert uncertainty.weighted(student, teacher, scale, MASK).item() == pytest.approx(expected)
    scale[0, 1] = tokens((0, LOG3), (1, 0))[0, 1]
    expected = (2 * (LOG3 + 1) + 3 * 2) / 4
    assert uncertainty.weighted(student, teacher, scale, MASK).item() == pytest.approx(expected)


@pytest.mark.parametrize("prior", [1.0, 2.0])
def test_the_estimated_scale_of_a_fixed_residual(prior: float) -> None:
    student, teacher = tokens((1, 2), (3, 4)), tokens((0.5, 0), (0, 5))
    residual = (student - teacher).abs()[:, :2]
    found = {}
    for name, expected in (("laplace", (residual / prior).log()), ("gaussian", residual.square().log())):
        scale = torch.zeros(1, 3, 2, dtype=torch.float64, requires_grad=True)
        solver = torch.optim.LBFGS([scale], max_iter=200, tolerance_grad=1e-10, line_search_fn="strong_wolfe")

        def step(name: str = name, scale: Tensor = scale, solver: torch.optim.LBFGS = solver) -> Tensor:
            solver.zero_grad()
            more = (prior,) if name == "laplace" else ()
            loss: Tensor = getattr(uncertainty, name)(student, teacher, scale, MASK, *more)
            loss.backward()
            return loss

        solver.step(step)
        found[name] = scale.detach()[:, :2]
        torch.testing.assert_close(found[name], expected, rtol=1e-4, atol=1e-4)


def products(states: Tensor) -> Tensor:
    return (states @ states.mT).unsqueeze(1)


STATES, SCORES = (2, 3, 4), (2, 2, 3, 3)
LOSSES: dict[str, tuple[Callable[[Tensor, Tensor, Tensor], Tensor], tuple[int, ...]]] = {
    **{name: (loss, STATES) for name, loss in hidden.HIDDEN.items()},
    **{f"attention {name}": (loss, SCORES) for name, loss in attention.ATTENTION.items()},
    "fewer heads": (lambda x, y, mask: attention.kl(x[:, :1], y, mask), SCORES),
    "relation": (lambda x, y, mask: relations.relation_kl(x, y, 2, mask), STATES),
    "minilm": (lambda x, y, mask: relations.minilm(products(x), products(y), x, y, 1, mask), STATES),
    "minilmv2": (lambda x, y, mask: relations.minilmv2([x] * 3, [y] * 3, 2, mask), STATES),
    "normalized": (feature_maps.normalized, STATES),
    "means": (feature_maps.means, STATES),
    "variances": (feature_maps.variances, STATES),
    # The scale is the student's own, as an estimator's is.
    "laplace": (lambda x, y, mask: uncertainty.laplace(x, y, x, mask, 2.0), STATES),
    "gaussian": (lambda x, y, mask: uncertainty.gaussian(x, y, x, mask), STATES),
    "weighted": (lambda x, y, mask: uncertainty.weighted(x, y, y, mask), STATES),
    "codir": (lambda x, y, mask: pooled.codir(pooled.mean_pooled(x, mask), y[:, 0], 0.5), STATES),
}


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_and_padding(name: str) -> None:
    loss, shape = LOSSES[name]
    draw = torch.Generator().manual_seed(0)
    student, teacher = (torch.randn(shape, dtype=torch.float64, generator=draw) for _ in range(2))
    mask = torch.tensor([[1, 1, 0], [1, 1, 1]])
    assert gradcheck(lambda x: loss(x, teacher, mask), student.clone().requires_grad_())

    plain = loss(student, teacher, mask)
    for padded, content in ((student, 7.0), (teacher, -5.0)):
        padded[0, ..., 2, :] = content
        if shape == SCORES:
            padded[0, ..., 2] = content
    torch.testing.assert_close(loss(student, teacher, mask), plain)


@pytest.mark.parametrize("name", sorted(LOSSES.keys() - {"minilm"}))
def test_half_precision_is_computed_in_full(name: str) -> None:
    loss, shape = LOSSES[name]
    draw = torch.Generator().manual_seed(0)
    student, teacher = (torch.randn(shape, generator=draw).bfloat16() for _ in range(2))
    mask = torch.tensor([[1, 1, 0], [1, 1, 1]])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = loss(student, teacher, mask)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, loss(student.float(), teacher.float(), mask))


def test_every_name_has_a_loss() -> None:
    assert set(get_args(HiddenLoss)) == set(hidden.HIDDEN)
    assert set(get_args(AttentionLoss)) == set(attention.ATTENTION)
