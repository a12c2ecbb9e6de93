"""TFLite: serves model.tflite by LiteRT (ai-edge-litert), or by tflite-runtime where that is what a board has."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekd.errors import EdgekdError
from edgekd.runtime import EngineDevice, Executable, Runtime, summary, together

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgekd.runtime import Arrays, Shape

_PRODUCTS = ("FULLY_CONNECTED", "BATCH_MATMUL")


class TfLite(Runtime):
    reads = frozenset({"tflite"})
    libraries = ("ai-edge-litert|tflite-runtime",)

    def compile(
        self, artifact: Path, device: EngineDevice, shape: "Shape | None" = None, precision: str = "fp32"
    ) -> Executable:
        import os

        self.device(device)
        self.hint(precision)
        try:
            interpreter = _interpreter()(str(artifact / "model.tflite"), num_threads=device.threads or os.cpu_count())
            return _Interpreter(interpreter, shape)
        except (ValueError, RuntimeError) as error:
            raise self.refused(artifact, error) from None


def _interpreter() -> Any:
    """The class Interpreter of the runtime that is there, the newer one first."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        try:
            from tflite_runtime.interpreter import Interpreter
        except ImportError:
            raise EdgekdError("no TFLite runtime is installed", "Type: pip install ai-edge-litert") from None
    return Interpreter


class _Interpreter(Executable):
    """One file with a signature for each length: a row takes the shortest that holds it, filled up and masked."""

    def __init__(self, interpreter: Any, shape: "Shape | None") -> None:
        self._interpreter = interpreter
        self._runners: dict[int, Any] = {}
        names = interpreter.get_signature_list()
        for name in names:
            runner = interpreter.get_signature_runner(name)
            self._inputs = sorted(runner.get_input_details())
            length = int(runner.get_input_details()["input_ids"]["shape"][1])
            if shape is None or shape[1] == length:
                self._runners[length] = runner
        if not self._runners:
            raise EdgekdError(
                f"the file has no graph for length {shape[1] if shape else 0}", f"Its graphs: {', '.join(names)}."
            )

    def infer(self, inputs: "Arrays") -> "dict[str, NDArray[Any]]":
        import numpy as np

        found = []
        for row in range(len(inputs["input_ids"])):
            tokens = int(np.count_nonzero(inputs["attention_mask"][row]))
            length = min((known for known in self._runners if known >= tokens), default=0)
            if not length:
                raise EdgekdError(
                    f"a row of {tokens} tokens, the longest graph takes {max(self._runners)}",
                    "Export it with a longer length.",
                )
            filled = {name: _filled(inputs[name][row : row + 1, :tokens], length) for name in self._inputs}
            logits = next(iter(self._runners[length](**filled).values()))
            found.append(logits if logits.ndim == 2 else logits[:, :tokens])
        return {"logits": together(found, inputs["input_ids"].shape[1])}

    def precision(self, inputs: "Arrays") -> str:
        """By the types of what the file's matrix products are given; its kernels take them as they are."""
        import numpy as np

        types = {tensor["index"]: tensor["dtype"] for tensor in self._interpreter.get_tensor_details()}
        counts: Counter[str] = Counter()
        for operator in self._interpreter._get_ops_details():
            if operator["op_name"] in _PRODUCTS:
                activations, weights = (types.get(index) for index in operator["inputs"][:2])
                if weights == np.int8:
                    counts["int8" if activations == np.int8 else "int8 weights"] += 1
                else:
                    counts["fp32"] += 1
        return summary(counts)

    def release(self) -> None:
        self._runners.clear()
        self._interpreter = None


def _filled(values: "NDArray[Any]", length: int) -> "NDArray[Any]":
    """A row filled up to a graph's length: int32 (1, length), and what is no whole number as it is."""
    import numpy as np

    room = ((0, 0), (0, length - values.shape[1]), *((0, 0),) * (values.ndim - 2))
    return np.pad(values.astype(np.int32) if values.dtype.kind == "i" else values, room)
