"""Export a trained encoder to OpenVINO's intermediate representation, with a dynamic batch and a dynamic length."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from edgekd import calibration
from edgekd.artifact import carry
from edgekd.data_options import DataOptions
from edgekd.errors import EdgekdError
from edgekd.nncf_control import Control
from edgekd.openvino_graph import bytes_by_type, common_width, layers
from edgekd.options import Source
from edgekd.quantizing import Quantizing
from edgekd.quiet import quiet
from edgekd.stage import Export, Job

_RANKING_ROWS = 64
_LEAST_GROUP = 8


class ExportOpenvino(Quantizing, Export):
    """Writes model.xml and model.bin. `fp16` stores weights in half the bytes.

    `int8` quantizes weights and activations by NNCF, from calibration rows of the train split, in the form that it
    keeps for transformers; embedding tables are stored in 8 bits too. `int4` holds the weights alone, in groups of 4
    bits with a scale each, and embedding tables in 8 bits.
    """

    accepts: ClassVar[frozenset[str]] = frozenset({"torch"})
    makes: ClassVar[str] = "openvino"
    version: ClassVar[int] = 2
    libraries: ClassVar[tuple[str, ...]] = ("torch", "transformers", "openvino")
    exact: ClassVar[Mapping[str, float]] = {"fp32": 1e-3, "fp16": 2e-2}  # fp16 rounds the weights

    source: Source = Field(description="The step to export; default: the step before")
    precision: Literal["fp32", "fp16", "int8", "int4"] = Field(
        "fp32", description="What weights, or all products, are held in"
    )
    samples: int = Field(300, ge=8, description="Calibration rows for int8, drawn from the train split")
    preset: Literal["mixed", "performance"] = Field(
        "mixed", description="Activations of int8: mixed is asymmetric after the embeddings and GELU"
    )
    smooth_quant: float = Field(
        0.95,
        ge=-1,
        le=1,
        description="SmoothQuant's alpha for matrix products; -1: off. Never on with fallback_by: nncf",
    )
    fallback_by: Literal["sensitivity", "nncf"] = Field(
        "sensitivity",
        description="Who chooses the float layers of int8: edgekd's ranking, or NNCF's accuracy control",
    )
    max_reverted: int = Field(12, ge=1, description="Most steps back to float that NNCF's accuracy control tries")
    group_size: int = Field(
        32, ge=_LEAST_GROUP, description="Weights of int4 that share a scale; must divide a layer's inputs"
    )
    symmetric: bool = Field(True, description="Groups of int4 without a zero point: smaller, less exact")
    all_layers: bool = Field(False, description="Hold embedding tables and the last layer in 4 bits too, not in 8")

    def needs(self) -> tuple[str, ...]:
        return (*self.libraries, *(("nncf",) if self.precision in ("int8", "int4") else ()))

    def check(self, data: DataOptions) -> None:
        super().check(data)
        if self._by_nncf and (self.precision != "int8" or self.min_speedup is not None):
            raise EdgekdError(
                "NNCF's accuracy control quantizes to int8 and does not look at speed",
                "Choose precision: int8 without min_speedup, or leave fallback_by out.",
            )

    @property
    def _by_nncf(self) -> bool:
        return self.fallback and self.fallback_by == "nncf"

    def run(self, job: Job) -> Mapping[str, Any]:
        import openvino

        from edgekd.kd.coded import stored
        from edgekd.kd.graph import graph_of

        assert job.source is not None
        graph = graph_of(job.source.path)
        with quiet():
            model = openvino.convert_model(graph, example_input=graph.example())
        for entry, name in zip(model.inputs, graph.names, strict=True):
            entry.get_tensor().set_names({name})
            bits = [graph.bits] if name == "dictionary" else []
            entry.get_node().set_partial_shape(openvino.PartialShape([-1, -1, *bits]))
        model.output(0).get_tensor().set_names({"logits"})
        model.validate_nodes_and_infer_types()
        found: Mapping[str, Any] = {}
        if self.precision in ("int8", "int4"):
            found = self._quantized(model, graph.names, job)
        else:
            openvino.save_model(model, job.out / "model.xml", compress_to_fp16=self.precision == "fp16")
        carry(job.source.path, job.out)
        return {"parameters": stored(graph), "bytes_by_type": bytes_by_type(job.out / "model.xml"), **found}

    def _quantized(self, model: Any, names: tuple[str, ...], job: Job) -> Mapping[str, Any]:
        import openvino

        with quiet():
            import nncf

        int8 = self.precision == "int8"
        if not int8 and (width := common_width(model, self.all_layers)) % self.group_size:
            raise EdgekdError(
                f"group_size {self.group_size} does not divide the inputs of every layer",
                "Leave all_layers out."
                if self.all_layers and width < _LEAST_GROUP
                else f"Choose a divisor of {width}.",
            )
        known = layers(model, attention=int8)
        rows = [{name: row[name] for name in names} for row in calibration.samples(job, self.samples)] if int8 else []
        if self._by_nncf:
            made, found = Control(job, self.max_drop, self.max_reverted).quantized(
                model, names, known, self._int8(rows, smooth_quant=-1)
            )
            openvino.save_model(made, job.out / "model.xml", compress_to_fp16=False)
            return found

        def build(floats: frozenset[str], folder: Path) -> None:
            ignored = nncf.IgnoredScope(names=[operator for name in sorted(floats) for operator in known[name]])
            # A single layer's ranges are there to rank it: that takes fewer rows.
            own = rows if len(floats) < len(known) - 1 else rows[:_RANKING_ROWS]
            with quiet():
                if int8:
                    made = nncf.quantize(model, ignored_scope=ignored, **self._int8(own, self.smooth_quant))
                else:
                    made = self._int4(model, ignored)
                openvino.save_model(made, folder / "model.xml", compress_to_fp16=False)

        return self.quantized(job, list(known), build)

    def _int8(self, rows: list[Any], smooth_quant: float) -> dict[str, Any]:
        import nncf

        alphas = nncf.AdvancedSmoothQuantParameters(matmul=smooth_quant)
        return {
            "calibration_dataset": nncf.Dataset(rows),
            "preset": nncf.QuantizationPreset(self.preset),
            "model_type": nncf.ModelType.TRANSFORMER,
            "subset_size": len(rows),
            "advanced_parameters": nncf.AdvancedQuantizationParameters(smooth_quant_alphas=alphas),
        }

    def _int4(self, model: Any, ignored: Any) -> Any:
        import nncf

        modes = nncf.CompressWeightsMode
        return nncf.compress_weights(
            model.clone(),  # it works in place
            mode=modes.INT4_SYM if self.symmetric else modes.INT4_ASYM,
            group_size=self.group_size,
            all_layers=self.all_layers,
            ignored_scope=ignored,
        )
