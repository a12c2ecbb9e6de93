"""Progressive transfer: gates follow their chance, shut modules are the teacher's, attention crosses; then alone."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from edgekd.errors import EdgekdError
from edgekd.kd.blocks import run
from edgekd.kd.checks import check
from edgekd.kd.crossing import by_attention, by_modules, distribution
from edgekd.kd.encoder import load_classifier, stack
from edgekd.kd.gates import Moment, draw
from edgekd.kd.losses import hidden
from edgekd.kd.methods.progressive import Progressive
from edgekd.kd.objective import Learner
from edgekd.kd.phase import Phase, Terms
from edgekd.kd.student import shaped
from edgekd.kd.tap import Tap
from edgekd.kd.trace import Needs
from edgekd.kd.training import Training
from edgekd.start import Shape
from tests.conftest import build_encoder
from tests.kd.test_encoder import BATCH, all_insides
from tests.kd.test_objective import batch, learner, phase
from tests.kd.test_training import quiet, rows

GATED = phase(terms=Terms(hidden=1, soft=1, embedding=1, hard=1), gate="loss", soft_loss="kl")


def moment(made: Phase, passed: float, *wanted: bool) -> Moment:
    """A moment whose gates 1..M are these."""
    moments = (Moment(step=step, passed=passed) for step in range(10_000))
    return next(one for one in moments if draw(made, one, len(wanted)).open[1:-1] == wanted)


def test_the_chance_rises_linearly_to_one() -> None:
    assert [GATED.chance(passed) for passed in (0.0, 0.33, 0.66, 1.0)] == pytest.approx([0.2, 0.6, 1.0, 1.0])
    early = phase(terms=Terms(soft=1), gate="loss", gate_start=0.3, gate_full=0.5)
    assert [early.chance(passed) for passed in (0.0, 0.25, 0.5)] == pytest.approx([0.3, 0.65, 1.0])
    assert phase(terms=Terms(soft=1)).chance(0.0) == 1.0


@pytest.mark.parametrize("start", [0.05, 0.35])
def test_the_first_chance_is_the_claims(start: float) -> None:
    with pytest.raises(ValueError, match="gate_start"):
        phase(terms=Terms(soft=1), gate="loss", gate_start=start)


@pytest.mark.parametrize("passed", [0.0, 0.2, 0.5])
def test_gates_follow_the_chance_each_for_itself(passed: float) -> None:
    """Over 4,000 steps, within 4 standard deviations of what independent draws give."""
    steps, chance = 4000, GATED.chance(passed)
    drawn = [draw(GATED, Moment(step=step, passed=passed), 2) for step in range(steps)]
    within = 4 * math.sqrt(chance * (1 - chance) / steps)
    for module in range(4):
        assert sum(one.open[module] for one in drawn) / steps == pytest.approx(chance, abs=within)
        assert sum(one.crossed[module] for one in drawn) / steps == pytest.approx(1 - chance, abs=within)
    both = sum(one.open[1] and one.open[2] for one in drawn) / steps
    assert both == pytest.approx(chance**2, abs=4 * math.sqrt(chance**2 * (1 - chance**2) / steps))
    assert draw(GATED, Moment(step=7, passed=passed), 2) == drawn[7]


def test_a_phase_opens_its_gates_step_by_step(encoder: Path, tmp_path: Path) -> None:
    made = GATED.model_copy(update={"epochs": 20, "batch_size": 8})
    model = learner(encoder, made)
    seen: list[Moment] = []
    history = Training(model, [made], [rows()], 5, tmp_path, lambda *_: seen.append(model.moment)).run()
    steps = [one for one in seen if one.step][-100:]
    assert [one.passed for one in steps] == pytest.approx([step / 100 for step in range(100)])
    assert len({one.step for one in steps}) == 100
    shares = [draw(made, one, 2).share for one in steps]
    variance = sum(made.chance(one.passed) * (1 - made.chance(one.passed)) / 4 for one in steps)
    assert sum(shares) == pytest.approx(sum(made.chance(one.passed) for one in steps), abs=4 * math.sqrt(variance))
    assert [record["open"] for record in history] == pytest.approx(
        [sum(shares[at : at + 5]) / 5 for at in range(0, 100, 5)], abs=1e-6
    )
    assert all(record["open"] == 1 for record in history[14:])


def test_a_shut_gate_leaves_its_layers_terms_out(encoder: Path) -> None:
    model = learner(encoder, GATED, width=32).eval()
    given = batch(model, GATED)
    tap = model.teacher(GATED)
    assert tap is not None
    ours, theirs = model._tap.trace(given, all_insides(2)), tap.trace(given, all_insides(4))
    each = [hidden.mse(ours.hidden[m], theirs.hidden[2 * m], ours.mask).item() for m in (1, 2)]
    assert each[0] > 0 and each[1] > 0
    for wanted in ((True, False), (False, True), (False, False), (True, True)):
        model.moment = moment(GATED, 0.1, *wanted)
        found = model(given)
        assert found["hidden"].item() == pytest.approx(sum(wanted[m] * each[m] for m in (0, 1)), rel=1e-4)
        gates = draw(GATED, model.moment, 2)
        assert bool(found["soft"]) == gates.open[3] and found["hard"] > 0
        assert found["open"].item() == pytest.approx(sum(gates.open) / 4)
    student: Any = model.student
    torch.nn.init.normal_(student.get_input_embeddings().weight)  # it began with the teacher's
    opened = [draw(GATED, Moment(step=step, passed=0.1), 2).open[0] for step in range(20)]
    assert True in opened and False in opened
    given_at = {}
    for step, is_open in enumerate(opened):
        model.moment = Moment(step=step, passed=0.1)
        given_at[is_open] = model(given)["embedding"].item()
    assert given_at[False] == 0 < given_at[True]


def test_a_shut_module_is_the_teachers(encoder: Path) -> None:
    """With layers 2 and 4 of the teacher a student whose first module is shut is one of layers 1, 2 and 4."""
    teacher = load_classifier(encoder).eval()
    made = phase(terms=Terms(hard=1), gate="module")
    student = shaped(teacher, Shape(layers=2))
    model = Learner(student, {"tuned": teacher}, [made]).eval()
    assert check(student, {"tuned": teacher}, [made]) == []
    model.begin(made)
    given = batch(model, made)
    names = list(model.state_dict())
    for wanted, layers in (
        ((False, True), (1, 2, 4)),
        ((True, False), (2, 3, 4)),
        ((False, False), (1, 2, 3, 4)),
        ((True, True), (2, 4)),
    ):
        model.zero_grad()
        model.moment = moment(made, 0.1, *wanted)
        found = model(given)
        inputs = {name: tensor for name, tensor in given.items() if name != "labels"}
        logits = shaped(teacher, Shape(layers=layers)).eval()(**inputs).logits
        assert found["hard"].item() == pytest.approx(torch.nn.functional.cross_entropy(logits, given["labels"]).item())
        found["loss"].backward()
        for layer, is_open in zip(stack(student), wanted, strict=True):
            assert all((parameter.grad is not None) == is_open for parameter in layer.parameters())
        assert all(parameter.grad is None for parameter in teacher.parameters())
    assert list(model.state_dict()) == names


@pytest.mark.parametrize("kind", ["bert", "roberta", "electra", "distilbert", "albert"])
def test_lent_attention_takes_the_place_of_a_layers_own(kind: str, tmp_path: Path) -> None:
    tap = Tap(load_classifier(build_encoder(tmp_path, kind, layers=3)).eval())
    plain = tap.trace(BATCH, all_insides(3))
    own = {layer: distribution(plain, layer, 4) for layer in (1, 3)}
    torch.testing.assert_close(tap.trace(BATCH, Needs(), lent=own).logits, plain.logits, rtol=1e-4, atol=1e-5)
    # Even attention over the tokens, the same for all heads, in the second layer alone.
    mask = BATCH["attention_mask"].float()
    even = (mask / mask.sum(1, keepdim=True))[:, None, None, :].expand(2, 1, 5, 5)
    changed = tap.trace(BATCH, all_insides(3), lent={2: even})
    torch.testing.assert_close(changed.hidden[1], plain.hidden[1])
    assert not torch.allclose(changed.hidden[2], plain.hidden[2], atol=1e-3)
    torch.testing.assert_close(tap.trace(BATCH, Needs()).logits, plain.logits)  # it was lent once


def test_what_a_layer_makes_of_lent_attention(encoder: Path) -> None:
    model = load_classifier(encoder).eval()
    tap = Tap(model)
    draw_ = torch.Generator().manual_seed(0)
    chances = torch.rand((2, 4, 5, 5), generator=draw_).softmax(-1)
    trace = tap.trace(BATCH, all_insides(4), lent={2: chances})
    layer = model.bert.encoder.layer[1]
    states = trace.hidden[1]
    values = trace.values[2].view(2, 5, 4, 8).transpose(1, 2)
    mixed = (chances @ values).transpose(1, 2).reshape(2, 5, 32)
    attended = layer.attention.output(mixed, states)
    torch.testing.assert_close(trace.hidden[2], layer.output(layer.intermediate(attended), attended))


def test_heads_that_differ_lend_their_mean(encoder: Path) -> None:
    trace = Tap(load_classifier(encoder).eval()).trace(BATCH, all_insides(4))
    own, mean = distribution(trace, 2, 4), distribution(trace, 2, 8)
    assert own.shape[1] == 4
    torch.testing.assert_close(mean, own.mean(1, keepdim=True))
    assert own[1, :, :, 3:].abs().max() == 0  # no attention to padding


def test_crossed_attention_teaches_the_students_attention_alone(encoder: Path) -> None:
    teacher, student = load_classifier(encoder).eval(), shaped(load_classifier(encoder), Shape(layers=2)).eval()
    with torch.no_grad():
        for layer in stack(student):
            layer.attention.self.query.weight.mul_(2.0)
    tap, own = Tap(teacher.requires_grad_(False)), Tap(student)
    theirs, ours = tap.trace(BATCH, all_insides(4)), own.trace(BATCH, all_insides(2))
    found = by_attention(tap, BATCH, ours, theirs, {1: 2, 2: 4})
    lent = {layer: distribution(ours, layer // 2, 4).detach() for layer in (2, 4)}
    crossed = tap.trace(BATCH, all_insides(4), lent=lent)
    for mine, other in ((1, 2), (2, 4)):
        expected = hidden.mse(crossed.hidden[other], theirs.hidden[other], theirs.mask)
        assert found[mine].item() == pytest.approx(expected.item()) and expected > 0
    found[2].backward()
    last = stack(student)[1].attention.self
    assert last.query.weight.grad.abs().sum() > 0 and last.key.weight.grad.abs().sum() > 0
    assert last.value.weight.grad is None or last.value.weight.grad.abs().sum() == 0
    assert student.classifier.weight.grad is None


@pytest.mark.parametrize("kind", ["bert", "distilbert"])
def test_layers_run_by_themselves(kind: str, tmp_path: Path) -> None:
    model = load_classifier(build_encoder(tmp_path, kind, layers=3)).eval()
    trace = Tap(model).trace(BATCH, all_insides(3))
    found = run(list(stack(model))[1:], trace.hidden[1], trace.mask)
    tokens = trace.mask.bool()
    torch.testing.assert_close(found[tokens], trace.hidden[3][tokens])


@pytest.mark.parametrize("share", [1.0, 0.0, 0.6])
def test_modules_on_each_others_inputs(encoder: Path, share: float) -> None:
    teacher, student = load_classifier(encoder).eval(), shaped(load_classifier(encoder), Shape(layers=(1, 3))).eval()
    theirs, ours = Tap(teacher).trace(BATCH, all_insides(4)), Tap(student).trace(BATCH, all_insides(2))
    found = by_modules(student, teacher, ours, theirs, {1: 2, 2: 4}, share)
    of_theirs = run([stack(student)[1]], theirs.hidden[2], ours.mask)
    of_ours = run(list(stack(teacher))[2:], ours.hidden[1], ours.mask)
    first = hidden.mse(of_theirs, theirs.hidden[4], ours.mask).item()
    second = hidden.mse(of_ours, ours.hidden[2], ours.mask).item()
    assert found[2].item() == pytest.approx(share * first + (1 - share) * second) and first > 0 and second > 0


@pytest.mark.parametrize("cross", ["attention", "modules"])
def test_the_student_runs_alone_in_the_end(encoder: Path, cross: Any) -> None:
    transfer = Progressive.phases(False)[0].model_copy(update={"cross": cross})
    model = learner(encoder, transfer, width=32).eval()
    given = batch(model, transfer)
    alone = torch.nn.functional.cross_entropy(model._tap.trace(given, Needs()).logits, given["labels"]).item()
    crossing = next(step for step in range(99) if all(draw(transfer, Moment(step=step), 2).crossed))
    model.moment = Moment(step=crossing)
    assert (model(given)["hard"].item() == pytest.approx(alone, abs=1e-6)) == (cross == "modules")
    for step in range(20):
        model.moment = Moment(step=step, passed=0.66)
        found = model(given)
        assert found["hard"].item() == pytest.approx(alone, abs=1e-6) and found["open"] == 1
    found["loss"].backward()
    assert all(found[name] > 0 for name in ("normalized", "means", "variances", "attention", "cross", "soft"))


@pytest.mark.parametrize(
    "fields",
    [
        {"terms": Terms(normalized=1, means=1, variances=1, cross=1, attention=1, hard=1), "gate": "loss"},
        {"terms": Terms(cross=1, hard=1), "cross": "modules"},
        {"terms": Terms(hard=1), "gate": "module"},
        {"terms": Terms(uncertainty=1, soft=1), "mix": 0.5, "keep": 0.75},
        {"terms": Terms(hidden=1, soft=1), "weighting": "objective", "uncertain_by": "bald"},
    ],
    ids=lambda fields: ", ".join(fields),
)
def test_bf16_agrees(encoder: Path, tmp_path: Path, fields: dict[str, Any]) -> None:
    made = phase(**fields, epochs=2, batch_size=8, learning_rate=1e-4)
    found = {}
    for precision in ("fp32", "bf16"):
        model = learner(encoder, made, width=32)
        history = Training(model, [made], [rows()], 5, tmp_path / precision, quiet, precision).run()  # type: ignore[arg-type]
        found[precision] = [record["loss"] for record in history]
    assert found["bf16"] == pytest.approx(found["fp32"], rel=0.05)
    assert found["bf16"] != found["fp32"]


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"terms": Terms(cross=1), "keep": 0.5}, "the cross term takes no keep"),
        ({"terms": Terms(hidden=1), "gate": "module"}, "hard and soft labels"),
        ({"terms": Terms(hard=1), "gate": "loss"}, "no term of this phase is"),
    ],
)
def test_what_contradicts_itself(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        phase(**fields)


@pytest.mark.parametrize(
    "fields", [{"terms": Terms(hard=1), "gate": "module"}, {"terms": Terms(cross=1), "cross": "modules"}]
)
def test_modules_stand_in_for_modules_as_wide(encoder: Path, fields: dict[str, Any]) -> None:
    teacher = load_classifier(encoder)
    with pytest.raises(EdgekdError, match="layers of bert, 32 wide, do not fit among those of bert, 16 wide"):
        check(shaped(teacher, Shape(layers=2, width=16)), {"tuned": teacher}, [phase(**fields)])
