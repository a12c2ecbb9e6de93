"""Export a trained encoder to TFLite, by LiteRT's converter and quantizer."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from edgekd import calibration
from edgekd.artifact import carry
from edgekd.data_options import DataOptions
from edgekd.errors import EdgekdError
from edgekd.options import Source
from edgekd.quantizing import Quantizing
from edgekd.quiet import quiet
from edgekd.stage import Export, Job
from edgekd.tflite_graph import compact, layers

if TYPE_CHECKING:
    from numpy.typing import NDArray


class ExportTflite(Quantizing, Export):
    """Writes model.tflite with one graph (signature) a length; the graphs share their weights, and a row runs in the
    shortest that holds it. Inputs are int32 (1, length).

    `int8_weights` holds weights in 8 bits and finds the activations' ranges at run time. `int8` fixes the ranges of the
    fully connected layers' inputs and outputs from calibration rows of the train split; the rest stays in float, since
    8 bits everywhere cost a tenth of the accuracy. Embedding tables are held in 8 bits in both.
    """

    accepts: ClassVar[frozenset[str]] = frozenset({"torch"})
    makes: ClassVar[str] = "tflite"
    version: ClassVar[int] = 3
    libraries: ClassVar[tuple[str, ...]] = ("torch", "transformers", "litert-torch", "ai-edge-litert")

    source: Source = Field(description="The step to export; default: the step before")
    precision: Literal["fp32", "int8_weights", "int8"] = Field("fp32", description="What weights and products are in")
    lengths: tuple[int, ...] = Field(
        (8, 16, 24, 32, 48, 64, 96, 128),
        min_length=1,
        description="Lengths of the graphs, in tokens; those over data.max_length fall out. Each adds some 85 KB "
        "to an INT8 file, 220 KB to another, and 1 MB to memory",
    )
    per_channel: bool = Field(
        True,
        description="One scale for each output channel (and token). More exact, but silently wrong on tflite-runtime",
    )
    samples: int = Field(200, ge=8, description="Calibration rows for int8, drawn from the train split")

    def needs(self) -> tuple[str, ...]:
        return (*self.libraries, *(("ai-edge-quantizer",) if self.precision != "fp32" else ()))

    def check(self, data: DataOptions) -> None:
        super().check(data)
        if min(self.lengths) < 2:
            raise EdgekdError(f"lengths: {min(self.lengths)} holds no sentence", "Give lengths such as [16, 32, 64].")

    def run(self, job: Job) -> Mapping[str, Any]:
        assert job.source is not None
        lengths = graph_lengths(self.lengths, job.data.options.max_length)
        converted = (job.out if self.precision == "fp32" else job.scratch) / "model.tflite"
        count = convert(job.source.path, converted, lengths)
        found = {} if self.precision == "fp32" else self._quantized(converted, lengths, job)
        carry(job.source.path, job.out)
        return {"parameters": count, "lengths": lengths, **found}

    def _quantized(self, source: Path, lengths: list[int], job: Job) -> Mapping[str, Any]:
        assert job.source is not None
        with quiet():
            from ai_edge_quantizer import quantizer

            known = layers(source, job.source.path / "model.safetensors")
            made = quantizer.Quantizer(str(source), self._recipe([]))
            ranges = made.calibrate(_by_graph(job, self.samples, lengths)) if self.precision == "int8" else None

        def build(floats: frozenset[str], folder: Path) -> None:
            with quiet():
                scopes = [scope for name in sorted(floats) for scope in known[name]]
                made = quantizer.Quantizer(str(source), self._recipe(scopes))
                (folder / "model.tflite").write_bytes(compact(made.quantize(ranges).quantized_model))

        return self.quantized(job, list(known), build)

    def _recipe(self, floats: list[str]) -> Any:
        """What the quantizer does with each operator; those of the scopes `floats` stay as they are."""
        from ai_edge_quantizer import qtyping, recipe_manager

        names = qtyping.TFLOperationName
        grain = qtyping.QuantGranularity.CHANNELWISE if self.per_channel else qtyping.QuantGranularity.TENSORWISE
        recipe = recipe_manager.RecipeManager()
        if self.precision == "int8":
            recipe.add_static_config(".*", names.FULLY_CONNECTED, 8, 8, grain)
        else:
            recipe.add_dynamic_config(".*", names.FULLY_CONNECTED, 8, grain)
        recipe.add_dynamic_config(".*", names.EMBEDDING_LOOKUP, 8, grain)
        for scope in floats:
            none = recipe_manager.AlgorithmName.NO_QUANTIZE
            recipe.add_quantization_config(f"^{re.escape(scope)}$", names.ALL_SUPPORTED, algorithm_key=none)
        return recipe.get_quantization_recipe()


def graph_lengths(wanted: tuple[int, ...], longest: int) -> list[int]:
    """The lengths of the graphs: those below data.max_length, and that itself, so that no row is too long."""
    return [*sorted({length for length in wanted if length < longest}), longest]


def convert(folder: Path, file: Path, lengths: list[int]) -> int:
    """Write the fp32 file of a trained folder; returns its number of parameters."""
    import torch

    from edgekd.kd.coded import stored
    from edgekd.kd.graph import graph_of

    graph = graph_of(folder)
    with quiet():
        import litert_torch

        converter = litert_torch.Converter()
        for length in lengths:
            example = dict(zip(graph.names, graph.example(1, length, torch.int32), strict=True))
            converter.add_signature(f"length_{length}", graph, sample_kwargs=example)
        converter.convert().export(str(file))
    return stored(graph)


def _by_graph(job: Job, count: int, lengths: list[int]) -> "dict[str, list[dict[str, NDArray[Any]]]]":
    """Calibration rows, each under the graph that will serve it, filled up to its length.

    A graph that serves none of them still needs ranges: it gets those that fit.
    """
    import numpy as np

    rows = list(calibration.samples(job, count))

    def filled(row: "dict[str, NDArray[Any]]", length: int) -> "dict[str, NDArray[Any]]":
        room = ((0, 0), (0, length - row["input_ids"].shape[1]))
        return {
            name: np.pad(values, (*room, *((0, 0),) * (values.ndim - 2))).astype(
                np.int32 if values.dtype.kind == "i" else values.dtype
            )
            for name, values in row.items()
        }

    found = {}
    for shorter, length in zip([0, *lengths], lengths, strict=False):
        fit = [row for row in rows if row["input_ids"].shape[1] <= length]
        own = [row for row in fit if row["input_ids"].shape[1] > shorter]
        found[f"length_{length}"] = [filled(row, length) for row in own or fit]
    return found
