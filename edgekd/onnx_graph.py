"""ONNX files: what in them can be quantized, their embedding tables in 8 bits, and what they hold."""

from pathlib import Path
from typing import Any

PRODUCTS = ["MatMul", "Gemm"]
_FLOAT = 1  # of onnx.TensorProto


def layers(file: Path, tables: bool) -> list[str]:
    """What can be quantized in an ONNX file, by name: products with weights and, with `tables`, embedding tables."""
    import onnx

    graph = onnx.load(str(file)).graph
    weights = {tensor.name for tensor in graph.initializer}
    found = [node.name for node in graph.node if node.op_type in PRODUCTS and node.input[1] in weights]
    return found + (list(dict.fromkeys(readers(graph).values())) if tables else [])


def readers(graph: Any) -> dict[str, str]:
    """The nodes that read rows of an embedding table of floats, with the table's name."""
    tables = {entry.name for entry in graph.initializer if len(entry.dims) == 2 and entry.data_type == _FLOAT}
    return {node.name: node.input[0] for node in graph.node if node.op_type == "Gather" and node.input[0] in tables}


def quantize_embeddings(file: Path, per_row: bool, floats: frozenset[str] = frozenset()) -> None:
    """Store the embedding tables of an ONNX file as INT8, symmetric, with one scale a row (or one in all), in place.

    ONNX Runtime's quantizer knows one scale a table only, and a few large rows then cost all others their precision.
    Gather(table) becomes Cast(Gather(int8 table)) * Gather(scales): only the rows that a sentence uses are converted.
    """
    import numpy as np
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.load(str(file))
    graph = model.graph
    tables = {
        tensor.name: tensor for tensor in graph.initializer if tensor.data_type == _FLOAT and tensor.name not in floats
    }
    nodes = []
    for node in graph.node:
        table = tables.get(node.input[0]) if node.op_type == "Gather" else None
        if table is None or len(table.dims) != 2 or any(a.name == "axis" and a.i != 0 for a in node.attribute):
            nodes.append(node)
            continue
        int8, scales, rows = f"{table.name}_int8", f"{table.name}_scales", node.input[1]
        if table in graph.initializer:
            values = numpy_helper.to_array(table)
            largest = np.abs(values).max(axis=1 if per_row else None, keepdims=True)
            step = np.broadcast_to(np.where(largest > 0, largest, 1) / 127, (len(values), 1)).astype(np.float32)
            whole = np.round(values / step).astype(np.int8)
            graph.initializer.extend(
                [numpy_helper.from_array(whole, int8), numpy_helper.from_array(step.copy(), scales)]
            )
            graph.initializer.remove(table)
        out = node.output[0]
        nodes += [
            helper.make_node("Gather", [int8, rows], [f"{out}_int8"]),
            helper.make_node("Cast", [f"{out}_int8"], [f"{out}_cast"], to=onnx.TensorProto.FLOAT),
            helper.make_node("Gather", [scales, rows], [f"{out}_scale"]),
            helper.make_node("Mul", [f"{out}_cast", f"{out}_scale"], [out]),
        ]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(model)
    onnx.save(model, str(file))


def count_quantized(file: Path) -> dict[str, int]:
    """How many weights (and tables of codes) are stored in 8 bits, and how many values they and the float ones hold."""
    import math

    import onnx

    counts = {"tensors": 0, "int8_values": 0, "float_values": 0}
    for tensor in onnx.load(str(file)).graph.initializer:
        values = math.prod(tensor.dims)
        if tensor.data_type in (onnx.TensorProto.INT8, onnx.TensorProto.UINT8) and values > 1:
            counts["tensors"] += 1
            counts["int8_values"] += values
        elif tensor.data_type == _FLOAT:
            counts["float_values"] += values
    return counts


def bytes_by_type(file: Path) -> dict[str, int]:
    """How many bytes of weights a file holds in each element type. Blocks of fewer than 8 bits are packed in uint8."""
    import onnx

    counts: dict[str, int] = {}
    for tensor in onnx.load(str(file)).graph.initializer:
        kind = onnx.TensorProto.DataType.Name(tensor.data_type).lower()
        counts[kind] = counts.get(kind, 0) + len(tensor.raw_data or onnx.numpy_helper.to_array(tensor).tobytes())
    return dict(sorted(counts.items()))
