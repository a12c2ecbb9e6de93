"""Export a trained encoder to OpenVINO's intermediate representation, with a dynamic batch and a dynamic length."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from edgekd import calibration
from edgekd.artifact import TOKENIZER
from edgekd.options import Source
from edgekd.quiet import quiet
from edgekd.stage import Export, Job


class ExportOpenvino(Export):
    """Writes model.xml and model.bin. `fp16` stores weights in half the bytes.

    `int8` quantizes weights and activations by NNCF, from calibration rows of the train split, in the form that it
    keeps for transformers; embedding tables are stored in 8 bits too.
    """

    accepts: ClassVar[frozenset[str]] = frozenset({"torch"})
    makes: ClassVar[str] = "openvino"
    libraries: ClassVar[tuple[str, ...]] = ("torch", "transformers", "openvino")
    exact: ClassVar[Mapping[str, float]] = {"fp32": 1e-3, "fp16": 2e-2}  # fp16 rounds the weights

    source: Source = Field(description="The step to export; default: the step before")
    precision: Literal["fp32", "fp16", "int8"] = Field("fp32", description="What weights, or all products, are held in")
    samples: int = Field(300, ge=8, description="Calibration rows for int8, drawn from the train split")
    preset: Literal["mixed", "performance"] = Field(
        "mixed", description="Activations of int8: mixed is asymmetric after the embeddings and GELU"
    )
    smooth_quant: float = Field(0.95, ge=-1, le=1, description="SmoothQuant's alpha for matrix products; -1: off")

    def needs(self) -> tuple[str, ...]:
        return (*self.libraries, *(("nncf",) if self.precision == "int8" else ()))

    def run(self, job: Job) -> Mapping[str, Any]:
        import openvino

        from edgekd.kd.graph import graph_of, parameters

        assert job.source is not None
        graph = graph_of(job.source.path)
        with quiet():
            model = openvino.convert_model(graph, example_input=graph.example())
        for entry, name in zip(model.inputs, graph.names, strict=True):
            entry.get_tensor().set_names({name})
            entry.get_node().set_partial_shape(openvino.PartialShape([-1, -1]))
        model.output(0).get_tensor().set_names({"logits"})
        model.validate_nodes_and_infer_types()
        if self.precision == "int8":
            model = self._quantized(model, graph.names, job)
        openvino.save_model(model, job.out / "model.xml", compress_to_fp16=self.precision == "fp16")
        (job.out / TOKENIZER).write_bytes((job.source.path / TOKENIZER).read_bytes())
        return {"parameters": parameters(graph), "bytes_by_type": bytes_by_type(job.out / "model.xml")}

    def _quantized(self, model: Any, names: tuple[str, ...], job: Job) -> Any:
        with quiet():
            import nncf

        rows = [{name: row[name] for name in names} for row in calibration.samples(job, self.samples)]
        advanced = nncf.AdvancedQuantizationParameters(
            smooth_quant_alphas=nncf.AdvancedSmoothQuantParameters(matmul=self.smooth_quant)
        )
        with quiet():
            return nncf.quantize(
                model,
                nncf.Dataset(rows),
                preset=nncf.QuantizationPreset(self.preset),
                model_type=nncf.ModelType.TRANSFORMER,
                subset_size=len(rows),
                advanced_parameters=advanced,
            )


def bytes_by_type(file: Path) -> dict[str, int]:
    """How many bytes of constants a model holds in each element type."""
    import openvino

    counts: dict[str, int] = {}
    for operator in openvino.Core().read_model(str(file)).get_ops():
        if operator.get_type_name() == "Constant":
            kind = operator.get_element_type().get_type_name()
            counts[kind] = counts.get(kind, 0) + operator.get_byte_size()
    return dict(sorted(counts.items()))
