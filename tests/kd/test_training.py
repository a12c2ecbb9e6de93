"""The loop: the same result however often it is stopped, rows all used, a loss that is no number is said."""

import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from edgekd.errors import EdgekdError
from edgekd.kd.encoder import load_classifier
from edgekd.kd.objective import Learner
from edgekd.kd.phase import Phase, Terms
from edgekd.kd.rows import Rows
from edgekd.kd.training import Training, _optimizer
from edgekd.tokens import Encoded
from tests.conftest import build_encoder

PHASES = (
    Phase(name="insides", terms=Terms(hidden=1, attention=1, embedding=1), epochs=2, batch_size=8, schedule="constant"),
    Phase(name="outputs", terms=Terms(soft=1, hard=0.5), epochs=2, batch_size=8, learning_rate=1e-3, warmup=0.5),
)


def rows(count: int = 36) -> Rows:
    draw = np.random.default_rng(0)
    lengths = draw.integers(3, 9, count)
    ids = [np.concatenate([[2], draw.integers(5, 20, length), [3]]).astype(np.int64) for length in lengths]
    return Rows(Encoded(ids, [np.zeros_like(row) for row in ids]), draw.integers(0, 2, count))


ROWS = [rows()] * len(PHASES)


@pytest.fixture
def learner(encoder: Path) -> Callable[[], Learner]:
    def make() -> Learner:
        teacher = load_classifier(encoder)
        student = copy.deepcopy(teacher)
        torch.manual_seed(3)
        for parameter in student.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
        return Learner(student, {"tuned": teacher}, PHASES)

    return make


def quiet(label: str, done: float, total: float) -> None: ...


class StoppedError(Exception):
    pass


@pytest.mark.parametrize("stops", [(3,), (5, 6), (9,), (10, 11, 17), (1, 2, 3, 4)])
def test_a_stopped_training_ends_as_an_undisturbed_one(
    learner: Callable[[], Learner], tmp_path: Path, stops: tuple[int, ...]
) -> None:
    """Stops fall inside epochs, at an epoch's and at a phase's end (a phase has 10 steps)."""
    straight = learner()
    history = Training(straight, PHASES, ROWS, 5, tmp_path / "straight", quiet).run()
    assert [record["phase"] for record in history] == ["insides", "insides", "outputs", "outputs"]

    count = 0

    def progress(label: str, done: float, total: float) -> None:
        nonlocal count
        count += 1
        if count in stops:
            raise StoppedError

    scratch = tmp_path / "stopped"
    while True:
        stopped = learner()
        try:
            # Every second step leaves a checkpoint.
            tick = iter(range(10_000)).__next__
            again = Training(stopped, PHASES, ROWS, 5, scratch, progress, "auto", 3.0, tick).run()
            break
        except StoppedError:
            continue
    assert again == history
    for (name, ours), theirs in zip(stopped.state_dict().items(), straight.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs), name


def test_the_teacher_is_no_part_of_what_is_trained(learner: Callable[[], Learner], tmp_path: Path) -> None:
    made = learner()
    assert not any("teacher" in name for name, _ in made.named_parameters())
    teacher = made._teachers[0]["tuned"]
    before = copy.deepcopy(teacher.model.state_dict())
    Training(made, PHASES, ROWS, 5, tmp_path, quiet).run()
    assert all(torch.equal(value, before[name]) for name, value in teacher.model.state_dict().items())
    assert not teacher.model.training


def test_distillation_lowers_every_term(learner: Callable[[], Learner], tmp_path: Path) -> None:
    phase = PHASES[0].model_copy(update={"epochs": 12, "learning_rate": 1e-3})
    history = Training(learner(), [phase], ROWS[:1], 5, tmp_path, quiet).run()
    for term in ("embedding", "hidden", "attention"):
        assert history[-1][term] < 0.9 * history[0][term], term
    # The parts of an epoch (it has 5 steps) are its steps here, and their mean is the epoch's.
    assert [len(record["course"]) for record in history] == [5] * 12
    assert sum(history[0]["course"]) / 5 == pytest.approx(history[0]["loss"], rel=1e-4)
    total = sum(history[0][term] for term in ("embedding", "hidden", "attention"))
    assert history[0]["loss"] == pytest.approx(total, rel=1e-4)


def test_a_projection_is_learnt_where_widths_differ(encoder: Path, tmp_path: Path) -> None:
    from tests.conftest import build_encoder

    narrow = load_classifier(build_encoder(tmp_path / "narrow", width=16))
    made = Learner(narrow, {"tuned": load_classifier(encoder)}, PHASES)
    assert made.beside.projection is not None and made.beside.projection.weight.shape == (32, 16)
    before = made.beside.projection.weight.clone()
    Training(made, PHASES, ROWS, 5, tmp_path / "scratch", quiet).run()
    assert not torch.equal(made.beside.projection.weight, before)


def test_a_loss_that_is_no_number(learner: Callable[[], Learner], tmp_path: Path) -> None:
    broken = learner()
    broken.student.classifier.weight.data.fill_(float("nan"))
    with pytest.raises(EdgekdError, match=r"loss of phase 'outputs' is no longer a number"):
        Training(broken, PHASES[1:], ROWS[1:], 5, tmp_path, quiet).run()


def test_a_phase_without_terms_is_refused() -> None:
    with pytest.raises(ValueError, match="every term has weight 0"):
        Phase(name="empty", terms=Terms())


def test_few_rows_are_passed_over_until_the_least_steps(learner: Callable[[], Learner], tmp_path: Path) -> None:
    few = PHASES[1].model_copy(update={"epochs": 2, "min_steps": 11})
    seen: list[tuple[float, float]] = []
    found = Training(learner(), [few], [rows(20)], 5, tmp_path, lambda _, *at: seen.append(at), cache_bytes=0).run()
    assert len(found) == 4 and seen == [(step, 12) for step in range(1, 13)]  # 3 steps an epoch
    assert few.passes_over(8) == 2 and few.model_copy(update={"epochs": 0}).passes_over(3) == 0


def test_fp32_and_bf16_agree(learner: Callable[[], Learner], tmp_path: Path) -> None:
    found = {}
    for precision in ("fp32", "bf16"):
        history = Training(learner(), PHASES, ROWS, 5, tmp_path / precision, quiet, precision).run()  # type: ignore[arg-type]
        found[precision] = [record["loss"] for record in history]
    assert found["bf16"] == pytest.approx(found["fp32"], rel=0.05)
    assert found["bf16"] != found["fp32"]


def test_phases_that_share_rows_share_what_is_kept_and_read_their_own(encoder: Path, tmp_path: Path) -> None:
    """Two layers' relations are kept; each phase reads one. Nothing is kept when the last has ended."""
    phases = [
        Phase(name=f"layer{layer}", terms=Terms(relations=1, soft=1), relation_layer=layer, epochs=1, batch_size=8)
        for layer in (2, 3)
    ]
    found = {}
    for name, room in (("kept", 1e9), ("own", 8e4), ("running", 0.0)):
        teacher = load_classifier(encoder)
        learner = Learner(copy.deepcopy(teacher), {"tuned": teacher}, phases)
        scratch = tmp_path / name
        labels: list[str] = []

        def told(label: str, done: float, total: float, labels: list[str] = labels) -> None:
            labels.append(label)

        history = Training(learner, phases, ROWS[:1] * 2, 5, scratch, told, "fp32", cache_bytes=room).run()
        found[name] = [record["loss"] for record in history]
        fills = {label for label in labels if label.endswith("teacher")}
        assert len(fills) == {"kept": 1, "own": 2, "running": 0}[name]
        assert not list(scratch.glob("outputs-*"))
    assert found["kept"] == pytest.approx(found["running"], rel=1e-3)
    assert found["own"] == pytest.approx(found["running"], rel=1e-3)


@pytest.mark.parametrize("room", [1e9, 0.0])
def test_a_teacher_goes_when_nothing_is_asked_of_it(
    learner: Callable[[], Learner], tmp_path: Path, room: float
) -> None:
    """And not where it still answers; what is learnt is the same."""
    histories = []
    for frugal in (False, True):
        made = learner()
        scratch = tmp_path / str(frugal)
        histories.append(Training(made, PHASES, ROWS, 5, scratch, quiet, cache_bytes=room, frugal=frugal).run())
        left = sum(parameter.numel() for parameter in made._teachers[0]["tuned"].model.parameters())
        assert bool(left) == (not frugal or not room)
    assert histories[0] == histories[1]


def test_a_teacher_whose_modules_run_stays(encoder: Path, tmp_path: Path) -> None:
    """Kept outputs serve the first phase; the second runs the teacher's layers in the student."""
    phases = [
        Phase(name="told", terms=Terms(soft=1), epochs=1, batch_size=8),
        Phase(name="gated", terms=Terms(hard=1), gate="module", epochs=1, batch_size=8),
    ]
    teacher = load_classifier(encoder)
    made = Learner(copy.deepcopy(teacher), {"tuned": teacher}, phases)
    Training(made, phases, ROWS, 5, tmp_path, quiet, frugal=True).run()
    assert all(parameter.numel() for parameter in teacher.parameters())


@pytest.mark.parametrize("kind", ["bert", "distilbert"])
def test_what_learns_at_a_rate_of_its_own_does(kind: str, tmp_path: Path) -> None:
    student, teacher = (load_classifier(build_encoder(tmp_path / name, kind)) for name in ("one", "other"))
    rates = {"learning_rate": 1.0, "projection_rate": 2.0, "estimator_rate": 3.0, "head_rate": 5.0}
    phase = Phase(name="x", terms=Terms(hidden=1, uncertainty=1), **rates)
    learner = Learner(student, {"tuned": teacher}, [phase])
    found = {id(one): group["lr"] for group in _optimizer(learner, phase).param_groups for one in group["params"]}
    assert len(found) == sum(1 for _ in learner.parameters())
    for name, parameter in learner.named_parameters():
        expected = 2.0 if "projection" in name else 3.0 if "estimators" in name else 1.0
        above = any(part in name for part in ("pooler", "pre_classifier", "student.classifier"))
        assert found[id(parameter)] == (5.0 if above else expected), name
