"""A quantized TFLite file, made smaller: the same graphs with the same answers, and each where the format has it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekd.stage import STAGES, Job
from edgekd.stages import export_tflite
from edgekd.tflite_graph import compact
from tests.conftest import artifact, build_encoder

LENGTHS = (4, 8, 12)


def answers(file: bytes) -> list[Any]:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=file)
    found = []
    for name in interpreter.get_signature_list():
        runner = interpreter.get_signature_runner(name)
        shape = runner.get_input_details()["input_ids"]["shape"]
        ids = (5 + np.arange(shape[1], dtype=np.int32) % 20).reshape(shape)
        types = np.zeros_like(ids)
        told = runner(input_ids=ids, attention_mask=np.ones_like(ids), token_type_ids=types)
        found += [(name, *value.tolist()) for value in told.values()]
    return found


def test_graphs_share_their_scales(job: Callable[..., Job], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("litert_torch")
    pytest.importorskip("ai_edge_quantizer")
    from ai_edge_litert import schema_py_generated as schema

    written: list[bytes] = []
    monkeypatch.setattr(export_tflite, "compact", lambda made: written.append(bytes(made)) or compact(made))
    given = {"source": "s", "precision": "int8_weights", "lengths": LENGTHS}
    step = job("tflite", artifact(build_encoder(tmp_path / "encoder"), "torch"))
    STAGES.get("export_tflite").model_validate(given).run(step)
    before, after = written[-1], (step.out / "model.tflite").read_bytes()

    assert len(answers(after)) == len(LENGTHS) + 1  # and one for the longest row
    assert answers(after) == answers(before)

    def scales(file: bytes) -> tuple[int, int]:
        """How many tables of scales the tensors have, and in how many places they lie."""
        model = schema.Model.GetRootAs(file, 0)
        graphs = [model.Subgraphs(number) for number in range(model.SubgraphsLength())]
        tensors = [graph.Tensors(number) for graph in graphs for number in range(graph.TensorsLength())]
        found = [own._tab.Pos for tensor in tensors if (own := tensor.Quantization()) and not own.ScaleIsNone()]
        return len(found), len(set(found))

    assert scales(before)[1] == scales(before)[0] == scales(after)[0]
    assert scales(after)[1] * len(answers(after)) <= scales(before)[1]
    assert len(after) < len(before)

    model = schema.Model.GetRootAs(after, 0)
    buffers = [model.Buffers(number) for number in range(model.BuffersLength())]
    places = [buffer._tab.Vector(buffer._tab.Offset(4)) for buffer in buffers if not buffer.DataIsNone()]
    assert places
    assert not [place for place in places if place % 16]
