"""Export a trained encoder to ONNX, with a dynamic batch and a dynamic length."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field

from edgekd.artifact import carry
from edgekd.options import IsAside, Source
from edgekd.quiet import quiet
from edgekd.stage import Job, Stage, Tolerance


class ExportOnnx(Stage):
    """Exports through torch.export. Inputs are int64 (batch, length): input_ids, attention_mask and, where the encoder
    has a second type, token_type_ids; the output is logits, float32 (batch, outputs).
    """

    accepts: ClassVar[frozenset[str]] = frozenset({"torch"})
    makes: ClassVar[str] = "onnx"
    version: ClassVar[int] = 3
    libraries: ClassVar[tuple[str, ...]] = ("torch", "transformers", "onnx", "onnxscript")

    source: Source = Field(description="The step to export; default: the step before")
    opset: int = Field(
        20, ge=18, le=23, description="ONNX operator set; below 20 GELU is five operators instead of one"
    )
    max_difference: Annotated[float, IsAside()] = Field(
        1e-3, gt=0, description="Largest difference of any logit from the source's, on dev"
    )

    def tolerance(self) -> Tolerance:
        return Tolerance(max_difference=self.max_difference, max_drop=self.max_difference)

    def run(self, job: Job) -> Mapping[str, Any]:
        assert job.source is not None
        parameters = export(job.source.path, job.out / "model.onnx", self.opset)
        carry(job.source.path, job.out)
        return {"parameters": parameters, "opset": self.opset}


def export(folder: Path, file: Path, opset: int) -> int:
    """Write the ONNX file of a trained folder; returns its number of parameters."""
    import onnx
    import torch

    from edgekd.kd.coded import stored
    from edgekd.kd.graph import graph_of

    graph = graph_of(folder)
    batch, length = torch.export.Dim("batch"), torch.export.Dim("length")
    with quiet():
        program = torch.onnx.export(
            graph,
            graph.example(),
            dynamo=True,
            input_names=list(graph.names),
            output_names=["logits"],
            dynamic_shapes=({0: batch, 1: length},) * len(graph.names),
            opset_version=opset,
            verbose=False,
        )
    assert program is not None
    proto = program.model_proto
    _strip(proto)
    _name_products(proto)
    onnx.checker.check_model(proto)
    onnx.save(proto, str(file))
    return stored(graph)


def _strip(proto: Any) -> None:
    """Drop the exporter's notes: they hold stack traces with paths of the machine, so no two files would be equal.

    Inferred shapes go too: runtimes infer them again, and ONNX Runtime's quantizer stumbles over stale ones.
    """
    del proto.graph.value_info[:]
    del proto.metadata_props[:]
    proto.doc_string = ""
    for nodes in (proto.graph.node, *(function.node for function in proto.functions)):
        for node in nodes:
            del node.metadata_props[:]
            node.doc_string = ""
    for value in (*proto.graph.input, *proto.graph.output, *proto.graph.initializer):
        del value.metadata_props[:]
        value.doc_string = ""
    del proto.graph.metadata_props[:]
    proto.graph.doc_string = ""


def _name_products(proto: Any) -> None:
    """Call each product with weights, and its weights, as the model calls the layer.

    The exporter turns a linear layer into a product with an unnamed constant and the addition of a named bias. Equal
    biases, as of layers that were never trained, it stores once: their layers keep the names it gave them.
    """
    graph = proto.graph
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    biases = {n.input[s]: n.input[1 - s] for n in graph.node if n.op_type == "Add" for s in (0, 1)}
    for node in graph.node:
        if node.op_type == "MatMul" and node.input[1] in tensors:
            bias = biases.get(node.output[0], "")
            alone = sum(bias in other.input for other in graph.node) == 1
            if alone and bias in tensors and bias.endswith(".bias"):
                node.name = bias.removesuffix(".bias").removeprefix("inner.")
                tensors[node.input[1]].name = node.input[1] = f"{bias.removesuffix('.bias')}.weight"
        elif node.op_type == "Gemm" and node.input[1].endswith(".weight"):
            node.name = node.input[1].removesuffix(".weight").removeprefix("inner.")
