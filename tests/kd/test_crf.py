"""The CRF's sums and maxima against all taggings, one by one."""

from itertools import pairwise, product

import numpy as np
import pytest
import torch
from torch import Tensor

from edgekd.kd.losses import crf
from edgekd.kd.losses.crf import Potentials
from edgekd.viterbi import Chain

MASK = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 0, 0]]).bool()
LENGTHS = MASK.sum(1).tolist()
TAGS = 3


def chain(seed: int) -> Potentials:
    draw = torch.Generator().manual_seed(seed)
    shapes = ((3, 4, TAGS), (TAGS,), (TAGS, TAGS), (TAGS,))
    return Potentials(*(torch.randn(shape, generator=draw, dtype=torch.float64) for shape in shapes))


def every(potentials: Potentials, row: int) -> dict[tuple[int, ...], Tensor]:
    """Each tagging of a row with its score, by the definition."""
    emissions, start, transitions, end = potentials
    found = {}
    for tags in product(range(TAGS), repeat=LENGTHS[row]):
        words = sum(emissions[row, word, tag] for word, tag in enumerate(tags))
        steps = sum(transitions[before, after] for before, after in pairwise(tags))
        found[tags] = start[tags[0]] + words + steps + end[tags[-1]]
    return found


def test_scores_and_partition_are_those_of_all_taggings() -> None:
    ours = chain(0)
    draw = torch.Generator().manual_seed(1)
    tags = torch.randint(TAGS, (3, 4), generator=draw)
    listed = [every(ours, row) for row in range(3)]
    expected = torch.stack(
        [
            found[tuple(tags[row, :length].tolist())]
            for row, (found, length) in enumerate(zip(listed, LENGTHS, strict=True))
        ]
    )
    totals = torch.stack([torch.logsumexp(torch.stack([*found.values()]), 0) for found in listed])
    torch.testing.assert_close(crf.score(ours, tags, MASK), expected)
    torch.testing.assert_close(crf.log_partition(ours, MASK), totals)
    torch.testing.assert_close(crf.likelihood(ours, tags, MASK), (totals - expected).sum() / 7)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_posteriors_are_sums_over_taggings(temperature: float) -> None:
    ours = chain(0)
    found = crf.log_posterior(ours, MASK, temperature).exp()
    for row, length in enumerate(LENGTHS):
        for word in range(length):
            sums = [torch.zeros((), dtype=torch.float64)] * TAGS
            for tags, score in every(ours, row).items():
                sums[tags[word]] = sums[tags[word]] + score.exp()
            expected = torch.softmax(torch.stack(sums).log() / temperature, 0)
            torch.testing.assert_close(found[row, word], expected)


@pytest.mark.parametrize("count", [1, 4, 200])
def test_the_best_taggings_are_the_best_of_all(count: int) -> None:
    ours = chain(2)
    tags, scores = crf.best(ours, MASK, count)
    for row, length in enumerate(LENGTHS):
        ranked = sorted(every(ours, row).items(), key=lambda item: -item[1])[:count]
        there = int(torch.isfinite(scores[row]).sum())
        assert there == len(ranked)
        assert [tuple(path[:length].tolist()) for path in tags[row, :there]] == [path for path, _ in ranked]
        torch.testing.assert_close(scores[row, :there], torch.stack([score for _, score in ranked]))


@pytest.mark.parametrize("weighted", [False, True])
def test_what_is_learnt_of_the_best_taggings(weighted: bool) -> None:
    ours, theirs = chain(0), chain(3)
    total = torch.zeros((), dtype=torch.float64)
    for row in range(3):
        taught, own = every(theirs, row), every(ours, row)
        ranked = sorted(taught, key=lambda tags: -taught[tags])[:5]
        scores = torch.stack([taught[tags] for tags in ranked])
        weights = torch.softmax(scores, 0) if weighted else torch.full_like(scores, 1 / len(ranked))
        log_z = torch.logsumexp(torch.stack([*own.values()]), 0)
        total = total + sum(weight * (log_z - own[tags]) for weight, tags in zip(weights, ranked, strict=True))
    torch.testing.assert_close(crf.top_k(ours, theirs, MASK, 5, weighted), total / 7)


def test_a_student_that_equals_its_teacher_has_no_gradient_from_it() -> None:
    theirs = chain(4)
    ours = Potentials(*(values.clone().requires_grad_() for values in theirs))
    crf.posterior(ours, theirs, MASK, 2.25).backward()
    for values in ours:
        assert values.grad is not None and values.grad.abs().max() < 1e-12
    assert torch.autograd.gradcheck(
        lambda *given: crf.posterior(Potentials(*given), chain(5), MASK, 2.25),
        tuple(v.detach().requires_grad_() for v in ours),
    )


def test_words_without_a_token_move_out_of_the_way() -> None:
    values = torch.arange(8).reshape(2, 4)
    chosen = torch.tensor([[True, False, True, True], [False, False, True, False]])
    found, mask = crf.packed(values, chosen)
    assert found[mask].tolist() == [0, 2, 3, 6] and mask.tolist() == [[True] * 3, [True, False, False]]


def test_viterbi_outside_the_graph_goes_where_training_does() -> None:
    for seed in range(20):
        ours = chain(seed)
        tags, _ = crf.best(ours, MASK, 2)
        served = Chain(*(values.numpy() for values in ours[1:]))
        for row, length in enumerate(LENGTHS):
            found = served.best(ours.emissions[row, :length].numpy())
            assert found.argmax(axis=1).tolist() == tags[row, 0, :length].tolist()
            taggings = every(ours, row)
            first = max(taggings.values())
            for word, tag in product(range(length), range(TAGS)):
                expected = max(score for path, score in taggings.items() if path[word] == tag) - first
                np.testing.assert_allclose(found[word, tag], float(expected), atol=1e-5)
