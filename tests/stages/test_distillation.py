"""Methods from end to end on small parts: ERNIE-Tiny's stages, a student distilled on text, another vocabulary."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from edgekd.artifact import TOKENIZER
from edgekd.data_options import DataOptions
from edgekd.errors import EdgekdError, RefusedError
from edgekd.pipeline import run
from edgekd.recipe import load
from edgekd.stage import Job
from edgekd.stages.distill import Distill
from edgekd.stages.distill_general import DistillGeneral
from edgekd.store import Store
from tests.conftest import Quiet, artifact, sentences


@pytest.fixture
def text(tmp_path: Path) -> Path:
    """Plain text in the corpus's words."""
    file = tmp_path / "text.txt"
    file.write_text("\n".join(row["sentence"] for row in sentences(64, seed=9)) + "\n")
    return file


def history(job: Job) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((job.out / "training.json").read_text())
    return found


def quick(*phases: str) -> dict[str, dict[str, Any]]:
    return {name: {"epochs": 2, "batch_size": 16, "learning_rate": 1e-3} for name in phases}


def test_ernie_tinys_stages_change_teacher_data_and_objective(
    encoder: Path, text: Path, job: Callable[..., Job]
) -> None:
    teacher = artifact(encoder, "torch")
    stage = Distill.model_validate(
        {
            "teacher": "t",
            "model": {"layers": 2, "from": "t", "width": 16},
            "method": "ernie_tiny",
            "general": {"corpus": str(text), "model": str(encoder)},
            "phases": quick("gd", "ged", "tad", "tsd"),
        }
    )
    made = job("ernie", teacher, t=teacher)
    facts = stage.run(made)
    assert [record["phase"] for record in history(made)[::2]] == ["gd", "ged", "tad", "tsd"]
    latent = {"embedding", "hidden", "attention"}
    terms = {record["phase"]: set(record) - {"phase", "epoch", "loss", "course"} for record in history(made)}
    assert terms == {"gd": latent, "ged": latent, "tad": latent, "tsd": latent | {"soft", "hard"}}
    said = {phase["name"]: (phase["teacher"], phase["data"]) for phase in facts["phases"]}
    assert said["gd"] == ("pretrained", "general") and said["ged"] == ("tuned", "general")
    assert said["tsd"] == ("tuned", "task")
    # Going on, not starting anew: a later stage begins below where the first began.
    by_phase = {name: [r["hidden"] for r in history(made) if r["phase"] == name] for name in terms}
    assert by_phase["tad"][0] < by_phase["gd"][0]


def test_uncertainty_makes_two_layers_one_and_trains_the_feed_forward(encoder: Path, job: Callable[..., Job]) -> None:
    teacher = artifact(encoder, "torch")
    stage = Distill.model_validate(
        {
            "teacher": "t",
            "model": {"merge": 2, "from": "t"},
            "method": "uncertainty",
            "phases": quick("uncertainty", "weighted"),
        }
    )
    made = job("uncertain", teacher, t=teacher)
    facts = stage.run(made)
    assert facts["doubts"] == []
    terms = {"uncertainty", "hidden", "soft", "hard"}
    assert [set(record) - {"phase", "epoch", "loss", "course"} for record in history(made)] == [terms] * 4
    theirs, ours = (load_file(folder / "model.safetensors") for folder in (encoder, made.out))
    prefix = "bert.encoder.layer."
    assert {name.split(".")[3] for name in ours if name.startswith(prefix)} == {"0", "1"}
    assert json.loads((made.out / "config.json").read_text())["num_hidden_layers"] == 2
    assert ours.keys() <= theirs.keys()  # no estimator among them
    for name, value in ours.items():
        number, _, rest = name.removeprefix(prefix).partition(".")
        if not name.startswith(prefix):
            same, frozen = theirs[name], ".embeddings." in name
        else:
            frozen = rest.startswith("attention")
            same = theirs[f"{prefix}{2 * int(number) + (not frozen)}.{rest}"]
        assert torch.equal(value, same) == frozen, name


def test_progressive_transfer_ends_with_the_student_alone(encoder: Path, job: Callable[..., Job]) -> None:
    teacher = artifact(encoder, "torch")
    stage = Distill.model_validate(
        {
            "teacher": "t",
            "model": {"layers": 2, "from": "t", "width": 16},
            "method": "progressive",
            "phases": {**quick("transfer", "finetune"), "transfer": {"epochs": 4, "learning_rate": 1e-3}},
        }
    )
    made = job("progressive", teacher, t=teacher)
    assert stage.run(made)["doubts"] == []
    compared = {"normalized", "means", "variances", "attention", "cross", "soft", "hard", "open"}
    terms = [set(record) - {"phase", "epoch", "loss", "course"} for record in history(made)]
    assert terms == [compared] * 4 + [{"hard"}] * 2
    opened = [record["open"] for record in history(made)[:4]]
    assert opened[0] < opened[2] <= opened[3] == 1
    assert history(made)[3]["normalized"] < 0.9 * history(made)[0]["normalized"] / opened[0]


def test_modules_are_replaced_one_by_one(encoder: Path, job: Callable[..., Job]) -> None:
    """BERT-of-Theseus: only labels teach, and what is not replaced stays."""
    teacher = artifact(encoder, "torch")
    off = dict.fromkeys(("normalized", "means", "variances", "attention", "cross", "soft"), 0)
    options = {"teacher": "t", "model": {"layers": [1, 2], "from": "t"}, "method": "progressive"}
    theseus = {"gate": "module", "terms": off, "freeze": ["embeddings", "head"], "epochs": 4, "gate_start": 0.3}
    made = job("theseus", teacher, t=teacher)
    stage = Distill.model_validate({**options, "phases": {"transfer": theseus, "finetune": {"epochs": 0}}})
    stage.run(made)
    assert [set(record) - {"phase", "epoch", "loss", "course"} for record in history(made)] == [{"hard", "open"}] * 4
    theirs, ours = (load_file(folder / "model.safetensors") for folder in (encoder, made.out))
    layers = {name for name in ours if ".layer." in name}
    assert ours.keys() <= theirs.keys() and len(layers) == 2 * 16
    assert all(torch.equal(value, theirs[name]) == (name not in layers) for name, value in ours.items())
    with pytest.raises(EdgekdError, match="gate: module is for hard and soft labels") as caught:
        stage.model_copy(update={"phases": {"transfer": {"gate": "module"}}}).schedule(made.data.options)
    assert "Set terms: {attention: 0, normalized: 0, means: 0, variances: 0, cross: 0}" in caught.value.hint


def test_a_start_that_is_not_the_methods_is_doubted(encoder: Path, job: Callable[..., Job]) -> None:
    teacher = artifact(encoder, "torch")
    options = {"teacher": "t", "model": {"layers": 2, "from": "t"}, "method": "uncertainty", "epochs": 1}
    made = job("unmerged", teacher, t=teacher)
    facts = Distill.model_validate(options).run(made)
    assert "start from {from: TEACHER, merge: 2}" in facts["doubts"][0]
    assert [record["phase"] for record in history(made)] == ["uncertainty"]  # the other has no epochs to shorten


def test_a_stage_can_be_skipped_and_then_needs_nothing(encoder: Path, job: Callable[..., Job]) -> None:
    teacher = artifact(encoder, "torch")
    options = {"teacher": "t", "model": {"layers": 2, "from": "t"}, "method": "ernie_tiny"}
    data = DataOptions.model_validate({"source": "embedded/acceptability"})
    with pytest.raises(EdgekdError, match="phase 'gd' learns from general text, and the step names none"):
        Distill.model_validate(options).check(data)
    skipped = {"gd": {"epochs": 0}, "ged": {"epochs": 0}, **quick("tad", "tsd")}
    stage = Distill.model_validate({**options, "phases": skipped})
    stage.check(data)
    made = job("ernie", teacher, t=teacher)
    stage.run(made)
    assert {record["phase"] for record in history(made)} == {"tad", "tsd"}


def test_text_without_labels_is_learnt_from_the_teacher_alone(
    encoder: Path, text: Path, job: Callable[..., Job]
) -> None:
    teacher = artifact(encoder, "torch")
    stage = Distill.model_validate(
        {
            "teacher": "t",
            "model": {"layers": 2, "from": "t"},
            "method": "logits",
            "general": {"corpus": str(text)},
            "phases": quick("text", "prediction"),
        }
    )
    made = job("text", teacher, t=teacher)
    stage.run(made)
    records = history(made)
    assert [record["phase"] for record in records] == ["text", "text", "prediction", "prediction"]
    assert "hard" not in records[0] and records[1]["soft"] < records[0]["soft"]


def test_augmented_copies_are_learnt_from_and_told_of(encoder: Path, job: Callable[..., Job]) -> None:
    teacher = artifact(encoder, "torch")
    stage = Distill.model_validate(
        {
            "teacher": "t",
            "model": {"layers": 2, "from": "t"},
            "phases": quick("intermediate", "prediction"),
            "augment": {"copies": 3, "min_length": 1, "min_cosine": -1.0},
        }
    )
    made = job("augmented", teacher, t=teacher)
    facts = stage.run(made)
    assert facts["augmentation"]["copies"] > 96 and "nearest neighbours" in facts["augmentation"]["candidates"]


def test_a_student_with_a_vocabulary_of_its_own_learns_the_logits(
    encoder: Path, job: Callable[..., Job], tmp_path: Path
) -> None:
    """Its ids are the teacher's backwards; kept logits and a running teacher agree: both read the teacher's ids."""
    other = tmp_path / "other"
    other.mkdir()
    for file in encoder.iterdir():
        (other / file.name).write_bytes(file.read_bytes())
    spec = json.loads((encoder / TOKENIZER).read_text())
    tokens = sorted(spec["model"]["vocab"], key=spec["model"]["vocab"].__getitem__)
    mirrored = tokens[:5] + tokens[:4:-1]  # the special ones stay
    spec["model"]["vocab"] = {token: number for number, token in enumerate(mirrored)}
    (other / TOKENIZER).write_text(json.dumps(spec))

    teacher = artifact(encoder, "torch")
    found = {}
    for name, cache in (("kept", 1.0), ("running", 0.0)):
        stage = Distill.model_validate(
            {
                "teacher": "t",
                "model": str(other),
                "method": "logits",
                "phases": {"prediction": {"epochs": 2, "batch_size": 16, "terms": {"hard": 0}}},
                "teacher_cache_gb": cache,
            }
        )
        made = job(name, teacher)
        stage.run(made)
        found[name] = load_file(made.out / "model.safetensors")
    for key, value in found["kept"].items():
        torch.testing.assert_close(value, found["running"][key], rtol=1e-3, atol=1e-5)


def test_general_distillation_is_shared_by_recipes_and_not_scored(
    encoder: Path, text: Path, corpus: Path, write_recipe: Callable[..., Path], tmp_path: Path
) -> None:
    step = (
        f"  - {{id: general, stage: distill_general, model: {encoder}, student: {{layers: 2}}, "
        f"corpus: {text}, phase: {{epochs: 2, batch_size: 16, learning_rate: 1.0e-3}}}}\n"
    )
    changes = (
        ("steps:\n", f"steps:\n{step}"),
        ("{layers: 2, from: teacher}", "{from: general}"),
        ("  - {id: onnx_int8, stage: quantize_onnx, max_drop: 0.05}\n", ""),
        ("epochs: 16,", "epochs: 1,"),
        ("epochs: 6,", "epochs: 1,"),
        ("epochs: 10,", "epochs: 1,"),
        ("devices: [quick]", "devices: []"),
    )
    store = Store(tmp_path / "store")
    first = run(load(write_recipe(tmp_path / "one", *changes)), store, tmp_path / "runs", Quiet())
    general, _, student, onnx = first.steps
    assert general.score is None and not general.timings and general.format == "encoder"
    assert student.score is not None and onnx.passed
    # Another metric, length and name: another recipe, to which the encoder is the same.
    other = (*changes, ("name: small", "name: other"), ("max_length: 32", "max_length: 30"))
    second = run(load(write_recipe(tmp_path / "two", *other)), store, tmp_path / "runs", Quiet())
    assert [step.cached for step in second.steps] == [True, False, False, False]
    assert second.steps[0].key == general.key


def test_general_distillation_lowers_its_losses(encoder: Path, text: Path, job: Callable[..., Job]) -> None:
    stage = DistillGeneral.model_validate(
        {
            "model": str(encoder),
            "student": {"layers": 2, "width": 16, "random": True},
            "corpus": str(text),
            "rows": 48,
            "phase": {"epochs": 6, "batch_size": 16, "learning_rate": 2e-3, "terms": {"embedding": 1}},
        }
    )
    made = job("general", None)
    facts = stage.run(made)
    assert facts["rows"] == 48
    for term in ("embedding", "hidden", "attention"):
        assert history(made)[-1][term] < 0.9 * history(made)[0][term], term


TEACHER = {"teacher": "t", "model": {"layers": 2, "from": "t"}}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"method": "logits", "augment": {"copies": 3}}, "augment has no effect"),
        ({"method": "logits", "general": {"corpus": "text.txt"}}, "general has no effect"),
        ({"method": "ernie_tiny", "general": {"corpus": "text.txt"}}, "general names none"),
    ],
)
def test_options_that_nothing_reads_are_refused(options: dict[str, Any], told: str) -> None:
    data = DataOptions.model_validate({"source": "embedded/acceptability"})
    with pytest.raises(EdgekdError, match=told):
        Distill.model_validate({**TEACHER, **options}).check(data)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ("phase: {data: task}", r"phase.data cannot be set"),
        ("budget: {min_score: 0.5}", r"'general' knows no task"),
        ("budget: {max_p50_ms: {quick: 3}}", r"'general' knows no task"),
    ],
)
def test_what_an_encoder_without_a_task_cannot_be_held_to(
    encoder: Path, text: Path, write_recipe: Callable[..., Path], tmp_path: Path, fields: str, told: str
) -> None:
    step = f"  - {{id: general, stage: distill_general, model: {encoder}, student: {{layers: 2}}, corpus: {text}, "
    step += f"{fields}}}"
    with pytest.raises(EdgekdError, match=told) as caught:
        load(write_recipe(tmp_path / "one", ("steps:\n", f"steps:\n{step}\n")))
    assert "recipe.yaml:5:" in str(caught.value.where)


def test_its_size_is_held_to_a_budget(
    encoder: Path, text: Path, write_recipe: Callable[..., Path], tmp_path: Path
) -> None:
    step = (
        f"  - {{id: general, stage: distill_general, model: {encoder}, student: {{layers: 2}}, corpus: {text}, "
        "phase: {epochs: 1, batch_size: 32}, budget: {max_mb: 0.001}}\n"
    )
    recipe = load(write_recipe(tmp_path / "one", ("steps:\n", f"steps:\n{step}")))
    with pytest.raises(RefusedError, match="budget: megabytes"):
        run(recipe, Store(tmp_path / "store"), tmp_path / "runs", Quiet())


def test_a_student_starts_from_an_encoder_in_torch(write_recipe: Callable[..., Path], tmp_path: Path) -> None:
    late = "  - {id: again, stage: finetune, model: {from: onnx}}\ndevices:"
    with pytest.raises(EdgekdError, match="starts from an encoder in torch, and 'onnx' makes onnx"):
        load(write_recipe(tmp_path / "one", ("devices:", late)))


def test_a_run_is_one_process(
    write_recipe: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(EdgekdError, match="a run is one process"):
        run(load(write_recipe(tmp_path)), Store(tmp_path / "store"), tmp_path / "runs", Quiet())
