"""Layers that 8 bits hurt are found, and left in float; where no mix keeps the limits, the best is named."""

from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import numpy_helper

from edgekd.artifact import Artifact
from edgekd.data import Data
from edgekd.errors import EdgekdError, RefusedError
from edgekd.onnx_graph import layers
from edgekd.recipe import load
from edgekd.stage import STAGES, Job
from tests.conftest import Ran, artifact

HURT = "bert.encoder.layer.0.attention.self.value"
READER = "bert.encoder.layer.0.attention.output.dense"


def parts(model: onnx.ModelProto) -> dict[str, onnx.TensorProto]:
    """The weights (in, out) and bias of the layer, and the weights (in, out) of the one that reads it."""
    names = {"values": f"{HURT}.weight", "bias": f"{HURT}.bias", "reader": f"{READER}.weight"}
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    return {part: tensors[f"inner.{name}"] for part, name in names.items()}


@pytest.fixture
def work(ran: Ran, tmp_path: Path) -> Job:
    """An ONNX encoder with a channel so large that one scale for all rounds the others away."""
    source = tmp_path / "source"
    source.mkdir()
    for file in (ran.folder / "onnx").iterdir():
        (source / file.name).write_bytes(file.read_bytes())
    model = onnx.load(str(source / "model.onnx"))
    # One channel of the values 1,000 times as large, read a thousandth as strongly: the outputs stay as they were.
    for name, tensor in parts(model).items():
        values = numpy_helper.to_array(tensor).copy()
        index: Any = 3 if name == "bias" else (slice(None), 3) if name == "values" else 3
        values[index] *= 1e-3 if name == "reader" else 1e3
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    onnx.save(model, str(source / "model.onnx"))
    (source / "manifest.json").unlink()
    Artifact.seal(source, artifact(source, "onnx").manifest)
    recipe = load(ran.recipe)
    (tmp_path / "out").mkdir()
    (tmp_path / "scratch").mkdir()
    data = Data(recipe.data, recipe.seed)
    return Job(Artifact.load(source), {}, data, tmp_path / "out", tmp_path / "scratch", 7, lambda *_: None)


def stage(**options: Any) -> Any:
    chosen = {"source": "x", "per_channel": False, "fallback": True, **options}
    return STAGES.get("quantize_onnx").model_validate(chosen)


def test_layers_have_the_models_names(work: Job) -> None:
    assert work.source is not None
    found = layers(work.source.path / "model.onnx", tables=True)
    assert HURT in found and "bert.encoder.layer.1.output.dense" in found and "classifier" in found
    assert "inner.bert.embeddings.word_embeddings.weight" in found
    assert len(found) == 2 * 6 + 2 + 3


def test_the_layer_that_is_hurt_stays_in_float(work: Job) -> None:
    facts = stage(max_drop=0.0).run(work)
    assert {name for name, _ in facts["ranking"][:2]} == {HURT, READER}
    floats = facts["float_layers"]
    assert floats == [name for name, _ in facts["ranking"][: len(floats)]] and 0 < len(floats) < len(facts["ranking"])
    graph = onnx.load(str(work.out / "model.onnx")).graph
    assert any(node.name == floats[0] and node.op_type == "MatMul" for node in graph.node)
    assert sum(node.op_type in ("MatMulInteger", "DynamicQuantizeMatMul") for node in graph.node) > 5


def test_answers_that_change_go_back_to_float_too(work: Job) -> None:
    # Any drop will do, but no answer may change.
    facts = stage(max_drop=2.0, min_agreement=1.0).run(work)
    assert 0 < len(facts["float_layers"]) < len(facts["ranking"])


def test_nothing_is_searched_where_8_bits_do(work: Job) -> None:
    facts = stage(max_drop=2.0, min_agreement=0.0).run(work)
    assert facts["float_layers"] == [] and facts["ranking"] == []


def test_the_best_is_named_where_nothing_will_do(work: Job) -> None:
    with pytest.raises(
        RefusedError,
        match=r"no mix .* keeps a drop of 0, 90\.0% equal answers and 1e\+09 times the speed; the best of 1 tried",
    ):
        stage(max_drop=0.0, min_speedup=1e9).run(work)


def test_its_limit_makes_another_artifact() -> None:
    assert stage(max_drop=0.1).key_options() != stage(max_drop=0.2).key_options()
    plain = [stage(max_drop=drop, fallback=False).key_options() for drop in (0.1, 0.2)]
    assert plain[0] == plain[1]
    with pytest.raises(EdgekdError, match="min_speedup is only looked at by the fallback"):
        stage(fallback=False, min_speedup=2.0).check(None)
