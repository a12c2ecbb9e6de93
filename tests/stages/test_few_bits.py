"""Weights in few bits: what fits them exactly comes back exactly, sizes are as computed, runtimes tell them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekd.artifact import Artifact
from edgekd.engine import Engine
from edgekd.errors import EdgekdError
from edgekd.stage import STAGES, Job
from edgekd.tokens import encode, load_tokenizer
from tests.conftest import artifact

TABLES = 28 * 32 + 40 * 32 + 2 * 32
MATRICES = 4 * (4 * 32 * 32 + 2 * 32 * 64) + 32 * 32 + 2 * 32


def weights_stage(**options: Any) -> Any:
    return STAGES.get("quantize_onnx_weights").model_validate({"source": "x", **options})


@pytest.mark.parametrize("symmetric", [True, False])
def test_what_four_bits_hold_comes_back(symmetric: bool, tmp_path: Path) -> None:
    """Sixteen steps from -8 to 7 are all the values that a block has."""
    import onnxruntime

    steps = np.arange(-8, 8, dtype=np.float32)
    table = np.stack([steps, steps[::-1], steps / 2, np.zeros(16, np.float32)])
    matrix = np.stack([steps[::-1], steps / 4], axis=1)
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["rows"], name="gather"),
        helper.make_node("MatMul", ["rows", "matrix"], ["out"], name="product"),
    ]
    ids = helper.make_tensor_value_info("ids", TensorProto.INT64, ["n"])
    outs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", width])
        for name, width in (("rows", 16), ("out", 2))
    ]
    weights = [numpy_helper.from_array(table, "table"), numpy_helper.from_array(np.ascontiguousarray(matrix), "matrix")]
    graph = helper.make_graph(nodes, "g", [ids], outs, weights)
    opset = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=10), str(tmp_path / "source.onnx"))
    stage = weights_stage(block_size=16, symmetric=symmetric, compute="fp32")
    stage._quantize(tmp_path / "source.onnx", tmp_path / "made.onnx", frozenset())
    made = onnx.load(str(tmp_path / "made.onnx"))
    assert [node.op_type for node in made.graph.node] == ["GatherBlockQuantized", "MatMulNBits"]
    session = onnxruntime.InferenceSession(str(tmp_path / "made.onnx"), providers=["CPUExecutionProvider"])
    rows, out = session.run(["rows", "out"], {"ids": np.arange(4)})
    np.testing.assert_allclose(rows, table, atol=1e-6)
    np.testing.assert_allclose(out, table @ matrix, atol=1e-4)


@pytest.mark.parametrize(
    ("options", "held", "told"),
    [
        ({"bits": 4}, {"int4": TABLES // 2, "uint8": MATRICES // 2}, "int4 weights"),
        ({"bits": 8}, {"int8": TABLES, "uint8": MATRICES}, "int8 weights"),
        ({"bits": 4, "embeddings": False}, {"uint8": MATRICES // 2}, "int4 weights"),
    ],
    ids=lambda value: str(value),
)
def test_onnx(options: dict[str, Any], held: dict[str, int], told: str, encoder: Path, job: Callable[..., Job]) -> None:
    export = job("onnx", artifact(encoder, "torch"))
    STAGES.get("export_onnx").model_validate({"source": "x"}).run(export)
    work = job("few", artifact(export.out, "onnx"))
    facts = weights_stage(**options).run(work)
    found = facts["bytes_by_type"]
    assert {kind: found[kind] for kind in held} == held and found.keys() <= {*held, "float", "int64"}
    outputs, precision = served(work, export)
    ours, theirs = outputs
    np.testing.assert_allclose(ours, theirs, atol=(0.05 if options["bits"] == 8 else 0.6) * np.abs(theirs).max())
    assert told in precision


@pytest.mark.parametrize("everything", [False, True])
def test_openvino(everything: bool, encoder: Path, job: Callable[..., Job]) -> None:
    pytest.importorskip("nncf")
    stages = {"fp32": {}, "int4": {"precision": "int4", "all_layers": everything}}
    export, work = (job(name, artifact(encoder, "torch")) for name in stages)
    for options, made in zip(stages.values(), (export, work), strict=True):
        facts = STAGES.get("export_openvino").model_validate({"source": "x", **options}).run(made)
    last = 2 * 32
    few = MATRICES + TABLES if everything else MATRICES - last
    assert facts["bytes_by_type"]["i4"] == few // 2
    (ours, theirs), precision = served(work, export, "openvino")
    np.testing.assert_allclose(ours, theirs, atol=0.6 * np.abs(theirs).max())
    assert "int4 weights in 25" in precision or precision == "int4 weights"


def served(work: Job, reference: Job, form: str = "onnx") -> tuple[tuple[Any, Any], str]:
    """Outputs of both on dev, and what the first computed in."""
    for made in (work, reference):
        Artifact.seal(made.out, artifact(made.out, form).manifest)
    rows = encode(load_tokenizer(work.out, 32), work.data.dev.texts).pad(range(20))
    with Engine() as engine:
        ours, theirs = engine.compile(work.out), engine.compile(reference.out)
        return (ours.run(rows)["logits"], theirs.run(rows)["logits"]), ours.precision(rows)


def test_a_block_is_a_power_of_two() -> None:
    with pytest.raises(EdgekdError, match="block_size 48 is no power of two"):
        weights_stage(block_size=48).check(None)


def test_a_group_divides_every_layers_inputs(encoder: Path, job: Callable[..., Job]) -> None:
    pytest.importorskip("nncf")
    stage = STAGES.get("export_openvino").model_validate({"source": "x", "precision": "int4", "group_size": 24})
    with pytest.raises(EdgekdError, match="group_size 24 does not divide") as caught:
        stage.run(job("int4", artifact(encoder, "torch")))
    assert caught.value.hint == "Choose a divisor of 32."
