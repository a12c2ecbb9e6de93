"""OpenVINO: serves model.xml and model.bin, on processors, GPUs and NPUs."""

import os
import threading
from collections import Counter
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekd.errors import EdgekdError
from edgekd.processes import KERNELS, SERVING_KERNELS
from edgekd.runtime import INPUTS, EngineDevice, Executable, Runtime, summary

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from edgekd.runtime import Arrays, Shape

_ONE_AT_A_TIME = threading.Lock()
_PRODUCTS = ("FullyConnected", "MatMul", "ScaledDotProductAttention")
_NAMES = {"f32": "fp32", "f16": "fp16", "i8": "int8", "u8": "int8", "i4": "int4", "u4": "int4"}


class OpenVino(Runtime):
    reads = frozenset({"openvino"})
    libraries = ("openvino",)
    devices = {"cpu": "CPU", "gpu": "GPU", "npu": "NPU"}  # noqa: RUF012
    precisions = {"fp32": "f32", "fp16": "f16", "bf16": "bf16"}  # noqa: RUF012
    settings = {"floats": ("fp32", "bf16"), "pinning": ("on", "off")}  # noqa: RUF012

    def compile(
        self, artifact: Path, device: EngineDevice, shape: "Shape | None" = None, precision: str = "fp32"
    ) -> Executable:
        core = _core()
        place, chosen = self.device(device), self.chosen(device)
        if place not in core.available_devices:
            raise EdgekdError(
                f"OpenVINO has no {place} here", f"It has {', '.join(core.available_devices)}: name one of these."
            )
        # Always told: left alone it takes bf16 or f16 where the processor has them, and INT8 models gave NaN so.
        floats = self.hint(chosen["floats"] if precision == "fp32" else precision)
        settings: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": floats}
        if chosen["pinning"] == "off":
            settings["ENABLE_CPU_PINNING"] = False
        if device.threads:
            settings["INFERENCE_NUM_THREADS"] = device.threads
        try:
            model = core.read_model(str(artifact / "model.xml"))
            if shape is not None:
                model.reshape({entry.any_name: [*shape, *list(entry.partial_shape)[2:]] for entry in model.inputs})
            again = partial(core.compile_model, model, place, {**settings, "PERF_COUNT": True})
            return _Compiled(core.compile_model(model, place, settings), again)
        except RuntimeError as error:
            raise self.refused(artifact, error) from None


def _core() -> Any:
    with _ONE_AT_A_TIME:  # else two threads make two
        return _made()


@cache
def _made() -> Any:
    """One for the process, for good. Each that loads the processor's plug-in gives its thread a stack for signals, and
    at its end puts back the one before: of two that end in their order, the second puts back what the first has freed,
    and the next signal that Python handles, an interrupt too, ends the process (2026.4, status -11).

    oneDNN beneath it keeps kernels for the process, 1,024 of them, also those of models that are closed. A model keeps
    its own, so few are as fast: after two models were closed 66 MB are left instead of 117.
    """
    os.environ.setdefault(KERNELS, SERVING_KERNELS)  # read once, at the first kernel
    import openvino

    return openvino.Core()


class _Compiled(Executable):
    def __init__(self, compiled: Any, again: "Callable[[], Any]") -> None:
        self._compiled, self._request, self._again = compiled, compiled.create_infer_request(), again
        self._inputs = [entry.any_name for entry in compiled.inputs]
        if not compiled.outputs:
            raise RuntimeError("it has no output")
        if unknown := [name for name in self._inputs if name not in INPUTS]:
            raise RuntimeError(f"it asks for '{unknown[0]}', and is given {', '.join(INPUTS)}")

    def infer(self, inputs: "Arrays") -> "dict[str, NDArray[Any]]":
        found = self._request.infer({name: inputs[name] for name in self._inputs}, share_inputs=True)
        return {"logits": found[0]}

    def precision(self, inputs: "Arrays") -> str:
        """By the graph that really runs, which names each operator's kernel type and its precision."""
        counts: Counter[str] = Counter()
        for operator in self._compiled.get_runtime_model().get_ops():
            facts = operator.get_rt_info()
            if str(facts["layerType"].value if "layerType" in facts else "") in _PRODUCTS:
                kind = str(facts["runtimePrecision"].value)
                # Of a product with packed weights it names their type, whatever the activations are in.
                packed = kind[1:] in ("4", "8") and operator.get_input_element_type(0).is_real()
                counts[_NAMES.get(kind, kind) + (" weights" if packed else "")] += 1
        return summary(counts)

    def profile(self, rows: "Sequence[Arrays]") -> dict[str, float]:
        request = self._again().create_infer_request()
        spent: Counter[str] = Counter()
        for number, row in enumerate([*rows, *rows]):
            request.infer({name: row[name] for name in self._inputs})
            if number < len(rows):
                continue  # it compiles a kernel for each new length: the first time is not what serving costs
            for node in request.profiling_info:
                spent[node.node_type] += node.real_time.total_seconds()
        return {name: seconds / len(rows) for name, seconds in spent.most_common() if seconds}

    def release(self) -> None:
        self._request = self._compiled = None
