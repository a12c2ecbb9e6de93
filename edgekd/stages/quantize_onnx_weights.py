"""Store the weights of an ONNX encoder in blocks of 4 or 8 bits."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from edgekd.artifact import carry
from edgekd.data_options import DataOptions
from edgekd.errors import EdgekdError
from edgekd.onnx_graph import bytes_by_type, layers, quantize_embeddings, readers
from edgekd.options import Source
from edgekd.quantizing import Quantizing
from edgekd.quiet import quiet
from edgekd.stage import Job

_ACCURACY_LEVELS = {"fp32": 1, "int8": 4}


class QuantizeOnnxWeights(Quantizing):
    """Stores weights alone in few bits, each block of them with a scale, by ONNX Runtime's MatMulNBits.

    Embedding tables are stored in blocks of 4 bits too (GatherBlockQuantized), or in 8 bits with a scale a row.
    """

    accepts: ClassVar[frozenset[str]] = frozenset({"onnx"})
    makes: ClassVar[str] = "onnx"
    libraries: ClassVar[tuple[str, ...]] = ("onnx", "onnxruntime")

    source: Source = Field(description="The step to quantize; default: the step before")
    bits: Literal[4, 8] = Field(4, description="Bits of a weight")
    block_size: int = Field(32, ge=16, le=256, description="Weights that share a scale; a power of two")
    symmetric: bool = Field(True, description="Blocks without a zero point: smaller, less exact")
    embeddings: bool = Field(True, description="Store the embedding tables so too: most of a small encoder's bytes")
    compute: Literal["int8", "fp32"] = Field(
        "int8", description="What products may round their activations to while they run; fp32 is slower"
    )

    def check(self, data: DataOptions) -> None:
        super().check(data)
        if self.block_size & (self.block_size - 1):
            raise EdgekdError(f"block_size {self.block_size} is no power of two", "Choose 16, 32, 64, 128 or 256.")

    def run(self, job: Job) -> Mapping[str, Any]:
        assert job.source is not None
        source = job.scratch / "source.onnx"
        _prepare(job.source.path / "model.onnx", source)

        def build(floats: frozenset[str], folder: Path) -> None:
            self._quantize(source, folder / "model.onnx", floats)

        found = self.quantized(job, layers(source, self.embeddings), build)
        carry(job.source.path, job.out)
        parameters = job.source.manifest.facts.get("parameters")
        return {"parameters": parameters, "bytes_by_type": bytes_by_type(job.out / "model.onnx"), **found}

    def _quantize(self, source: Path, target: Path, floats: frozenset[str]) -> None:
        """Write the quantized file, with the layers and tables named in `floats` as they were."""
        import onnx

        with quiet():
            from onnxruntime.quantization import matmul_nbits_quantizer as nbits

            model = onnx.load(str(source))
            tables = readers(model.graph)
            few = {node for node, table in tables.items() if table not in floats} if self.embeddings else set()
            options = nbits.DefaultWeightOnlyQuantConfig(
                block_size=self.block_size,
                is_symmetric=self.symmetric,
                bits=self.bits,
                accuracy_level=_ACCURACY_LEVELS[self.compute],
                op_types_to_quantize=("MatMul", "Gather") if few and self.bits == 4 else ("MatMul",),
            )
            gathers = {node.name for node in model.graph.node if node.op_type == "Gather"}
            made = nbits.MatMulNBitsQuantizer(
                model, algo_config=options, nodes_to_exclude=sorted(floats | (gathers - few))
            )
            made.process()
        onnx.checker.check_model(made.model.model)
        onnx.save(made.model.model, str(target))
        if self.embeddings and self.bits == 8:
            quantize_embeddings(target, per_row=True, floats=floats)


def _prepare(source: Path, target: Path) -> None:
    """Write the file with each Gemm as the MatMul and Add that it is: only MatMul has a kernel for blocks."""
    import onnx
    from onnxruntime.quantization.onnx_model import ONNXModel

    model = ONNXModel(onnx.load(str(source)))
    model.replace_gemm_with_matmul()
    for node in model.model.graph.node:
        if node.op_type == "MatMul":
            node.name = node.name.removesuffix("_MatMul")
    onnx.save(model.model, str(target))
