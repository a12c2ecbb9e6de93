"""A phase's terms in one module: each term and mapping learns, kept outputs or not; what cannot work is refused."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch

from edgekd.errors import EdgekdError
from edgekd.kd.checks import check
from edgekd.kd.encoder import load_classifier
from edgekd.kd.gates import Moment
from edgekd.kd.objective import Learner
from edgekd.kd.outputs import Outputs
from edgekd.kd.phase import Phase, Terms
from edgekd.kd.student import shaped
from edgekd.start import Shape
from tests.conftest import build_encoder
from tests.kd.test_outputs import CPU, tokens

INSIDES = [
    "embedding",
    "hidden",
    "attention",
    "uncertainty",
    "normalized",
    "means",
    "variances",
    "cross",
    "cls",
    "pooled",
    "contrastive",
    "relations",
]
MAPPINGS = ["uniform", "top", "bottom", "last", "mean", "random", "reverse", "all_to_one", "attention", "emd", (1, 3)]


def phase(**fields: Any) -> Phase:
    return Phase(name="made", **fields)


def learner(encoder: Path, made: Phase, width: int = 16) -> Learner:
    """A teacher of 4 layers, 32 wide, and a student of 2 that starts from it."""
    teacher = load_classifier(encoder)
    torch.manual_seed(1)
    found = Learner(shaped(teacher, Shape(layers=2, width=width)), {"tuned": teacher}, [made])
    found.begin(made)
    return found


def batch(made: Learner, phases: Phase, kept: Path | None = None) -> dict[str, Any]:
    rows = tokens(6)
    arrays = {name: torch.from_numpy(array) for name, array in rows.pad(range(6)).items()}
    arrays["labels"] = torch.tensor([0, 1, 1, 0, 1, 0])
    if kept is not None:
        tap = made.teacher(phases)
        assert tap is not None
        outputs = Outputs.of(tap.model, made.reads([phases]), rows.lengths, kept)
        outputs.fill(tap, rows, 0, CPU, lambda done: None)
        arrays["outputs"] = outputs.batch(list(range(6)), made.reads([phases]))  # type: ignore[assignment]
    return arrays


@pytest.mark.parametrize("term", [*INSIDES, "soft", "hard"])
def test_each_term_teaches_the_student_and_kept_outputs_are_as_good(encoder: Path, tmp_path: Path, term: str) -> None:
    made = phase(terms=Terms(**{term: 2.0}))
    model = learner(encoder, made).eval()
    found = model(batch(model, made))
    assert set(found) == {term, "loss"} and found["loss"] == found[term] > 0
    found["loss"].backward()
    moved = [p for p in model.student.parameters() if p.grad is not None and p.grad.abs().sum() > 0]
    assert moved
    if term != "hard":
        again = model(batch(model, made, tmp_path / "kept"))
        torch.testing.assert_close(again["loss"], found["loss"], rtol=2e-3, atol=1e-5)


@pytest.mark.parametrize("mapping", MAPPINGS, ids=str)
def test_each_mapping_with_each_kind_of_layer_term(encoder: Path, tmp_path: Path, mapping: Any) -> None:
    made = phase(terms=Terms(hidden=1, attention=1, cls=1, contrastive=1), mapping=mapping)
    model = learner(encoder, made).eval()
    found = model(batch(model, made))
    found["loss"].backward()
    assert all(found[name] > 0 for name in ("hidden", "attention", "cls", "contrastive"))
    assert model.beside.projection is not None and model.beside.projection.weight.grad is not None
    again = learner(encoder, made).eval()
    kept = again(batch(again, made, tmp_path / "kept"))
    torch.testing.assert_close(kept["loss"], found["loss"], rtol=2e-3, atol=1e-5)


@pytest.mark.parametrize("loss", ["cosine", "normalized_mse", "gram"])
def test_hidden_losses(encoder: Path, loss: Any) -> None:
    made = phase(terms=Terms(hidden=1), hidden_loss=loss)
    model = learner(encoder, made)
    model(batch(model, made))["loss"].backward()
    assert model.beside.projection is not None
    assert (model.beside.projection.weight.grad is None) == (loss == "gram")  # which takes any width


def test_the_student_of_itself_has_nothing_to_learn(encoder: Path) -> None:
    teacher = load_classifier(encoder)
    alike = set(INSIDES) - {"contrastive"}
    made = phase(terms=Terms(**dict.fromkeys(alike, 1.0)))
    model = Learner(copy.deepcopy(teacher), {"tuned": teacher}, [made]).eval()
    assert model(batch(model, made))["loss"].item() == pytest.approx(0, abs=1e-6)


def test_a_random_mapping_follows_the_epochs_seed(encoder: Path) -> None:
    made = phase(terms=Terms(hidden=1), mapping="random")
    model = learner(encoder, made).eval()
    found = {}
    for seed in range(6):
        model.moment = Moment(epoch=seed)
        found[seed] = model(batch(model, made))["loss"].item()
    model.moment = Moment(epoch=0)
    assert model(batch(model, made))["loss"].item() == found[0]
    assert len(set(found.values())) > 1


def test_the_flows_weights_move_and_are_part_of_the_state(encoder: Path) -> None:
    made = phase(terms=Terms(hidden=1, attention=1), mapping="emd")
    model = learner(encoder, made).eval()
    assert model.beside.flow is not None
    before = model.beside.flow.student.clone()
    model(batch(model, made))
    assert not torch.equal(model.beside.flow.student, before) and model.beside.flow.student.sum() == pytest.approx(1)
    assert "beside.flow.student" in model.state_dict()


def test_what_a_phase_freezes_does_not_train(encoder: Path) -> None:
    made = phase(terms=Terms(hard=1), freeze=("*.embeddings.*", "*.layer.0.*"))
    model = learner(encoder, made)
    model(batch(model, made))["loss"].backward()
    grads = {name: p.grad for name, p in model.student.named_parameters()}
    assert all((grad is None) == (".embeddings." in name or ".layer.0." in name) for name, grad in grads.items())
    free = phase(terms=Terms(hard=1))
    model.begin(free)
    assert all(p.requires_grad for p in model.student.parameters())


def test_parts_by_name_freeze_what_belongs_to_them(encoder: Path) -> None:
    model = learner(encoder, phase(terms=Terms(hard=1), freeze=("embeddings", "attention")))
    training = {name for name, parameter in model.student.named_parameters() if parameter.requires_grad}
    assert training == {
        name for name, _ in model.student.named_parameters() if ".embeddings." not in name and ".attention." not in name
    }
    model.begin(phase(terms=Terms(hard=1), freeze=("head", "feed_forward")))
    free = {name for name, parameter in model.student.named_parameters() if parameter.requires_grad}
    heads = {name for name in training if "pooler" in name or name.startswith("classifier")}
    assert len(heads) == 4 and len(training - heads) == 2 * 6  # two linear layers and a normalisation of each
    assert free.isdisjoint(training) and len(free) + len(training) == len(list(model.student.parameters()))


def test_an_estimator_learns_in_one_phase_and_weighs_in_the_next(encoder: Path) -> None:
    estimating = phase(terms=Terms(uncertainty=1))
    weighing = phase(terms=Terms(uncertainty=1), uncertainty_loss="weighted")
    teacher = load_classifier(encoder)
    model = Learner(shaped(teacher, Shape(merge=2)), {"tuned": teacher}, [estimating, weighing])
    assert check(model.student, {"tuned": teacher}, [estimating, weighing]) == []
    assert model.beside.estimators is not None and set(model.beside.estimators) == {"1", "2"}
    model.begin(estimating)
    model(batch(model, estimating))["loss"].backward()
    assert all(module.wide.weight.grad.abs().sum() > 0 for module in model.beside.estimators.values())  # type: ignore[union-attr]
    model.zero_grad()
    model.begin(weighing)
    model(batch(model, weighing))["loss"].backward()
    assert all(parameter.grad is None for parameter in model.beside.estimators.parameters())
    assert any(parameter.grad is not None for parameter in model.student.parameters())


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"terms": Terms(hard=1), "freeze": ("*.nowhere.*",)}, r"no parameter is called so"),
        ({"terms": Terms(hard=1), "freeze": ("*",)}, r"freezes every parameter"),
    ],
)
def test_freezing_what_cannot_be_frozen(encoder: Path, fields: dict[str, Any], told: str) -> None:
    with pytest.raises(EdgekdError, match=told):
        learner(encoder, phase(**fields))


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"terms": Terms(soft=1), "soft_loss": "standardized"}, "two classes"),
        ({"terms": Terms(hidden=1), "mapping": (1, 9)}, "does not fit"),
        ({"terms": Terms(relations=1), "relation_heads": 3}, "3 relation heads do not divide"),
        ({"terms": Terms(relations=1), "relation_layer": 5}, "no layer 5"),
        ({"terms": Terms(cross=1), "mapping": "mean"}, "layers cross one with one"),
        ({"terms": Terms(cross=1), "mapping": "reverse"}, "layers cross one with one"),
        ({"terms": Terms(cross=1), "cross": "modules", "mapping": "last"}, "leaves layers out"),
        ({"terms": Terms(uncertainty=1), "uncertainty_loss": "weighted"}, "no earlier phase has estimated"),
        ({"terms": Terms(hidden=1), "teacher": "pretrained"}, "learns from the pretrained teacher, and there is none"),
    ],
)
def test_what_cannot_work_is_refused_before_training(encoder: Path, fields: dict[str, Any], told: str) -> None:
    teacher = load_classifier(encoder)
    with pytest.raises(EdgekdError, match=told):
        check(shaped(teacher, Shape(layers=2)), {"tuned": teacher}, [phase(**fields)])


@pytest.mark.parametrize("loss", ["dkd", "dist"])
def test_half_dead_terms_are_doubted(encoder: Path, loss: Any) -> None:
    teacher = load_classifier(encoder)
    doubts = check(shaped(teacher, Shape(layers=2)), {"tuned": teacher}, [phase(terms=Terms(soft=1), soft_loss=loss)])
    assert len(doubts) == 1 and "two classes" in doubts[0]


def test_teachers_of_two_sizes(encoder: Path, tmp_path: Path) -> None:
    tuned, other = load_classifier(encoder), load_classifier(build_encoder(tmp_path, layers=4, width=16))
    phases = [phase(terms=Terms(hidden=1), teacher="pretrained")]
    with pytest.raises(EdgekdError, match="the pretrained teacher has 4 layers of 16, the other 4 layers of 32"):
        check(shaped(tuned, Shape(layers=2)), {"tuned": tuned, "pretrained": other}, phases)


def test_a_term_over_a_batch_is_doubted_in_parts(encoder: Path) -> None:
    teacher = load_classifier(encoder)
    torn = phase(terms=Terms(contrastive=1), accumulate=4)
    assert "of which it sees 1/4" in check(shaped(teacher, Shape(layers=2)), {"tuned": teacher}, [torn])[0]


def test_minilm_needs_as_many_heads(encoder: Path, tmp_path: Path) -> None:
    teacher = load_classifier(encoder)
    other = load_classifier(build_encoder(tmp_path, layers=2), num_attention_heads=8)
    with pytest.raises(EdgekdError, match="compares head with head"):
        check(other, {"tuned": teacher}, [phase(terms=Terms(relations=1), relations="minilm")])


@pytest.mark.parametrize(
    "fields",
    [
        {"terms": Terms(hard=1), "data": "general"},
        {"terms": Terms(soft=1), "data": "general", "soft_loss": "dkd"},
        {"terms": Terms(soft=1), "teacher": "pretrained"},
    ],
)
def test_a_phase_that_contradicts_itself(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="terms"):
        phase(**fields)
