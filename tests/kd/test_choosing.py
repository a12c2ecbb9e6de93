"""Rows by how unsure a student is of them: the measures by hand, who is asked about what, and what that saves."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from edgekd.errors import EdgekdError
from edgekd.kd.checks import check
from edgekd.kd.choosing import mixed_labels, mixture, most_unsure, unsure
from edgekd.kd.encoder import load_classifier
from edgekd.kd.objective import Learner
from edgekd.kd.phase import Phase, Terms
from edgekd.kd.student import shaped
from edgekd.kd.tap import Mix, Tap
from edgekd.kd.trace import Needs
from edgekd.kd.training import Training
from edgekd.start import Shape
from tests.conftest import build_encoder
from tests.kd.test_encoder import all_insides
from tests.kd.test_objective import batch, learner, phase
from tests.kd.test_training import quiet, rows

UNEVEN = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75)) / math.log(2)


def passes(*chances: list[tuple[float, ...]]) -> Tensor:
    """Logits (passes, B, C) whose softmax is these."""
    return torch.tensor(chances, dtype=torch.float64).log()


@pytest.mark.parametrize(
    ("by", "expected"),
    [("entropy", [1, UNEVEN, 0]), ("least_confidence", [1, 0.5, 0]), ("margin", [1, 0.5, 0])],
)
def test_measures_of_one_answer(by: Any, expected: list[float]) -> None:
    assert unsure(passes([(0.5, 0.5), (0.25, 0.75), (1, 0)]), by).tolist() == pytest.approx(expected)


def test_measures_of_more_classes_are_shares() -> None:
    even = passes([(1 / 3, 1 / 3, 1 / 3)])
    assert [unsure(even, by).item() for by in ("entropy", "least_confidence", "margin")] == pytest.approx([1, 1, 1])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ("mc_entropy", [1, UNEVEN]),  # of the mean: (1/2, 1/2) and (1/4, 3/4)
        ("bald", [1, 0]),  # sure twice, of the contrary; unsure twice, of the same
        ("variance", [2 * 0.25, 0]),
    ],
)
def test_measures_of_passes(by: Any, expected: list[float]) -> None:
    answers = passes([(1, 0), (0.25, 0.75)], [(0, 1), (0.25, 0.75)])
    assert unsure(answers, by).tolist() == pytest.approx(expected)


def test_the_variance_of_values() -> None:
    assert unsure(torch.tensor([[[1.0]], [[3.0]]]), "variance").tolist() == [1.0]


def test_the_most_unsure_in_their_order() -> None:
    assert most_unsure(torch.tensor([0.1, 0.9, 0.3, 0.8, 0.2]), 0.5).tolist() == [1, 3]
    assert most_unsure(torch.tensor([0.1, 0.9]), 0.1).tolist() == [1]


def test_a_mixture_leaves_the_most_unsure_rows_as_they_are() -> None:
    """The sizes of the paper: 64 rows, 32 of them plain, 48 kept."""
    torch.manual_seed(0)
    uncertainty = torch.rand(64)
    mix = mixture(uncertainty, 0.5, 0.75)
    assert len(mix.hosts) == len(mix.partners) == len(mix.share) == 48
    assert torch.equal(mix.hosts, uncertainty.argsort(descending=True)[:48])
    assert len(set(mix.partners.tolist())) == 48
    # sigmoid(-1000 / 128) at the last plain row, sigmoid(1000 / 128) at the first mixed one
    assert mix.share[:32].max() < 4.1e-4 and mix.share[32:].std() < 2e-4
    assert 0 < mix.share[40] < 1 and mixture(uncertainty, 0.5, 0.75).share[40] != mix.share[40]


def test_labels_are_mixed_as_rows_are() -> None:
    mix = Mix(torch.tensor([1, 0]), torch.tensor([0, 0]), torch.tensor([0.25, 0.5]))
    torch.testing.assert_close(mixed_labels(torch.tensor([2.0, 4.0]), mix, 1), torch.tensor([3.5, 2.0]))
    chances = mixed_labels(torch.tensor([0, 1]), mix, 2)
    torch.testing.assert_close(chances, torch.tensor([[0.25, 0.75], [1.0, 0.0]]))


@pytest.mark.parametrize("kind", ["bert", "roberta", "electra", "distilbert", "albert"])
def test_embedding_outputs_are_mixed(kind: str, tmp_path: Path) -> None:
    """Row 1 is shorter than row 0: what it lacks is the host's."""
    tap = Tap(load_classifier(build_encoder(tmp_path, kind, layers=2)).eval())
    ids = torch.tensor([[2, 5, 6, 7, 3], [2, 8, 3, 0, 0], [2, 9, 9, 6, 3]])
    given = {"input_ids": ids, "attention_mask": (ids > 0).long(), "token_type_ids": torch.zeros_like(ids)}
    needs = all_insides(2)
    plain = tap.trace(given, needs)
    hosts, partners = torch.tensor([0, 0, 0, 1]), torch.tensor([2, 1, 2, 0])
    mixed = tap.trace(given, needs, Mix(hosts, partners, torch.tensor([0.0, 0.5, 1.0, 0.5])))
    for ours, row in ((0, 0), (2, 2)):
        torch.testing.assert_close(mixed.logits[ours], plain.logits[row])
        torch.testing.assert_close(mixed.hidden[2][ours], plain.hidden[2][row])
    embedded, found = plain.hidden[0], mixed.hidden[0]
    if kind != "electra":  # which projects between its embeddings and its layers, where sizes differ
        torch.testing.assert_close(found[1, :3], (embedded[0, :3] + embedded[1, :3]) / 2)
        torch.testing.assert_close(found[1, 3:], embedded[0, 3:])
    assert torch.equal(mixed.mask, given["attention_mask"][hosts])
    torch.testing.assert_close(tap.trace(given, Needs()).logits, plain.logits)  # the hook is gone


def counted(model: Any) -> list[int]:
    """The rows of each forward pass, from here on."""
    seen: list[int] = []
    model.register_forward_hook(
        lambda module, args, kwargs, output: seen.append(len(kwargs["input_ids"])), with_kwargs=True
    )
    return seen


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, 72),  # 36 rows, twice
        ({"keep": 0.5}, 36),  # 4, 4, 4, 4 and 2 of batches of 8, 8, 8, 8 and 4
        ({"keep": 0.5, "uncertain_by": "bald", "passes": 3}, 36),
        ({"mix": 0.5, "keep": 0.75}, 54),
        ({"weighting": "soft"}, 72),
    ],
)
def test_the_teacher_runs_on_fewer_rows(encoder: Path, tmp_path: Path, fields: dict[str, Any], expected: int) -> None:
    made = phase(terms=Terms(soft=1, hard=1, hidden=1), epochs=2, batch_size=8, **fields)
    model = learner(encoder, made)
    tap = model.teacher(made)
    assert tap is not None
    seen = counted(tap.model)
    history = Training(model, [made], [rows()], 5, tmp_path, quiet, cache_bytes=0).run()
    assert sum(seen) == expected
    share = [record["taught"] for record in history if "taught" in record]
    assert share == ([pytest.approx(expected / 72)] * 2 if "keep" in fields else [])


def test_rows_that_are_chosen_anew_are_not_kept(encoder: Path, tmp_path: Path) -> None:
    """Kept outputs would take the teacher over all rows, which is what the choice saves."""
    made = phase(terms=Terms(soft=1), epochs=2, batch_size=8, keep=0.5)
    model = learner(encoder, made)
    tap = model.teacher(made)
    assert tap is not None
    seen = counted(tap.model)
    Training(model, [made], [rows()], 5, tmp_path, quiet, cache_bytes=1e9).run()
    assert sum(seen) == 36


def test_the_labels_of_all_rows_count(encoder: Path) -> None:
    """And soft labels are those of the chosen rows, each with its own teacher's."""
    made = phase(terms=Terms(soft=1, hard=1), keep=0.5, soft_loss="kl")
    model = learner(encoder, made).eval()
    given = batch(model, made)
    found = model(given)
    plain = phase(terms=Terms(soft=1, hard=1), soft_loss="kl")
    model.begin(plain)
    assert found["hard"] == pytest.approx(model(given)["hard"].item())
    ours = model._tap.trace(given, Needs()).logits
    chosen = unsure(ours[None].detach(), "entropy").topk(3).indices.sort().values
    each = {name: tensor[chosen] for name, tensor in given.items()}
    assert found["soft"].item() == pytest.approx(model(each)["soft"].item(), rel=1e-4)
    assert found["taught"] == 0.5


@pytest.mark.parametrize("weighting", ["soft", "objective"])
def test_rows_count_by_their_entropy(encoder: Path, weighting: Any) -> None:
    terms = Terms(soft=2, hidden=1, attention=1, cls=1, embedding=1, relations=1, uncertainty=1)
    plain, made = phase(terms=terms, soft_loss="kl"), phase(terms=terms, soft_loss="kl", weighting=weighting)
    model = learner(encoder, made).eval()
    given = batch(model, made)
    found = model(given)
    weights = unsure(model._tap.trace(given, Needs()).logits[None].detach(), "entropy")
    model.begin(plain)
    alone = [model({name: tensor[row : row + 1] for name, tensor in given.items()}) for row in range(6)]
    for name in ("soft", "hidden", "attention", "cls", "embedding", "relations", "uncertainty"):
        each = torch.stack([one[name] for one in alone])
        if weighting == "objective":
            expected = ((1 - weights if name == "soft" else weights) * each).mean()
        else:
            expected = (weights * each).mean() if name == "soft" else model(given)[name]
        assert found[name].item() == pytest.approx(expected.item(), rel=1e-3), name


def test_a_stopped_training_that_mixes_ends_as_an_undisturbed_one(encoder: Path, tmp_path: Path) -> None:
    made = phase(terms=Terms(soft=1, hard=1), epochs=2, batch_size=8, mix=0.5, keep=0.75, uncertain_by="mc_entropy")
    straight, stopped = learner(encoder, made), learner(encoder, made)
    history = Training(straight, [made], [rows()], 5, tmp_path / "straight", quiet).run()

    def stop(label: str, done: float, total: float) -> None:
        if done == 4:
            raise KeyboardInterrupt

    tick = iter(range(10_000)).__next__
    with pytest.raises(KeyboardInterrupt):
        Training(stopped, [made], [rows()], 5, tmp_path / "again", stop, "auto", 2.0, tick).run()
    again = learner(encoder, made)
    assert Training(again, [made], [rows()], 5, tmp_path / "again", quiet).run() == history
    for (name, ours), theirs in zip(again.state_dict().items(), straight.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs), name


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"terms": Terms(hard=1), "keep": 0.5}, "of what is learnt from a teacher"),
        ({"terms": Terms(hidden=1), "keep": 0.5, "data": "general"}, "on general text it gives none"),
        ({"terms": Terms(soft=1), "mix": 0.5, "weighting": "soft"}, "set mix or weighting"),
        ({"terms": Terms(soft=1), "mix": 0.5, "soft_loss": "dkd"}, "mixed rows have no one class"),
        ({"terms": Terms(soft=1), "weighting": "soft", "uncertain_by": "variance"}, "a variance is no share"),
        ({"terms": Terms(soft=1), "weighting": "soft", "soft_loss": "dist"}, "compares the rows of a batch"),
        ({"terms": Terms(contrastive=1), "weighting": "objective"}, "compares the rows of a batch"),
    ],
)
def test_what_contradicts_itself(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        phase(**fields)


def test_a_regression_has_no_entropy(encoder: Path) -> None:
    teacher = load_classifier(encoder, num_labels=1)
    student = shaped(teacher, Shape(layers=2))
    made = Phase(name="made", terms=Terms(soft=1, hard=1), keep=0.5, batch_size=4)
    for wrong, told in (({"uncertain_by": "margin"}, "margin is of classes"), ({"weighting": "soft"}, "no share")):
        with pytest.raises(EdgekdError, match=told):
            check(student, {"tuned": teacher}, [made.model_copy(update=wrong)])
    assert check(student, {"tuned": teacher}, [made]) == []
    model = Learner(student, {"tuned": teacher}, [made])
    model.begin(made)
    given = batch(model, made)
    given["labels"] = torch.linspace(0, 5, 6)
    assert model(given)["taught"] == 0.5
    model.begin(mixing := made.model_copy(update={"mix": 0.5}))
    assert set(model(given)) == {"soft", "hard", "taught", "loss"} and mixing.live
