"""ONNX Runtime on the processor: serves model.onnx."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekd.runtime import EngineDevice, Executable, Runtime, expect_cpu

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgekd.runtime import Arrays


class OnnxRuntime(Runtime):
    reads = frozenset({"onnx"})
    libraries = ("onnxruntime",)

    def compile(self, artifact: Path, device: EngineDevice) -> Executable:
        import onnxruntime

        expect_cpu(device, "ONNX Runtime")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = device.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(
            str(artifact / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )
        return _Session(session)


class _Session(Executable):
    precision = "as the graph says"

    def __init__(self, session: Any) -> None:
        self._session = session
        self._inputs = [entry.name for entry in session.get_inputs()]

    def run(self, inputs: "Arrays") -> "dict[str, NDArray[Any]]":
        (logits,) = self._session.run(["logits"], {name: inputs[name] for name in self._inputs})
        return {"logits": logits}

    def close(self) -> None:
        self._session = None
