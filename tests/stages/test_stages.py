"""Stages alone: export of each family, both ways of quantization, what is refused before work begins."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from edgekd.artifact import TOKENIZER
from edgekd.errors import EdgekdError
from edgekd.runtime import EngineDevice, serving
from edgekd.runtimes.onnxruntime import OnnxRuntime
from edgekd.runtimes.torch_eager import TorchEager
from edgekd.stage import STAGES, Job
from edgekd.tokens import encode, load_tokenizer
from tests.conftest import artifact, build_encoder

KINDS = ["bert", "roberta", "electra", "distilbert", "albert"]


def rows(lengths: tuple[int, ...] = (3, 9, 20)) -> list[dict[str, np.ndarray[Any, Any]]]:
    draw = np.random.default_rng(0)
    found = []
    for length in lengths:
        ids = draw.integers(5, 20, (2, length))
        mask = np.ones_like(ids)
        mask[1, length - 1 :] = 0
        found.append({"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)})
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_an_export_gives_the_models_outputs(kind: str, job: Callable[..., Job], tmp_path: Path) -> None:
    source = artifact(build_encoder(tmp_path / "source", kind), "torch")
    work = job("onnx", source)
    STAGES.get("export_onnx").model_validate({"source": "x"}).run(work)
    device = EngineDevice("cpu", 1)
    ours, theirs = OnnxRuntime().compile(work.out, device), TorchEager().compile(source.path, device)
    for row in rows():
        np.testing.assert_allclose(ours.run(row)["logits"], theirs.run(row)["logits"], atol=1e-4)
    ours.close()
    theirs.close()
    text = onnx.load(str(work.out / "model.onnx")).SerializeToString()
    assert b"site-packages" not in text and str(tmp_path).encode() not in text


def test_inputs_longer_than_the_encoder_takes(encoder: Path, job: Callable[..., Job]) -> None:
    work = job("teacher", None)
    long = " ".join(["cat"] * 60)
    work.data.__dict__["train"] = type(work.data.train)(((long,), ("a",)), work.data.train.targets[:2])
    work.data.__dict__["options"] = work.data.options.model_copy(update={"max_length": 64})
    with pytest.raises(EdgekdError, match="inputs of 62 tokens, the encoder takes 40"):
        STAGES.get("finetune").model_validate({"model": str(encoder), "epochs": 1}).run(work)


def test_a_head_of_another_size_is_made_anew(tmp_path: Path, encoder: Path) -> None:
    from edgekd.kd.encoder import load_classifier

    assert load_classifier(encoder, num_labels=5).classifier.weight.shape == (5, 32)


def test_an_export_is_the_same_file_each_time(encoder: Path, job: Callable[..., Job]) -> None:
    files = []
    for name in ("first", "second"):
        work = job(name, artifact(encoder, "torch"))
        STAGES.get("export_onnx").model_validate({"source": "x"}).run(work)
        files.append((work.out / "model.onnx").read_bytes())
    assert files[0] == files[1]


@pytest.mark.parametrize(
    "options",
    [
        {"mode": "dynamic"},
        {"mode": "dynamic", "per_channel": False},
        {"mode": "dynamic", "embeddings": False},
        {"mode": "static"},
        {"mode": "static", "format": "QOperator"},
        {"mode": "static", "calibration": "entropy"},
        {"mode": "static", "calibration": "percentile", "reduce_range": True},
    ],
    ids=lambda options: "-".join(map(str, options.values())),
)
def test_quantization(options: dict[str, Any], encoder: Path, job: Callable[..., Job]) -> None:
    export = job("onnx", artifact(encoder, "torch"))
    facts = STAGES.get("export_onnx").model_validate({"source": "x"}).run(export)
    source = artifact(export.out, "onnx")
    work = job("int8", source)
    stage = STAGES.get("quantize_onnx").model_validate({"source": "x", "samples": 16, **options})
    found = stage.run(work)
    assert (work.out / TOKENIZER).is_file()
    tables = 28 * 32 + 40 * 32 + 2 * 32
    matrices = 4 * (4 * 32 * 32 + 2 * 32 * 64) + 32 * 32 + 2 * 32
    assert facts["parameters"] > tables + matrices
    expected = matrices + (tables if options.get("embeddings", True) else 0)
    # Per-channel zero points are stored in 8 bits too.
    assert expected <= found["quantized"]["int8_values"] <= expected + 2_000
    device = EngineDevice("cpu", 1)
    ours, theirs = OnnxRuntime().compile(work.out, device), OnnxRuntime().compile(export.out, device)
    tokens = encode(load_tokenizer(work.out, 32), work.data.dev.texts)
    fp32, int8 = (runtime.run(tokens.pad(range(40)))["logits"] for runtime in (theirs, ours))
    assert not np.array_equal(fp32, int8)
    np.testing.assert_allclose(int8, fp32, atol=0.25 * np.abs(fp32).max())


@pytest.mark.parametrize("calibration", ["entropy", "percentile"])
def test_calibration_holds_what_one_batch_gives(
    calibration: str, encoder: Path, job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    from onnxruntime.quantization.calibrate import HistogramCollector

    held, collect = [], HistogramCollector.collect

    def counted(self: Any, arrays: dict[str, list[Any]]) -> None:
        held.append({(len(found), len(found[0])) for name, found in arrays.items() if name.startswith("layer_norm")})
        collect(self, arrays)

    monkeypatch.setattr(HistogramCollector, "collect", counted)
    export = job("onnx", artifact(encoder, "torch"))
    STAGES.get("export_onnx").model_validate({"source": "x"}).run(export)
    options = {"source": "x", "mode": "static", "calibration": calibration, "samples": 12}
    STAGES.get("quantize_onnx").model_validate(options).run(job("int8", artifact(export.out, "onnx")))
    assert held == [{(1, 8)}, {(1, 4)}]


def test_a_stage_without_memory_says_what_to_lower(encoder: Path, job: Callable[..., Job]) -> None:
    stage = STAGES.get("quantize_onnx").model_validate({"source": "x", "samples": 16})
    work = job("int8", artifact(encoder, "onnx"))
    for error in (MemoryError(), RuntimeError("BFCArena: Failed to allocate memory for requested buffer of size 9")):
        with pytest.MonkeyPatch.context() as patch, pytest.raises(EdgekdError) as caught:
            patch.setattr(type(stage), "run", _raising(error))
            stage.made(work)
        assert str(caught.value).startswith(f"quantize_onnx ran out of memory ({str(error) or 'MemoryError'})")
        assert f"Lower samples (16), the data's max_length ({work.data.options.max_length})" in str(caught.value)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(ValueError, match="another"):
        patch.setattr(type(stage), "run", _raising(ValueError("another")))
        stage.made(work)


def _raising(error: Exception) -> Callable[..., Any]:
    def run(*_: object) -> None:
        raise error

    return run


def test_embeddings_with_a_scale_a_row_are_nearer(encoder: Path, tmp_path: Path) -> None:
    from onnx import TensorProto, helper, numpy_helper

    from edgekd.onnx_graph import quantize_embeddings

    table = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    table[0] *= 100  # one large row
    table[1] = 0
    ids, out = (
        helper.make_tensor_value_info("ids", TensorProto.INT64, ["n"]),
        helper.make_tensor_value_info("out", TensorProto.FLOAT, ["n", 4]),
    )
    node = helper.make_node("Gather", ["table", "ids"], ["out"])
    graph = helper.make_graph([node], "g", [ids], [out], [numpy_helper.from_array(table, "table")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    errors = {}
    import onnxruntime

    for per_row in (True, False):
        file = tmp_path / f"{per_row}.onnx"
        onnx.save(model, str(file))
        quantize_embeddings(file, per_row)
        session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
        (found,) = session.run(None, {"ids": np.arange(6)})
        errors[per_row] = np.abs(found - table).max(axis=1)
    limits = np.abs(table).max(axis=1) / 254
    assert (errors[True] <= limits * 1.001).all()
    assert errors[False][2:].min() > errors[True][2:].max()


def distill(**options: Any) -> Any:
    return STAGES.get("distill").model_validate({"teacher": "t", "model": {"layers": 2, "from": "t"}, **options})


def test_a_student_with_another_vocabulary_is_refused(encoder: Path, job: Callable[..., Job], tmp_path: Path) -> None:
    other = build_encoder(tmp_path / "other")
    (other / TOKENIZER).write_text((other / TOKENIZER).read_text().replace('"horse"', '"zebra"'))
    teacher = artifact(encoder, "torch")
    with pytest.raises(EdgekdError, match="different vocabularies"):
        distill(model=str(other)).run(job("student", teacher, t=teacher))


def test_more_layers_than_the_teacher_has(encoder: Path, job: Callable[..., Job]) -> None:
    teacher = artifact(encoder, "torch")
    with pytest.raises(EdgekdError, match="cannot take these layers of 4"):
        distill(model={"layers": 9, "from": "t"}).run(job("student", teacher, t=teacher))


def test_phases_are_the_methods_with_what_is_set(job: Callable[..., Job]) -> None:
    data = job("x", None).data.options
    first, second = distill().schedule(data)
    assert (first.name, second.name) == ("intermediate", "prediction")
    assert first.schedule == "constant" and first.terms.attention == 1 and second.terms.soft == 1
    set_ = distill(phases={"intermediate": {"epochs": 3, "terms": {"attention": 2}, "mapping": [2, 4]}}).schedule(data)
    assert (set_[0].epochs, set_[0].terms.attention, set_[0].terms.hidden, set_[0].mapping) == (3, 2, 1, (2, 4))
    assert set_[1] == second
    assert [phase.epochs for phase in distill(epochs=1).schedule(data)] == [1, 1]
    with pytest.raises(EdgekdError, match="method tinybert has no phase 'intermediat'") as caught:
        distill(phases={"intermediat": {}}).schedule(data)
    assert "Did you mean 'intermediate'?" in caught.value.hint
    with pytest.raises(EdgekdError, match="unknown method 'tinybrt'"):
        distill(method="tinybrt").schedule(data)


def test_no_runtime_for_a_format() -> None:
    with pytest.raises(EdgekdError, match="no runtime reads artifacts of format 'stone'"):
        serving("stone")
    with pytest.raises(EdgekdError, match="has no device 'npu'"):
        OnnxRuntime().compile(Path(), EngineDevice("npu"))
