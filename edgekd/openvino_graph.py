"""OpenVINO models: which layers can be quantized, which of them a model holds in float, and what a file holds."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_FLOATS = ("f32", "f16", "bf16")
_WEIGHTS = {"MatMul": 1, "Gather": 0}  # the input that a layer's weights come in by
_ATTENTION = "ScaledDotProductAttention"
_BETWEEN = ("Convert", "Multiply", "Subtract", "FakeQuantize", "Reshape", "Transpose")


def layers(model: Any, attention: bool) -> dict[str, list[str]]:
    """The modules of a float model whose products and embeddings have weights: name -> its operators' names.

    `attention`: those that multiply activations with each other too.
    """
    found: dict[str, list[str]] = {}
    for operator in model.get_ops():
        if _floats(operator) is not None or (attention and operator.get_type_name() == _ATTENTION):
            name = operator.get_friendly_name()
            found.setdefault(name.removeprefix("__module.inner.").partition("/")[0], []).append(name)
    return found


def in_float(model: Any, layers: Mapping[str, Sequence[str]]) -> list[str]:
    """Those of the layers (name -> its operators' names) that a quantized model leaves in float."""
    operators = {operator.get_friendly_name(): operator for operator in model.get_ops()}
    return [name for name, own in layers.items() if any(_is_float(operators[each]) for each in own)]


def common_width(model: Any, embeddings: bool) -> int:
    """The largest number that divides the inputs of every product with weights; `embeddings`: and their widths."""
    found = [
        weights
        for operator in model.get_ops()
        if (weights := _floats(operator)) is not None and (embeddings or operator.get_type_name() != "Gather")
    ]
    return math.gcd(*(weights.get_output_shape(0)[-1] for weights in found))


def bytes_by_type(file: Path) -> dict[str, int]:
    """How many bytes of constants a model holds in each element type."""
    import openvino

    counts: dict[str, int] = {}
    for operator in openvino.Core().read_model(str(file)).get_ops():
        if operator.get_type_name() == "Constant":
            kind = operator.get_element_type().get_type_name()
            counts[kind] = counts.get(kind, 0) + operator.get_byte_size()
    return dict(sorted(counts.items()))


def _is_float(operator: Any) -> bool:
    if operator.get_type_name() == _ATTENTION:
        return not any(node.get_type_name() == "FakeQuantize" for port in (0, 1) for node in _above(operator, port))
    return _floats(operator) is not None


def _floats(operator: Any) -> Any:
    """The same of a float model, whose other matrices are no weights: the codes of a token table."""
    weights = _weights(operator)
    return weights if weights is not None and weights.get_element_type().get_type_name() in _FLOATS else None


def _weights(operator: Any) -> Any:
    """The constant matrix that a product or an embedding reads, through what unpacks it; None where there is none."""
    port = _WEIGHTS.get(operator.get_type_name())
    node = None if port is None else _above(operator, port)[-1]
    matrix = node is not None and node.get_type_name() == "Constant" and len(node.get_output_shape(0)) >= 2
    return node if matrix else None


def _above(operator: Any, port: int) -> list[Any]:
    """What lies above an input, up to and with the first operator that does more than reshape or convert."""
    found = [operator.input(port).get_source_output().get_node()]
    while found[-1].get_type_name() in _BETWEEN:
        found.append(found[-1].input(0).get_source_output().get_node())
    return found
