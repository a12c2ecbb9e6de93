"""What other tools make of the same student, each by its own documentation, and how it then answers.

A peer is a function of the student's folder, a folder for its files, token rows to calibrate on, and threads (0: all).
It gives a callable: input_ids, attention_mask and token_type_ids, int64 (rows, length) -> logits (rows, labels).
Those of FIXED take one row of the lengths that they are asked for, which come as a fifth argument: their files have a
graph for each, as LiteRT's documentation has it, or OpenVINO's model is reshaped to each.
"""

import os
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Rows = dict[str, NDArray[np.int64]]
Answer = Callable[[Rows], NDArray[Any]]
NAMES = ("input_ids", "attention_mask", "token_type_ids")

# Runs in another environment: optimum's exporter and quantizer, by the example of its guide on quantization.
_OPTIMUM = """
import sys
from optimum.exporters.onnx import main_export
from optimum.onnxruntime import ORTQuantizer
from optimum.onnxruntime.configuration import AutoQuantizationConfig
student, out = sys.argv[1:]
main_export(student, out, task="text-classification")
config = AutoQuantizationConfig.avx512_vnni(is_static=False, per_channel=True)
ORTQuantizer.from_pretrained(out).quantize(save_dir=out, quantization_config=config)
"""
# Olive's workflow for BERT: conversion, transformer optimization, quantization.
_OLIVE = """
import sys
from olive import run
student, out = sys.argv[1:]
run({
    "input_model": {"type": "HfModel", "model_path": student, "task": "text-classification"},
    "passes": {
        "convert": {"type": "OnnxConversion", "target_opset": 18},
        "optimize": {"type": "OrtTransformersOptimization", "model_type": "bert"},
        "quantize": {"type": "OnnxDynamicQuantization", "per_channel": True},
    },
    "output_dir": out,
})
"""


def torch_fp32(student: Path, out: Path, rows: Sequence[Rows], threads: int) -> Answer:
    return _torch(_model(student), threads)


def torch_compile(student: Path, out: Path, rows: Sequence[Rows], threads: int) -> Answer:
    import torch

    return _torch(torch.compile(_model(student), dynamic=True), threads)


def torchao_int8(student: Path, out: Path, rows: Sequence[Rows], threads: int) -> Answer:
    import torch
    from torchao.quantization import Int8DynamicActivationInt8WeightConfig, quantize_

    model = _model(student)
    quantize_(model, Int8DynamicActivationInt8WeightConfig())
    return _torch(torch.compile(model, dynamic=True), threads)


def ort_fp32(student: Path, out: Path, rows: Sequence[Rows], threads: int) -> Answer:
    return _session(_onnx(student, out), threads)


def ort_fp32_optimized(student: Path, out: Path, rows: Sequence[Rows], threads: int) -> Answer:
    return _session(_optimized(student, out), threads)


def ort_int8_dynamic(student: Path, out: Path, rows: Sequence[Rows], threads: int) -> Answer:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(_onnx(student, out), out / "dynamic.onnx", weight_type=QuantType.QInt8, per_channel=True)
    return _session(out / "dynamic.onnx", threads)


def ort_int8_dynamic_optimized(student: Path, out: Path, rows: Sequence[Rows], threads: int) -> Answer:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(_optimized(student, out), out / "optimized_dynamic.onnx", weight_type=QuantType.QInt8)
    return _session(out / "optimized_dynamic.onnx", threads)


def ort_int8_static(student: Path, out: Path, rows: Sequence[Rows], threads: int) -> Answer:
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    quant_pre_process(_onnx(student, out), out / "prepared.onnx", skip_symbolic_shape=True)
    names = [entry.name for entry in _open(out / "prepared.onnx", 1).get_inputs()]
    quantize_static(
        out / "prepared.onnx",
        out / "static.onnx",
        _Calibration([{name: row[name] for name in names} for row in rows]),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
    return _session(out / "static.onnx", threads)


def optimum_int8(student: Path, out: Path, rows: Sequence[Rows], threads: int) -> Answer:
    return _session(_elsewhere("EDGEKD_OPTIMUM", _OPTIMUM, student, out, "*quantized.onnx"), threads)


def olive_int8(student: Path, out: Path, rows: Sequence[Rows], threads: int) -> Answer:
    return _session(_elsewhere("EDGEKD_OLIVE", _OLIVE, student, out, "**/*.onnx"), threads)


def openvino_fp32(student: Path, out: Path, rows: Sequence[Rows], threads: int) -> Answer:
    return _request(_openvino(student), threads)


def openvino_int8(student: Path, out: Path, rows: Sequence[Rows], threads: int) -> Answer:
    return _request(_nncf(student, rows), threads)


def executorch_int8(student: Path, out: Path, rows: Sequence[Rows], threads: int) -> Answer:
    """PT2E with XNNPACK's quantizer, by channel and dynamic, as ExecuTorch's page on XNNPACK has it."""
    import torch
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
        XNNPACKQuantizer,
        get_symmetric_quantization_config,
    )
    from executorch.exir import to_edge_transform_and_lower
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    example = tuple(torch.from_numpy(rows[0][name]) for name in NAMES)
    shapes = tuple({1: torch.export.Dim("length", min=2, max=128)} for _ in NAMES)
    model = _Logits(_model(student))
    exported = torch.export.export(model, example, dynamic_shapes=shapes).module()
    config = get_symmetric_quantization_config(is_per_channel=True, is_dynamic=True)
    quantizer = XNNPACKQuantizer().set_module_type(
        torch.nn.Linear, config
    )  # for the whole graph it takes ids for floats
    prepared = prepare_pt2e(exported, quantizer)
    prepared(*example)
    program = torch.export.export(convert_pt2e(prepared), example, dynamic_shapes=shapes)
    made = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()]).to_executorch()
    (out / "model.pte").write_bytes(made.buffer)
    return _program(out / "model.pte", threads)


def executorch_int8_torchao(student: Path, out: Path, rows: Sequence[Rows], threads: int) -> Answer:
    """torchao's 8da8w before the export, as ExecuTorch's page on quantization has it."""
    import torch
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower
    from torchao.quantization import Int8DynamicActivationIntxWeightConfig, quantize_
    from torchao.quantization.granularity import PerAxis

    model = _Logits(_model(student))
    quantize_(model, Int8DynamicActivationIntxWeightConfig(weight_dtype=torch.int8, weight_granularity=PerAxis(0)))
    example = tuple(torch.from_numpy(rows[0][name]) for name in NAMES)
    shapes = tuple({1: torch.export.Dim("length", min=2, max=128)} for _ in NAMES)
    program = torch.export.export(model, example, dynamic_shapes=shapes, strict=False)
    made = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()]).to_executorch()
    (out / "torchao.pte").write_bytes(made.buffer)
    return _program(out / "torchao.pte", threads)


def litert_fp32(student: Path, out: Path, rows: Sequence[Rows], threads: int, lengths: Sequence[int]) -> Answer:
    return _graphs(_litert(student, out, lengths), threads)


def litert_int8(student: Path, out: Path, rows: Sequence[Rows], threads: int, lengths: Sequence[int]) -> Answer:
    from ai_edge_quantizer import quantizer, recipe

    made = quantizer.Quantizer(str(_litert(student, out, lengths)), recipe.dynamic_wi8_afp32()).quantize()
    file = out / f"int8_{len(lengths)}.tflite"
    file.write_bytes(bytes(made.quantized_model))
    return _graphs(file, threads)


def openvino_int8_fixed(student: Path, out: Path, rows: Sequence[Rows], threads: int, lengths: Sequence[int]) -> Answer:
    model = _nncf(student, rows)
    kept = {}
    for length in lengths:
        own = model.clone()
        own.reshape({entry: [1, length] for entry in own.inputs})
        kept[length] = _request(own, threads)
    return lambda row: kept[next(n for n in sorted(kept) if n >= row[NAMES[0]].shape[1])](_filled(row, sorted(kept)))


PEERS: dict[str, Callable[..., Answer]] = {
    made.__name__: made
    for made in (
        torch_fp32,
        torch_compile,
        torchao_int8,
        ort_fp32,
        ort_fp32_optimized,
        ort_int8_dynamic,
        ort_int8_dynamic_optimized,
        ort_int8_static,
        optimum_int8,
        olive_int8,
        openvino_fp32,
        openvino_int8,
        executorch_int8,
        executorch_int8_torchao,
    )
}
FIXED: dict[str, Callable[..., Answer]] = {
    made.__name__: made for made in (litert_fp32, litert_int8, openvino_int8_fixed)
}


def _model(student: Path) -> Any:
    import transformers

    return transformers.AutoModelForSequenceClassification.from_pretrained(student).eval()


def _Logits(model: Any) -> Any:  # noqa: N802  a module's class, made where torch is there
    import torch

    class Logits(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any) -> Any:
            return self.model(input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids).logits

    return Logits().eval()


def _torch(model: Any, threads: int) -> Answer:
    import torch

    def answer(row: Rows) -> NDArray[Any]:
        if torch.get_num_threads() != (threads or os.cpu_count()):
            torch.set_num_threads(threads or os.cpu_count() or 1)
        with torch.inference_mode():
            found: NDArray[Any] = model(**{name: torch.from_numpy(row[name]) for name in NAMES}).logits.numpy()
        return found

    return answer


def _onnx(student: Path, out: Path) -> Path:
    import torch

    file = out / "fp32.onnx"
    if not file.is_file():
        example = tuple(torch.ones((2, 9), dtype=torch.int64) for _ in NAMES)
        shapes = tuple({0: torch.export.Dim("batch"), 1: torch.export.Dim("length")} for _ in NAMES)
        torch.onnx.export(
            _Logits(_model(student)),
            example,
            file,
            dynamo=True,
            input_names=list(NAMES),
            output_names=["logits"],
            dynamic_shapes=shapes,
            opset_version=18,
            external_data=False,
            verbose=False,
        )
    return file


def _optimized(student: Path, out: Path) -> Path:
    from onnxruntime.transformers.fusion_options import FusionOptions
    from onnxruntime.transformers.optimizer import optimize_model

    file = out / "optimized.onnx"
    if not file.is_file():
        config = _model(student).config
        optimize_model(
            str(_onnx(student, out)),
            model_type="bert",
            num_heads=config.num_attention_heads,
            hidden_size=config.hidden_size,
            optimization_options=FusionOptions("bert"),
        ).save_model_to_file(str(file))
    return file


def _open(file: Path, threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


def _session(file: Path, threads: int) -> Answer:
    session = _open(file, threads)
    names = [entry.name for entry in session.get_inputs()]
    return lambda row: session.run(None, {name: row[name] for name in names})[0]


class _Calibration:
    def __init__(self, rows: Sequence[Rows]) -> None:
        self._rows = iter(rows)

    def get_next(self) -> Rows | None:
        return next(self._rows, None)


def _elsewhere(variable: str, script: str, student: Path, out: Path, made: str) -> Path:
    """A file that a script makes in the environment whose Python a variable names. Raises LookupError without one."""
    if not (python := os.environ.get(variable)):
        raise LookupError(f"{variable} names no Python")
    folder = out / variable.lower()
    folder.mkdir(exist_ok=True)
    given = [python, "-c", script, str(student.resolve()), str(folder.resolve())]
    subprocess.run(given, check=True, capture_output=True, cwd=folder)  # what a tool caches stays with its files
    return max(folder.glob(made), key=lambda file: file.stat().st_mtime)


def _openvino(student: Path) -> Any:
    import openvino
    import torch

    example = {name: torch.ones((1, 9), dtype=torch.int64) for name in NAMES}
    return openvino.convert_model(_Logits(_model(student)), example_input=example)


def _nncf(student: Path, rows: Sequence[Rows]) -> Any:
    import nncf

    dataset = nncf.Dataset([{name: row[name] for name in NAMES} for row in rows])
    return nncf.quantize(_openvino(student), dataset, model_type=nncf.ModelType.TRANSFORMER, subset_size=len(rows))


def _request(model: Any, threads: int) -> Answer:
    import openvino

    settings: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    if threads:
        settings["INFERENCE_NUM_THREADS"] = threads
    request = openvino.compile_model(model, "CPU", settings).create_infer_request()
    return lambda row: request.infer([row[name] for name in NAMES], share_inputs=True)[0]


def _program(file: Path, threads: int) -> Answer:
    import executorch.kernels.quantized  # noqa: F401
    import torch
    from executorch.extension.pybindings.portable_lib import _unsafe_reset_threadpool
    from executorch.runtime import Runtime

    _unsafe_reset_threadpool(threads or os.cpu_count() or 1)
    method = Runtime.get().load_program(file).load_method("forward")
    return lambda row: method.execute([torch.from_numpy(row[name]) for name in NAMES])[0].numpy()


def _litert(student: Path, out: Path, lengths: Sequence[int]) -> Path:
    import litert_torch
    import torch

    file = out / f"fp32_{'_'.join(map(str, lengths))}.tflite"
    if not file.is_file():
        converter, model = litert_torch.Converter(), _Logits(_model(student))
        for length in lengths:
            example = {name: torch.ones((1, length), dtype=torch.int32) for name in NAMES}
            converter.add_signature(f"length_{length}", model, sample_kwargs=example)
        converter.convert().export(str(file))
    return file


def _graphs(file: Path, threads: int) -> Answer:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(file), num_threads=threads or os.cpu_count())
    runners = {int(name[7:]): interpreter.get_signature_runner(name) for name in interpreter.get_signature_list()}
    known = sorted(runners)

    def answer(row: Rows) -> NDArray[Any]:
        filled = _filled(row, known)
        found = runners[filled[NAMES[0]].shape[1]](**{name: filled[name].astype(np.int32) for name in NAMES})
        logits: NDArray[Any] = next(iter(found.values()))
        return logits

    return answer


def _filled(row: Rows, lengths: Sequence[int]) -> Rows:
    """One row filled up to the shortest of the lengths that holds it."""
    count = row[NAMES[0]].shape[1]
    length = next(known for known in lengths if known >= count)
    if length == count:
        return row
    found = {name: np.zeros((1, length), np.int64) for name in NAMES}
    for name in NAMES:
        found[name][:, :count] = row[name]
    return found
