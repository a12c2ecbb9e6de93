"""Export a trained encoder to ExecuTorch, lowered to XNNPACK."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from edgekd.artifact import carry
from edgekd.errors import EdgekdError
from edgekd.options import Source
from edgekd.quiet import quiet
from edgekd.stage import Export, Job


class ExportExecutorch(Export):
    """Writes model.pte for one row of any length up to data.max_length.

    `int8` holds linear layers' weights in 8 bits by channel, with ranges of the activations found at run time, and the
    token table in 8 bits by row; the codebooks of a coded one stay in float.
    """

    accepts: ClassVar[frozenset[str]] = frozenset({"torch"})
    makes: ClassVar[str] = "executorch"
    version: ClassVar[int] = 2
    libraries: ClassVar[tuple[str, ...]] = ("torch", "transformers", "executorch")

    source: Source = Field(description="The step to export; default: the step before")
    precision: Literal["fp32", "int8"] = Field("fp32", description="What weights and linear products are in")

    def needs(self) -> tuple[str, ...]:
        return (*self.libraries, *(("torchao",) if self.precision == "int8" else ()))

    def run(self, job: Job) -> Mapping[str, Any]:
        assert job.source is not None
        longest = job.data.options.max_length
        with quiet():
            count = lower(job.source.path, job.out / "model.pte", longest, self.precision == "int8")
        carry(job.source.path, job.out)
        return {"parameters": count}


def lower(folder: Path, file: Path, longest: int, int8: bool) -> int:
    """Write the program of a trained folder; returns its number of parameters.

    Raises EdgekdError for a BiLSTM, which torch.export unrolls.
    """
    import torch
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import EdgeCompileConfig, ExecutorchBackendConfig, to_edge_transform_and_lower

    from edgekd.kd.coded import stored
    from edgekd.kd.graph import graph_of

    graph = graph_of(folder)
    if not graph.attends:
        raise EdgekdError(
            "ExecuTorch's programs hold no BiLSTM of a free length", "Export it to ONNX, OpenVINO or TFLite."
        )
    count = stored(graph)
    if int8:
        _quantize(graph)
    length = torch.export.Dim("length", min=2, max=longest)
    shapes = ({1: length},) * len(graph.names)
    program = torch.export.export(graph, graph.example(1, min(7, longest)), dynamic_shapes=shapes, strict=False)
    edge = to_edge_transform_and_lower(
        program,
        partitioner=[XnnpackPartitioner()],
        compile_config=EdgeCompileConfig(_check_ir_validity=False),
    )
    made = edge.to_executorch(ExecutorchBackendConfig(do_quant_fusion_and_const_prop=True))
    file.write_bytes(made.buffer)
    return count


def _quantize(graph: Any) -> None:
    """In place: linear layers and the token table in 8 bits, which fuse to ExecuTorch's own kernels. A coded table's
    codebooks, a few hundred kilobytes, stay in float.
    """
    import torch
    from torchao.quantization import Int8DynamicActivationIntxWeightConfig, IntxWeightOnlyConfig, quantize_
    from torchao.quantization.granularity import PerAxis

    graph.inner.get_input_embeddings().padding_idx = None  # its kernel takes none
    quantize_(
        graph,
        IntxWeightOnlyConfig(weight_dtype=torch.int8, granularity=PerAxis(0)),
        lambda module, name: isinstance(module, torch.nn.Embedding) and "word" in name,
    )
    quantize_(graph, Int8DynamicActivationIntxWeightConfig(weight_dtype=torch.int8, weight_granularity=PerAxis(0)))
