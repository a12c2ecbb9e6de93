"""A layer that few bits ruin is found in every format: ranked first, and left in float by whoever chooses."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekd.artifact import Artifact
from edgekd.data import Data
from edgekd.engine import Engine
from edgekd.errors import EdgekdError, RefusedError
from edgekd.recipe import load
from edgekd.stage import STAGES, Job
from edgekd.tokens import encode, load_tokenizer
from tests.conftest import Ran, artifact

HURT = "bert.pooler.dense"
# stage, its options, the package it needs
FORMATS = [
    ("export_openvino", {"precision": "int8", "smooth_quant": -1, "samples": 32}, "nncf"),
    ("export_openvino", {"precision": "int4"}, "nncf"),
    ("export_tflite", {"precision": "int8_weights", "lengths": [16]}, "ai_edge_quantizer"),
    ("export_tflite", {"precision": "int8", "lengths": [16], "samples": 32}, "ai_edge_quantizer"),
    ("quantize_onnx_weights", {"bits": 4}, "onnx"),
]


@pytest.fixture
def hurt(ran: Ran, tmp_path: Path) -> Callable[[str], Job]:
    """Makes the job of a stage whose source has an outlier in each row of the pooler's weights.

    They weight an input that is always 0: in float they do nothing, and one scale for them and others ends the others.
    """
    from safetensors.torch import load_file, save_file

    source = tmp_path / "source"
    source.mkdir()
    for file in (ran.folder / "student").iterdir():
        if file.name != "manifest.json":
            (source / file.name).write_bytes(file.read_bytes())
    weights = load_file(source / "model.safetensors")
    weights[f"{HURT}.weight"][:, 3] = 1e4
    for part in ("weight", "bias"):
        weights[f"bert.encoder.layer.1.output.LayerNorm.{part}"][3] = 0
    save_file(weights, source / "model.safetensors", metadata={"format": "pt"})
    Artifact.seal(source, artifact(source, "torch").manifest)
    recipe = load(ran.recipe)
    data = Data(recipe.data, recipe.seed)

    def make(name: str, of: Path = source) -> Job:
        out, scratch = tmp_path / name, tmp_path / f"{name}_scratch"
        out.mkdir()
        scratch.mkdir()
        return Job(Artifact.load(of), {}, data, out, scratch, 7, lambda *_: None)

    return make


def ready(stage: str, hurt: Callable[..., Job]) -> Job:
    """The stage's job, on the file that it reads."""
    if stage != "quantize_onnx_weights":
        return hurt("made")
    export = hurt("onnx")
    STAGES.get("export_onnx").model_validate({"source": "x"}).run(export)
    Artifact.seal(export.out, artifact(export.out, "onnx").manifest)
    return hurt("made", export.out)


def score(work: Job, form: str) -> float:
    Artifact.seal(work.out, artifact(work.out, form).manifest)
    assert work.source is not None
    rows = encode(load_tokenizer(work.source.path, 32), work.data.dev.texts)
    with Engine() as engine:
        served = engine.compile(work.out)
        return work.data.value(np.concatenate([served.run(rows.pad([row]))["logits"] for row in range(len(rows.ids))]))


@pytest.mark.parametrize(("stage", "options", "package"), FORMATS, ids=lambda value: str(value))
def test_the_layer_that_is_hurt_stays_in_float(
    stage: str, options: dict[str, Any], package: str, hurt: Callable[..., Job]
) -> None:
    pytest.importorskip(package)
    work = ready(stage, hurt)
    made = STAGES.get(stage).model_validate({"source": "x", "fallback": True, "max_drop": 0.05, **options})
    facts = made.run(work)
    json.dumps(facts)
    ranking, floats = facts["ranking"], facts["float_layers"]
    assert ranking[0][0] == HURT and ranking[0][1] > 3 * ranking[1][1]
    assert floats == [name for name, _ in ranking[: len(floats)]] and 0 < len(floats) < len(ranking)
    assert score(work, made.makes) >= 0.95


def test_nncfs_accuracy_control_leaves_it_too(hurt: Callable[..., Job]) -> None:
    pytest.importorskip("nncf")
    work = hurt("made")
    options = {"precision": "int8", "samples": 32, "fallback": True, "fallback_by": "nncf", "max_drop": 0.05}
    facts = STAGES.get("export_openvino").model_validate({"source": "x", **options}).run(work)
    assert HURT in facts["float_layers"] and len(facts["float_layers"]) < 8
    assert score(work, "openvino") >= 0.95


def test_what_nncf_cannot_save_is_refused(hurt: Callable[..., Job]) -> None:
    pytest.importorskip("nncf")
    work = hurt("made")
    falling = iter(range(1000))
    work.data.__dict__["value"] = lambda logits: -next(falling) / 100  # each model worse than the one before
    options = {"precision": "int8", "samples": 32, "fallback": True, "fallback_by": "nncf", "max_reverted": 2}
    with pytest.raises(RefusedError, match=r"keeps no drop of 0\.01: with \d of 19 layers in float, it loses 0\."):
        STAGES.get("export_openvino").model_validate({"source": "x", **options}).run(work)
    assert list(work.out.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"precision": "fp16", "fallback": True}, "precision fp16 leaves every layer in float"),
        ({"precision": "int8", "min_speedup": 1.5}, "min_speedup is only looked at by the fallback"),
        ({"precision": "int4", "fallback": True, "fallback_by": "nncf"}, "NNCF's accuracy control quantizes to int8"),
    ],
)
def test_options_that_do_not_go_together(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(EdgekdError, match=problem):
        STAGES.get("export_openvino").model_validate({"source": "x", **options}).check(None)  # type: ignore[arg-type]
