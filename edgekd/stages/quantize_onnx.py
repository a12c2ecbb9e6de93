"""Quantize an ONNX encoder to INT8 after training."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from edgekd import calibration
from edgekd.artifact import TOKENIZER
from edgekd.data_options import DataOptions
from edgekd.errors import EdgekdError
from edgekd.fallback import Search
from edgekd.options import IsAside, Source
from edgekd.quiet import quiet
from edgekd.stage import Job, Stage, Tolerance

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_PRODUCTS = ["MatMul", "Gemm"]
_METHODS = {"minmax": "MinMax", "entropy": "Entropy", "percentile": "Percentile"}


class QuantizeOnnx(Stage):
    """Quantizes matrix products and embedding tables to INT8 by ONNX Runtime.

    `dynamic` finds the activations' ranges at run time, `static` from calibration rows of the train split. Weights are
    signed, activations unsigned: the pair for which processors have instructions.
    """

    accepts: ClassVar[frozenset[str]] = frozenset({"onnx"})
    makes: ClassVar[str] = "onnx"
    version: ClassVar[int] = 2
    libraries: ClassVar[tuple[str, ...]] = ("onnx", "onnxruntime")

    source: Source = Field(description="The step to quantize; default: the step before")
    mode: Literal["dynamic", "static"] = Field("dynamic", description="Where activations' ranges come from")
    per_channel: bool = Field(True, description="One scale for each output channel of a weight, instead of one in all")
    embeddings: bool = Field(True, description="Quantize the embedding tables too: most of a small encoder's bytes")
    format: Literal["QDQ", "QOperator"] = Field("QDQ", description="Form of a static graph")
    calibration: Literal["minmax", "entropy", "percentile"] = Field("minmax", description="How static ranges are found")
    samples: int = Field(128, ge=8, description="Calibration rows, drawn from the train split")
    reduce_range: bool = Field(False, description="7-bit weights, for processors without VNNI, whose sums can overflow")
    max_drop: Annotated[float, IsAside()] = Field(
        0.01, ge=0, description="Largest loss of the recipe's metric against the source"
    )
    min_agreement: Annotated[float, IsAside()] = Field(
        0.9, ge=0, le=1, description="Least share of dev rows with the source's answer"
    )

    fallback: bool = Field(
        False,
        description="Leave the most sensitive layers in float until max_drop is kept on dev; the report ranks them",
    )
    min_speedup: float | None = Field(
        None, gt=0, description="With fallback: least speed of the whole in multiples of the source's, or the run fails"
    )

    def tolerance(self) -> Tolerance:
        return Tolerance(max_drop=self.max_drop, min_agreement=self.min_agreement)

    def check(self, data: DataOptions) -> None:
        if self.min_speedup is not None and not self.fallback:
            raise EdgekdError("min_speedup is only looked at by the fallback", "Add fallback: true.")

    def key_options(self) -> dict[str, Any]:
        # Here the limit decides which layers are quantized, so it makes another artifact.
        return {**super().key_options(), **({"max_drop": self.max_drop} if self.fallback else {})}

    def run(self, job: Job) -> Mapping[str, Any]:
        assert job.source is not None
        # A copy: the quantizer writes a file beside what it reads, and a sealed artifact is not its place.
        source, target = job.scratch / "source.onnx", job.out / "model.onnx"
        source.write_bytes((job.source.path / "model.onnx").read_bytes())
        found: Mapping[str, Any] = {}
        if self.fallback:

            def build(floats: frozenset[str], folder: Path) -> None:
                self._quantize(source, folder / "model.onnx", job, floats)

            found = Search(job, build, layers(source, self.embeddings), "onnx", self.max_drop, self.min_speedup).run()
        else:
            self._quantize(source, target, job, frozenset())
        (job.out / TOKENIZER).write_bytes((job.source.path / TOKENIZER).read_bytes())
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
            op_types_to_quantize=_PRODUCTS,
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
            _Calibration(prepared, job, self.samples, together=self.calibration != "minmax"),
            op_types_to_quantize=_PRODUCTS,
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
                # A product's sums go on in float: what follows is a bias, a mask or a norm, and the logits stay whole.
                "OpTypesToExcludeOutputQuantization": _PRODUCTS if self.format == "QDQ" else [],
            },
        )


def layers(file: Path, tables: bool) -> list[str]:
    """What can be quantized in an ONNX file, by name: products with weights and, with `tables`, embedding tables."""
    import onnx

    graph = onnx.load(str(file)).graph
    weights = {tensor.name: len(tensor.dims) for tensor in graph.initializer}
    found = [node.name for node in graph.node if node.op_type in _PRODUCTS and node.input[1] in weights]
    gathered = [node.input[0] for node in graph.node if node.op_type == "Gather" and weights.get(node.input[0]) == 2]
    return found + (list(dict.fromkeys(gathered)) if tables else [])


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
        tensor.name: tensor
        for tensor in graph.initializer
        if tensor.data_type == onnx.TensorProto.FLOAT and tensor.name not in floats
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
    """How many weights are stored in 8 bits, and how many values they and the float ones hold."""
    import math

    import onnx

    counts = {"tensors": 0, "int8_values": 0, "float_values": 0}
    for tensor in onnx.load(str(file)).graph.initializer:
        values = math.prod(tensor.dims)
        if tensor.data_type in (onnx.TensorProto.INT8, onnx.TensorProto.UINT8) and values > 1:
            counts["tensors"] += 1
            counts["int8_values"] += values
        elif tensor.data_type == onnx.TensorProto.FLOAT:
            counts["float_values"] += values
    return counts


class _Calibration:
    """Calibration rows as ONNX Runtime asks for them. Its histogram methods stack rows: all must be of one length."""

    def __init__(self, model: Path, job: Job, count: int, together: bool) -> None:
        import onnx

        self._names = [entry.name for entry in onnx.load(str(model), load_external_data=False).graph.input]
        self._rows = calibration.samples(job, count, together)

    def get_next(self) -> "dict[str, NDArray[np.int64]] | None":
        row = next(self._rows, None)
        return None if row is None else {name: row[name] for name in self._names}
