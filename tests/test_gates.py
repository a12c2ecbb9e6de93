"""Models made wrong on purpose: each is caught by a gate, and the right one passes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from edgekd.artifact import TOKENIZER, Artifact, Manifest
from edgekd.assess import Assessed, Assessor
from edgekd.data import Data
from edgekd.errors import EdgekdError
from edgekd.recipe import Recipe, load
from edgekd.stage import STAGES, Job, Stage
from edgekd.store import Store
from tests.conftest import Quiet, Ran


class Bench:
    """The small recipe's student and ONNX file, with what assesses an altered one."""

    def __init__(self, ran: Ran, root: Path) -> None:
        self.recipe: Recipe = load(ran.recipe)
        self.data = Data(self.recipe.data, self.recipe.seed)
        self.assess = Assessor(self.recipe, self.data, Store(root / "store"), Quiet())
        self.student, self.onnx = (Artifact.load(ran.folder / name) for name in ("student", "onnx"))
        self.root = root

    def stage(self, name: str, **options: Any) -> Stage:
        return STAGES.get(name).model_validate({"source": "student", **options})

    def altered(self, change: Callable[[onnx.ModelProto], None]) -> Artifact:
        """The ONNX artifact with its graph changed, sealed as if it had been made so."""
        folder = self.root / "altered"
        folder.mkdir()
        model = onnx.load(str(self.onnx.path / "model.onnx"))
        change(model)
        onnx.save(model, str(folder / "model.onnx"))
        (folder / TOKENIZER).write_bytes((self.onnx.path / TOKENIZER).read_bytes())
        fields = {name: getattr(self.onnx.manifest, name) for name in Manifest.__dataclass_fields__}
        return Artifact.seal(folder, Manifest(**{**fields, "facts": {}, "files": {}}))

    def failed(self, artifact: Artifact, stage: Stage) -> list[str]:
        source = self.assess(self.student, self.stage("export_onnx"), None)
        found: Assessed = self.assess(artifact, stage, source)
        return [gate.name for gate in found.gates if not gate.passed]


@pytest.fixture
def bench(ran: Ran, tmp_path: Path) -> Bench:
    return Bench(ran, tmp_path)


def weights(model: onnx.ModelProto, width: int) -> list[onnx.TensorProto]:
    """Float matrices whose last side is `width`."""
    return [t for t in model.graph.initializer if t.data_type == 1 and len(t.dims) == 2 and t.dims[1] == width]


def replace(tensor: onnx.TensorProto, values: Any) -> None:
    tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(values, dtype=np.float32), tensor.name))


def test_the_right_one_passes(bench: Bench) -> None:
    assert bench.failed(bench.altered(lambda model: None), bench.stage("export_onnx")) == []


def test_a_shuffled_weight(bench: Bench) -> None:
    def shuffle(model: onnx.ModelProto) -> None:
        for tensor in weights(model, 64):
            values = numpy_helper.to_array(tensor)
            replace(tensor, values[:, np.random.default_rng(0).permutation(values.shape[1])])

    assert "largest difference of an output" in bench.failed(bench.altered(shuffle), bench.stage("export_onnx"))


def test_a_swapped_label(bench: Bench) -> None:
    def swap(model: onnx.ModelProto) -> None:
        output = next(node for node in model.graph.node if "logits" in node.output)
        for tensor in model.graph.initializer:
            if tensor.name in output.input:
                values = numpy_helper.to_array(tensor)
                axis = list(values.shape).index(2)
                replace(tensor, np.flip(values, axis))

    failed = bench.failed(bench.altered(swap), bench.stage("quantize_onnx"))
    assert failed == ["drop of matthews_correlation", "share of equal answers"]


def test_a_mask_that_is_not_seen(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows alone have nothing to mask: only the padded batch tells."""
    from edgekd.kd.graph import Graph

    def deaf(self: Any, input_ids: Any, attention_mask: Any, token_type_ids: Any = None) -> Any:
        zeros = (attention_mask[:, None, None, :] * 0).float()
        return self.inner(input_ids=input_ids, attention_mask=zeros, token_type_ids=token_type_ids).logits

    monkeypatch.setattr(Graph, "forward", deaf)
    work = job(bench, "deaf")
    stage = bench.stage("export_onnx")
    stage.run(work)
    assert bench.failed(sealed(work, bench.onnx), stage) == ["largest difference that padding makes"]


@pytest.mark.parametrize(("operators", "caught"), [(["MatMul", "Add"], True), (["MatMul"], False)])
def test_an_unclamped_mask_at_calibration(bench: Bench, operators: list[str], caught: bool) -> None:
    """A mask of -3e38 in the range of the scores leaves all scores one step, and attention uniform.

    Where the addition of the mask stays in float, the same file is right.
    """
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    from edgekd import calibration

    work = job(bench, "unclamped", bench.onnx)
    model = onnx.load(str(bench.onnx.path / "model.onnx"))
    tensors = [
        *model.graph.initializer,
        *(a.t for n in model.graph.node if n.op_type == "Constant" for a in n.attribute),
    ]
    masks = [t for t in tensors if t.data_type == 1 and not t.dims and float(numpy_helper.to_array(t)) == 1e4]
    assert masks
    for tensor in masks:
        tensor.CopyFrom(numpy_helper.from_array(np.float32(3e38).reshape(()), tensor.name))
    source = work.scratch / "unclamped.onnx"
    onnx.save(model, str(source))
    names = {entry.name for entry in model.graph.input}

    class Padded(CalibrationDataReader):  # type: ignore[misc]
        rows = calibration.samples(work, 32, together=32)

        def get_next(self) -> Any:
            row = next(self.rows, None)
            return None if row is None else {name: row[name] for name in names}

    quantize_static(
        source,
        work.out / "model.onnx",
        Padded(),
        op_types_to_quantize=operators,
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
    (work.out / TOKENIZER).write_bytes((bench.onnx.path / TOKENIZER).read_bytes())
    failed = bench.failed(sealed(work, bench.onnx), bench.stage("quantize_onnx", max_drop=0.1))
    assert bool(failed) == caught


def test_outputs_that_are_no_numbers(bench: Bench) -> None:
    def spoil(model: onnx.ModelProto) -> None:
        for tensor in weights(model, 64):
            replace(tensor, np.full(tensor.dims, np.nan))

    with pytest.raises(EdgekdError, match="40 of 40 outputs are no finite number"):
        bench.failed(bench.altered(spoil), bench.stage("export_onnx"))


def test_budgets(bench: Bench) -> None:
    right = bench.altered(lambda model: None)
    generous = {"min_score": 0.1, "max_mb": 100, "max_p50_ms": {"quick": 1e4}}
    assert bench.failed(right, bench.stage("export_onnx", budget=generous)) == []
    strict = {"min_score": 1.1, "max_mb": 0.001, "max_p50_ms": {"quick": 1e-6}}
    assert bench.failed(right, bench.stage("export_onnx", budget=strict)) == [
        "budget: matthews_correlation",
        "budget: megabytes",
        "budget: p50 ms on quick",
    ]


def job(bench: Bench, name: str, source: Artifact | None = None) -> Job:
    out, scratch = bench.root / name, bench.root / f"{name}_scratch"
    out.mkdir()
    scratch.mkdir()
    return Job(source or bench.student, {}, bench.data, out, scratch, 7, lambda *_: None)


def sealed(work: Job, like: Artifact) -> Artifact:
    fields = {name: getattr(like.manifest, name) for name in Manifest.__dataclass_fields__}
    return Artifact.seal(work.out, Manifest(**{**fields, "facts": {}, "files": {}}))
