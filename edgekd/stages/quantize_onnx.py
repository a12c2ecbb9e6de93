"""Quantize an ONNX encoder to INT8 after training."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from edgekd import calibration
from edgekd.artifact import carry
from edgekd.onnx_graph import PRODUCTS, count_quantized, layers, quantize_embeddings
from edgekd.options import Source
from edgekd.quantizing import Quantizing
from edgekd.quiet import quiet
from edgekd.stage import Job

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Rows at a time of the methods that draw histograms, whose bins are as wide as the first of them ask for: of one row
# alone they may be far too narrow, and thousands of times as many.
_TOGETHER = 8
_METHODS = {"minmax": "MinMax", "entropy": "Entropy", "percentile": "Percentile"}


class QuantizeOnnx(Quantizing):
    """Quantizes matrix products and embedding tables to INT8 by ONNX Runtime.

    `dynamic` finds the activations' ranges at run time, `static` from calibration rows of the train split. Weights are
    signed, activations unsigned: the pair for which processors have instructions.
    """

    accepts: ClassVar[frozenset[str]] = frozenset({"onnx"})
    makes: ClassVar[str] = "onnx"
    version: ClassVar[int] = 3
    libraries: ClassVar[tuple[str, ...]] = ("onnx", "onnxruntime")

    source: Source = Field(description="The step to quantize; default: the step before")
    mode: Literal["dynamic", "static"] = Field("dynamic", description="Where activations' ranges come from")
    per_channel: bool = Field(True, description="One scale for each output channel of a weight, instead of one in all")
    embeddings: bool = Field(True, description="Quantize the embedding tables too: most of a small encoder's bytes")
    format: Literal["QDQ", "QOperator"] = Field("QDQ", description="Form of a static graph")
    calibration: Literal["minmax", "entropy", "percentile"] = Field("minmax", description="How static ranges are found")
    samples: int = Field(128, ge=8, description="Calibration rows, drawn from the train split")
    reduce_range: bool = Field(False, description="7-bit weights, for processors without VNNI, whose sums can overflow")

    def run(self, job: Job) -> Mapping[str, Any]:
        assert job.source is not None
        # A copy: the quantizer writes a file beside what it reads, and a sealed artifact is not its place.
        source, target = job.scratch / "source.onnx", job.out / "model.onnx"
        source.write_bytes((job.source.path / "model.onnx").read_bytes())

        def build(floats: frozenset[str], folder: Path) -> None:
            self._quantize(source, folder / "model.onnx", job, floats)

        found = self.quantized(job, layers(source, self.embeddings), build)
        carry(job.source.path, job.out)
        parameters = job.source.manifest.facts.get("parameters")
        return {"parameters": parameters, "quantized": count_quantized(target), **found}

    def _quantize(self, source: Path, target: Path, job: Job, floats: frozenset[str]) -> None:
        """Write the quantized file, with the layers and tables named in `floats` as they were."""
        with quiet():
            if self.mode == "dynamic":
                self._dynamic(source, target, floats)
            else:
                self._static(source, target, job, floats)
        if self.embeddings:
            quantize_embeddings(target, self.per_channel, floats)

    def _dynamic(self, source: Path, target: Path, floats: frozenset[str]) -> None:
        from onnxruntime.quantization import QuantType, quantize_dynamic

        quantize_dynamic(
            source,
            target,
            op_types_to_quantize=PRODUCTS,
            nodes_to_exclude=sorted(floats),
            per_channel=self.per_channel,
            reduce_range=self.reduce_range,
            weight_type=QuantType.QInt8,
            extra_options={"DefaultTensorType": 1, "MatMulConstBOnly": True},
        )

    def _static(self, source: Path, target: Path, job: Job, floats: frozenset[str]) -> None:
        from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
        from onnxruntime.quantization.shape_inference import quant_pre_process

        prepared = job.scratch / "prepared.onnx"
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            target,
            _Calibration(prepared, job, self.samples, 1 if self.calibration == "minmax" else _TOGETHER),
            op_types_to_quantize=PRODUCTS,
            nodes_to_exclude=sorted(floats),
            quant_format=QuantFormat[self.format],
            per_channel=self.per_channel,
            reduce_range=self.reduce_range,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod[_METHODS[self.calibration]],
            extra_options={
                "DefaultTensorType": 1,
                "MatMulConstBOnly": True,
                "CalibStridedMinMax": 1,  # batch at once, in the other methods too: they keep all that a layer gives
                # A product's sums go on in float: what follows is a bias, a mask or a norm, and the logits stay whole.
                "OpTypesToExcludeOutputQuantization": PRODUCTS if self.format == "QDQ" else [],
            },
        )


class _Calibration:
    """Calibration rows as ONNX Runtime asks for them: how many batches there are, then each range of them in turn."""

    def __init__(self, model: Path, job: Job, count: int, together: int) -> None:
        import onnx

        self._names = [entry.name for entry in onnx.load(str(model), load_external_data=False).graph.input]
        self._count = -(-min(count, len(job.data.train)) // together)
        self._batches = calibration.samples(job, count, together)
        self._left = 0  # of the range

    def __len__(self) -> int:
        return self._count

    def set_range(self, start_index: int, end_index: int) -> None:
        self._left = end_index - start_index

    def get_next(self) -> "dict[str, NDArray[np.int64]] | None":
        if not self._left:
            return None
        self._left -= 1
        batch = next(self._batches)
        return {name: batch[name] for name in self._names}
