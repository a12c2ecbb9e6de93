"""Export a trained encoder to ONNX, with a dynamic batch and a dynamic length."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field

from edgekd.artifact import TOKENIZER
from edgekd.errors import EdgekdError
from edgekd.options import IsAside, Source
from edgekd.stage import Job, Stage, Tolerance


class ExportOnnx(Stage):
    """Exports through torch.export. Inputs are int64 (batch, length): input_ids, attention_mask and, where the encoder
    has a second type, token_type_ids; the output is logits, float32 (batch, outputs).
    """

    accepts: ClassVar[frozenset[str]] = frozenset({"torch"})
    makes: ClassVar[str] = "onnx"
    libraries: ClassVar[tuple[str, ...]] = ("torch", "transformers", "onnx", "onnxscript", "onnxruntime")

    source: Source = Field(description="The step to export; default: the step before")
    opset: int = Field(18, ge=18, le=23, description="ONNX operator set")
    max_difference: Annotated[float, IsAside()] = Field(
        1e-3, gt=0, description="Largest difference of any logit from the source's, on dev"
    )

    def tolerance(self) -> Tolerance:
        return Tolerance(max_difference=self.max_difference, max_drop=self.max_difference)

    def run(self, job: Job) -> Mapping[str, Any]:
        assert job.source is not None
        parameters = export(job.source.path, job.out / "model.onnx", self.opset, self.max_difference)
        (job.out / TOKENIZER).write_bytes((job.source.path / TOKENIZER).read_bytes())
        return {"parameters": parameters, "opset": self.opset}


def export(folder: Path, file: Path, opset: int, max_difference: float) -> int:
    """Write the ONNX file of a trained folder; returns its number of parameters.

    Raises EdgekdError where a padded batch gets other outputs than from the model with its own mask code.
    """
    import contextlib
    import io
    import logging
    import warnings

    import onnx
    import torch

    from edgekd.kd.encoder import input_names, load_classifier

    # Written-out attention under an additive mask made here: the model's own mask code exports as range, gather and
    # is-NaN operators that no runtime needs. -1e4 and not -inf: its exponential is 0, and it can be quantized.
    model = load_classifier(folder, attn_implementation="eager").eval()
    names = input_names(model)

    class Logits(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = model

        def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
            given = dict(zip(names, inputs, strict=True))
            mask = given["attention_mask"][:, None, None, :].to(torch.float32)
            logits: torch.Tensor = self.inner(**{**given, "attention_mask": (mask - 1.0) * 1e4}).logits
            return logits

    # Two rows, one with a masked end: sizes of 1 and constant masks would be taken as fixed.
    example = torch.ones((2, 7), dtype=torch.int64)
    mask = example.clone()
    mask[1, 5:] = 0
    inputs = tuple(mask if name == "attention_mask" else example * (name == "input_ids") for name in names)
    batch, length = torch.export.Dim("batch"), torch.export.Dim("length")
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            Logits().eval(),
            inputs,
            dynamo=True,
            input_names=list(names),
            output_names=["logits"],
            dynamic_shapes=(({0: batch, 1: length},) * len(names),),  # one tuple for *inputs
            opset_version=opset,
            verbose=False,
        )
    assert program is not None
    proto = program.model_proto
    _strip(proto)
    onnx.checker.check_model(proto)
    onnx.save(proto, str(file))
    _compare_padded(folder, file, names, max_difference)
    return sum(parameter.numel() for parameter in model.parameters())


def _compare_padded(folder: Path, file: Path, names: tuple[str, ...], max_difference: float) -> None:
    """Dev rows are scored one by one, without padding, so the mask is tried here: rows of 3 to 12 tokens together."""
    import onnxruntime
    import torch

    from edgekd.kd.encoder import load_classifier

    model = load_classifier(folder).eval()
    lengths = torch.tensor([3, 12, 7])
    mask = (torch.arange(12) < lengths[:, None]).long()
    draw = torch.Generator().manual_seed(0)
    tokens = torch.randint(0, model.config.vocab_size, mask.shape, generator=draw)
    tokens = torch.where(mask.bool(), tokens, model.config.pad_token_id or 0)
    given = {"input_ids": tokens, "attention_mask": mask, "token_type_ids": torch.zeros_like(mask)}
    with torch.inference_mode():
        expected = model(**{name: given[name] for name in names}).logits.numpy()
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    (found,) = session.run(["logits"], {name: given[name].numpy() for name in names})
    difference = float(abs(found - expected).max())
    if not difference <= max_difference:
        raise EdgekdError(
            f"a padded batch differs by {difference:.3g} from the model's outputs, the limit is {max_difference:g}",
            "Report it with the model's name: the export's mask does not fit this encoder.",
        )


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
