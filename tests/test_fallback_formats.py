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
from tests.conftest import Ran, artifact

HURT = "attention.output.dense"
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
    """Makes the job of a stage whose source has an outlier among the weights of each attention's last product.

    One input of it is weighted 1,000 times as strongly and gets a thousandth of its value: float outputs stay.
    """
    from safetensors.torch import load_file, save_file

    source = tmp_path / "source"
    source.mkdir()
    for file in (ran.folder / "student").iterdir():
        if file.name != "manifest.json":
            (source / file.name).write_bytes(file.read_bytes())
    weights = load_file(source / "model.safetensors")
    for layer in (0, 1):
        attention = f"bert.encoder.layer.{layer}.attention"
        weights[f"{attention}.output.dense.weight"][:, 3] *= 1e3
        for part in ("weight", "bias"):
            weights[f"{attention}.self.value.{part}"][3] /= 1e3
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
    rows = work.data.dev.encode(work.source.path, 32)
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
    assert [name.endswith(HURT) for name, _ in ranking].index(True) == 0
    assert floats == [name for name, _ in ranking[: len(floats)]] and 0 < len(floats) < len(ranking)
    assert score(work, made.makes) >= 0.95


def test_nncfs_accuracy_control_leaves_it_too(hurt: Callable[..., Job]) -> None:
    pytest.importorskip("nncf")
    work = hurt("made")
    options = {"precision": "int8", "samples": 32, "fallback": True, "fallback_by": "nncf", "max_drop": 0.05}
    facts = STAGES.get("export_openvino").model_validate({"source": "x", **options}).run(work)
    assert any(name.endswith(HURT) for name in facts["float_layers"])
    assert facts["bytes_by_type"]["i8"] > facts["bytes_by_type"]["f32"] / 2
    assert score(work, "openvino") >= 0.95


@pytest.mark.slow
def test_a_float_model_from_nncf_is_refused(hurt: Callable[..., Job]) -> None:
    pytest.importorskip("nncf")
    work = hurt("made")
    falling = iter(range(1000))
    work.data.__dict__["value"] = lambda logits: -float(next(falling))  # each model worse than the one before
    options = {"precision": "int8", "samples": 32, "fallback": True, "fallback_by": "nncf", "max_reverted": 100}
    with pytest.raises(RefusedError, match=r"found no int8 model that loses at most 0\.01"):
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
