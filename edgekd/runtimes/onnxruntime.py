"""ONNX Runtime: serves model.onnx, on the processor or on CUDA."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekd import temporary
from edgekd.errors import EdgekdError
from edgekd.runtime import INPUTS, EngineDevice, Executable, Runtime, summary

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from edgekd.runtime import Arrays, Shape

# Operators that are a matrix product with weights, after the runtime's own fusions.
_PRODUCTS = ("MatMul", "Gemm", "Conv", "Attention")
# Rewrites of its own that it is better off without: SkipLayerNormalization took 49 microseconds where the two operators
# that it stands for took 12 (1.32, x86-64; benchmarks/LOG.md).
_SLOWER = ["SkipLayerNormFusion"]
_EIGHT_BITS = ("int8", "uint8")


class OnnxRuntime(Runtime):
    reads = frozenset({"onnx"})
    libraries = ("onnxruntime",)
    devices = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}  # noqa: RUF012
    settings = {"spinning": ("on", "off"), "arena": ("on", "off"), "skip_layer_norm": ("apart", "fused")}  # noqa: RUF012

    def compile(
        self, artifact: Path, device: EngineDevice, shape: "Shape | None" = None, precision: str = "fp32"
    ) -> Executable:
        import onnxruntime

        self.hint(precision)
        provider, chosen = self.device(device), self.chosen(device)
        if provider not in onnxruntime.get_available_providers():
            raise EdgekdError(f"this ONNX Runtime has no {provider}", "Install the build for it, or use device cpu.")

        slower = _SLOWER if chosen["skip_layer_norm"] == "apart" else []

        def session(folder: str = "") -> Any:
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = device.threads
            options.inter_op_num_threads = 1
            options.log_severity_level = 3
            options.enable_cpu_mem_arena = chosen["arena"] == "on"
            options.add_session_config_entry("session.intra_op.allow_spinning", str(int(chosen["spinning"] == "on")))
            for name, size in zip(("batch", "length"), shape or (), strict=False):
                options.add_free_dimension_override_by_name(name, size)
            if folder:
                options.enable_profiling, options.profile_file_prefix = True, f"{folder}/profile"
            return onnxruntime.InferenceSession(
                str(artifact / "model.onnx"), options, providers=[provider], disabled_optimizers=slower
            )

        try:
            return _Session(session(), session)
        except Exception as error:  # its errors share no base class
            raise self.refused(artifact, error) from None


class _Session(Executable):
    def __init__(self, session: Any, again: Any) -> None:
        self._session, self._again = session, again
        self._inputs = [entry.name for entry in session.get_inputs()]
        if unknown := [name for name in self._inputs if name not in INPUTS]:
            raise ValueError(f"it asks for '{unknown[0]}', and is given {', '.join(INPUTS)}")
        if "logits" not in (entry.name for entry in session.get_outputs()):
            raise ValueError("it has no output 'logits'")

    def infer(self, inputs: "Arrays") -> "dict[str, NDArray[Any]]":
        (logits,) = self._session.run(["logits"], {name: inputs[name] for name in self._inputs})
        return {"logits": logits}

    def precision(self, inputs: "Arrays") -> str:
        """By a profile of one inference: the types that each product's kernel was given."""
        return summary(Counter(kind for event in self._events([inputs]) if (kind := _kind(event))))

    def profile(self, rows: "Sequence[Arrays]") -> dict[str, float]:
        spent: Counter[str] = Counter()
        for event in self._events(rows):
            if event.get("name", "").endswith("_kernel_time"):
                spent[event["args"]["op_name"]] += event["dur"]
        return {name: microseconds / 1e6 / len(rows) for name, microseconds in spent.most_common()}

    def _events(self, rows: "Sequence[Arrays]") -> list[dict[str, Any]]:
        """What a session of its own, with profiling on, tells of these rows."""
        with temporary.folder() as folder:
            session = self._again(folder)
            for row in rows:
                session.run(None, {name: row[name] for name in self._inputs})
            events: list[dict[str, Any]] = json.loads(Path(session.end_profiling()).read_text())
        return events

    def release(self) -> None:
        self._session = self._again = None


def _kind(event: dict[str, Any]) -> str:
    """int8, fp32 or the weights' bits where a profile's event is a matrix product that ran, else nothing."""
    facts = event.get("args", {})
    operator, name = facts.get("op_name", ""), event.get("name", "")
    if not name.endswith("_kernel_time") or not any(product in operator for product in _PRODUCTS):
        return ""
    if operator == "MatMulNBits":
        # Weights are packed before it runs and are not among its inputs; ONNX Runtime's quantizer names nodes so.
        bits = re.search(r"_Q(\d)_kernel_time$", name)
        return f"int{bits[1]} weights" if bits else "weights in blocks of few bits"
    types = {name for entry in facts.get("input_type_shape", []) for name in entry}
    return "int8" if types & set(_EIGHT_BITS) else "fp32"
