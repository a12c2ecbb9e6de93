"""TFLite files: which layers have weights, the operators that read them in each of the graphs, and what those share."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_NAME = 64  # bytes of a tensor's name that are kept
_FLOAT = 0  # of the format's TensorType


def layers(file: Path, weights: Path) -> dict[str, list[str]]:
    """Fully connected layers and embedding tables of a float file: name -> the scopes of their operators.

    Graphs share their weights, and operators that read the same weights are one layer. The converter names an operator
    after all that it merged into it, which is not unique; a layer has the name of the module in `weights`, the
    safetensors file that it was made from, whose matrix it holds.
    """
    import numpy as np
    from ai_edge_quantizer import qtyping
    from ai_edge_quantizer.utils import tfl_flatbuffer_utils
    from safetensors.numpy import load_file

    wanted = (qtyping.TFLOperationName.FULLY_CONNECTED, qtyping.TFLOperationName.EMBEDDING_LOOKUP)
    modules = {name.removesuffix(".weight"): matrix for name, matrix in load_file(weights).items() if matrix.ndim == 2}
    model = tfl_flatbuffer_utils.read_model(str(file))
    names: dict[int, str] = {}  # by the buffer of the weights
    found: dict[str, list[str]] = {}
    for graph in model.subgraphs:
        for operator in graph.operators:
            kind = tfl_flatbuffer_utils.TFL_OP_CODE_TO_NAME.get(model.operatorCodes[operator.opcodeIndex].builtinCode)
            tensor = graph.tensors[operator.inputs[1]] if kind in wanted else None
            if tensor is None or tensor.type != _FLOAT or model.buffers[tensor.buffer].data is None:
                continue
            scope = tfl_flatbuffer_utils.get_op_scope(operator, graph.tensors)
            if tensor.buffer not in names:
                matrix = model.buffers[tensor.buffer].data.view(np.float32).reshape(tensor.shape)
                names[tensor.buffer] = next((name for name, own in modules.items() if _same(matrix, own)), scope)
            found.setdefault(names[tensor.buffer], []).append(scope)
    return found


def _same(matrix: "NDArray[np.float32]", other: "NDArray[np.float32]") -> bool:
    """Whether two are one up to a factor a column: the converter folds the gain of a norm into the layer after it."""
    import numpy as np

    if matrix.shape != other.shape:
        return False
    gain = (matrix * other).sum(axis=0) / np.maximum((other * other).sum(axis=0), 1e-30)
    return bool(np.allclose(matrix, other * gain, rtol=1e-3, atol=1e-6))


def compact(model: bytes) -> bytes:
    """The same quantized file, smaller: its graphs share the scales of their weights, as they share the weights, and a
    tensor's name is what is left of it without the modules that it stands in.

    The quantizer writes both anew for each graph: 640 KB for each of a BERT with 30,522 tokens.
    """
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.tools import flatbuffer_utils

    class Shared(schema.QuantizationParametersT):  # type: ignore[misc]
        """Written once, however many tensors have it."""

        place = 0

        def Pack(self, builder: Any) -> int:  # noqa: N802  the library's
            self.place = self.place or super().Pack(builder)
            return self.place

    class Aligned(schema.BufferT):  # type: ignore[misc]
        """Begins where the format has it begin, at a multiple of 16 bytes, which its Python writer forgets."""

        def Pack(self, builder: Any) -> int:  # noqa: N802
            if self.data is not None:
                builder.Prep(16, len(self.data))
            return int(super().Pack(builder))

    found = flatbuffer_utils.read_model_from_bytearray(bytearray(model))
    shared: dict[tuple[Any, ...], Shared] = {}
    for graph in found.subgraphs:
        for tensor in graph.tensors:
            tensor.name = tensor.name.rpartition(b"/")[2][-_NAME:]
            own = tensor.quantization
            if own is not None and own.scale is not None and own.details is None:
                parts = (own.scale, own.zeroPoint, own.min, own.max)
                key = tuple(None if part is None else part.tobytes() for part in parts)
                tensor.quantization = shared.setdefault((*key, own.quantizedDimension), Shared(**vars(own)))
    found.buffers = [Aligned(**vars(buffer)) for buffer in found.buffers]
    return bytes(flatbuffer_utils.convert_object_to_bytearray(found))
