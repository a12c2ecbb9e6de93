"""TFLite files: which layers have weights, and the operators that read them in each of the graphs."""

from pathlib import Path


def layers(file: Path) -> dict[str, list[str]]:
    """Fully connected layers and embedding tables: name -> the scopes of their operators, one or more a graph.

    Graphs share their weights, and operators that read the same weights are one layer.
    """
    from ai_edge_quantizer import qtyping
    from ai_edge_quantizer.utils import tfl_flatbuffer_utils

    wanted = (qtyping.TFLOperationName.FULLY_CONNECTED, qtyping.TFLOperationName.EMBEDDING_LOOKUP)
    model = tfl_flatbuffer_utils.read_model(str(file))
    found: dict[int, tuple[str, list[str]]] = {}  # by the buffer of the weights
    for graph in model.subgraphs:
        for operator in graph.operators:
            kind = tfl_flatbuffer_utils.TFL_OP_CODE_TO_NAME.get(model.operatorCodes[operator.opcodeIndex].builtinCode)
            weights = graph.tensors[operator.inputs[1]] if kind in wanted else None
            if weights is None or model.buffers[weights.buffer].data is None:
                continue
            scope = tfl_flatbuffer_utils.get_op_scope(operator, graph.tensors)
            # A table is named only by what reads it, the last layer only by its weights.
            named = weights.name.decode() if kind == qtyping.TFLOperationName.FULLY_CONNECTED else scope
            found.setdefault(weights.buffer, (_module(named), []))[1].append(scope)
    return dict(found.values())


def _module(scope: str) -> str:
    """The module's name in `...Graph/pkg.BertModel_bert/pkg.BertPooler_pooler/torch.nn.Linear_dense;1`.

    Where the converter names several modules, the last is the one that it is.
    """
    path = next(part for part in reversed(scope.split(";")) if "/" in part)
    names = [part.rpartition(".")[2].partition("_")[2] for part in path.split("/")[1:]]
    return ".".join(name for name in names if name and name != "inner")
