import math
from typing import get_args

import pytest
import torch
from torch.autograd import gradcheck

from edgekd.errors import EdgekdError
from edgekd.kd.adaptive_mappings import alp, emd_flow, emd_weights
from edgekd.kd.mappings import ADAPTIVE, MAPPINGS, MappingName, layers_read, resolve


@pytest.mark.parametrize(
    ("mapping", "student", "teacher", "expected"),
    [
        ("uniform", 4, 12, [3, 6, 9, 12]),  # TinyBERT4's
        ("uniform", 6, 12, [2, 4, 6, 8, 10, 12]),
        ("uniform", 4, 6, [1, 3, 4, 6]),
        ("top", 4, 12, [9, 10, 11, 12]),
        ("bottom", 4, 12, [1, 2, 3, 4]),
        ("reverse", 4, 12, [12, 9, 6, 3]),
        ("all_to_one", 3, 12, [12, 12, 12]),
        ("all_to_one", 3, 2, [2, 2, 2]),
        ((12, 12, 1), 3, 12, [12, 12, 1]),
    ],
)
def test_one_layer_each(mapping: str | tuple[int, ...], student: int, teacher: int, expected: list[int]) -> None:
    assert resolve(mapping, student, teacher) == [(layer,) for layer in expected]
    assert layers_read(mapping, student, teacher) == set(expected)


@pytest.mark.parametrize(
    ("mapping", "student", "teacher", "expected"),
    [
        ("last", 2, 3, [(), (3,)]),
        ("mean", 2, 4, [(1, 2), (3, 4)]),
        ("mean", 2, 3, [(1,), (2, 3)]),  # buckets end where uniform's layers are: 1 and 3
    ],
)
def test_none_and_several(mapping: str, student: int, teacher: int, expected: list[tuple[int, ...]]) -> None:
    assert resolve(mapping, student, teacher) == expected


def test_random_layers_are_the_epochs_sorted_and_end_with_the_last() -> None:
    epochs = [resolve("random", 4, 12, seed) for seed in range(40)]
    assert epochs == [resolve("random", 4, 12, seed) for seed in range(40)]
    numbers = [[layer for (layer,) in epoch] for epoch in epochs]
    for layers in numbers:
        assert layers == sorted(set(layers)) and len(layers) == 4 and layers[-1] == 12
    assert {layer for layers in numbers for layer in layers} == layers_read("random", 4, 12) == set(range(1, 13))
    assert resolve("random", 1, 12) == [(12,)] and resolve("random", 3, 3) == [(1,), (2,), (3,)]


@pytest.mark.parametrize(
    ("mapping", "read"), [("last", {3}), ("mean", {1, 2, 3}), ("attention", {1, 2, 3}), ("emd", {1, 2, 3})]
)
def test_layers_that_can_be_needed(mapping: str, read: set[int]) -> None:
    assert layers_read(mapping, 2, 3) == read


@pytest.mark.parametrize("mapping", ["uniform", "mean", "random", "reverse", (1, 2, 3), (0, 1), (1, 7), "middle"])
def test_what_does_not_fit_is_refused(mapping: str | tuple[int, ...]) -> None:
    with pytest.raises(EdgekdError):
        resolve(mapping, 8 if mapping in get_args(MappingName) else 2, 6)


def test_every_name_has_a_mapping() -> None:
    assert set(get_args(MappingName)) == {*MAPPINGS, "random", *ADAPTIVE}


def test_alp_by_hand() -> None:
    # inner products with the teacher's layers: (0, log 3) and (0, 0)
    student = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]], dtype=torch.float64)
    teacher = torch.tensor([[[0.0, 0.0], [math.log(3.0), 0.0]]], dtype=torch.float64)
    expected = torch.tensor([[[0.25, 0.75], [0.5, 0.5]]], dtype=torch.float64)
    torch.testing.assert_close(alp(student, teacher), expected)
    assert gradcheck(lambda x: alp(x, teacher), student.requires_grad_())


def test_emd_by_hand() -> None:
    """Costs 1 and 3 of the first layer, 2 and 1 of the second: as much as can flows straight, the rest from 1 to 2."""
    costs = torch.tensor([[1.0, 3.0], [2.0, 1.0]], requires_grad=True)
    student, teacher = torch.tensor([0.6, 0.4]), torch.tensor([0.5, 0.5])
    flow = emd_flow(costs, student, teacher)
    torch.testing.assert_close(flow, torch.tensor([[0.5, 0.1], [0.0, 0.4]]))
    (gradient,) = torch.autograd.grad((flow * costs).sum(), costs)
    assert torch.equal(gradient, flow)
    # A unit of weight cost (0.5 + 0.3) / 0.6 = 4/3 and 0.4 / 0.4 = 1; 0.5 / 0.5 = 1 and (0.3 + 0.4) / 0.5 = 7/5.
    ours, theirs = emd_weights(flow, costs, student, teacher)
    torch.testing.assert_close(ours, torch.tensor([3 / 7, 4 / 7]))
    torch.testing.assert_close(theirs, torch.tensor([7 / 12, 5 / 12]))


def test_emd_of_layers_that_cost_nothing() -> None:
    student, teacher = torch.tensor([0.5, 0.5]), torch.tensor([0.5, 0.5])
    nothing = torch.zeros(2, 2)
    assert all(torch.equal(new, student) for new in emd_weights(torch.eye(2) / 2, nothing, student, teacher))
    costs = torch.tensor([[0.0, 1.0], [1.0, 0.5]])
    ours, theirs = emd_weights(emd_flow(costs, student, teacher), costs, student, teacher)
    assert ours.tolist() == theirs.tolist() == [0, 1]


def test_emd_takes_weights_of_any_sum_and_costs_that_are_no_numbers() -> None:
    student, teacher = torch.rand(6), torch.rand(24)
    flow = emd_flow(torch.rand(6, 24), student, teacher)
    torch.testing.assert_close(flow.sum(1), student / student.sum())
    torch.testing.assert_close(flow.sum(0), teacher / teacher.sum())
    assert (flow * torch.full((6, 24), float("nan"))).sum().isnan()
    assert emd_flow(torch.full((6, 24), float("nan")), student, teacher).isfinite().all()
