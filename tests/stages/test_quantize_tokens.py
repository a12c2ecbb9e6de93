"""Token tables as codes: what they stand for, what is stored, what students and every target make of them."""

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import load_file, save_file
from threadpoolctl import threadpool_limits
from torch import nn

from edgekd.artifact import Artifact
from edgekd.engine import Engine
from edgekd.errors import EdgekdError
from edgekd.kd import encoder, tagger
from edgekd.kd.coded import ENTRIES, CodedTable, coded, stored
from edgekd.kd.student import shaped
from edgekd.stage import MOST_SEED, STAGES, Job
from edgekd.start import Shape
from tests.conftest import artifact, build_encoder

TOKENS = 600
EXPORTS = {
    "onnx": ("export_onnx", ("onnx",)),
    "openvino": ("export_openvino", ("openvino", "nncf")),
    "tflite": ("export_tflite", ("litert_torch",)),
    "executorch": ("export_executorch", ("executorch", "torchao")),
}


def large(folder: Path, kind: str = "bert", layers: int = 2) -> Path:
    """An encoder with more tokens than a codebook has entries."""
    model = encoder.load_classifier(build_encoder(folder, kind, layers))
    torch.manual_seed(0)
    model.resize_token_embeddings(TOKENS, mean_resizing=False)
    encoder.save(model, folder)
    return folder


def with_codes(job: Callable[..., Job], folder: Path, name: str = "coded", codes: int = 8) -> tuple[Path, Any]:
    """The stage's artifact, sealed, and its facts."""
    work = job(name, artifact(folder, "torch"))
    facts = STAGES.get("quantize_tokens").model_validate({"source": "x", "codes": codes}).run(work)
    Artifact.seal(work.out, artifact(work.out, "torch").manifest)
    return work.out, facts


def silent(label: str, done: float, total: float) -> None:
    pass


def test_few_vectors_are_coded_without_loss() -> None:
    draw = torch.Generator().manual_seed(0)
    table = nn.Embedding(TOKENS, 12)
    table.weight.data = torch.randn(ENTRIES - 1, 12, generator=draw)[
        torch.randint(ENTRIES - 1, (TOKENS,), generator=draw)
    ]
    found = coded(table, 4, 7, silent)
    assert found.codes.shape == (TOKENS, 4) and found.codes.dtype == torch.int8 and found.books.shape == (4 * 256, 3)
    torch.testing.assert_close(found.weight, table.weight.detach(), atol=1e-5, rtol=0)
    ids = torch.tensor([[3, 599], [0, 3]])
    assert torch.equal(found(ids), found.weight[ids])


def test_the_vectors_by_hand() -> None:
    found = CodedTable(2, 4, 2)
    found.codes = torch.tensor([[-128, -127], [127, -128]], dtype=torch.int8)
    with torch.no_grad():
        found.books[0], found.books[255] = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0])
        found.books[256], found.books[257] = torch.tensor([5.0, 6.0]), torch.tensor([7.0, 8.0])
    assert found(torch.tensor([0, 1])).tolist() == [[1, 2, 7, 8], [3, 4, 5, 6]]


def test_more_codes_lose_less() -> None:
    table = nn.Embedding(TOKENS, 12)
    nn.init.normal_(table.weight, generator=torch.Generator().manual_seed(0))
    lost = [float((coded(table, parts, 7, silent).weight - table.weight).detach().norm()) for parts in (1, 3, 6, 12)]
    assert lost == sorted(lost, reverse=True) and lost[-1] < 0.1 * lost[0]


def test_a_seed_gives_the_same_codes_on_any_number_of_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    table = nn.Embedding(6000, 24)
    nn.init.normal_(table.weight, generator=torch.Generator().manual_seed(0))

    def made(seed: int) -> tuple[bytes, bytes]:
        found = coded(table, 3, seed, silent)
        return found.codes.numpy().tobytes(), found.books.detach().numpy().tobytes()

    first = made(MOST_SEED)
    assert made(7) != first
    monkeypatch.setenv("OMP_NUM_THREADS", "8")  # else scikit-learn takes no more than there are cores
    with threadpool_limits(8):
        assert made(MOST_SEED) == first


@pytest.mark.parametrize("kind", ["bert", "electra", "distilbert", "albert", "roberta"])
def test_an_encoder_is_stored_with_codes(kind: str, job: Callable[..., Job], tmp_path: Path) -> None:
    folder = large(tmp_path / "source", kind)
    out, facts = with_codes(job, folder)
    whole = encoder.load_classifier(folder)
    assert facts["parameters_before"] == sum(value.numel() for value in whole.parameters())
    # Of 600 vectors of 32 numbers, 8 codes each; beside them 8 codebooks of 256 parts of 4 numbers.
    assert facts["parameters"] == facts["parameters_before"] - TOKENS * 32 + TOKENS * 8 + 8 * 256 * 4
    assert 0.5 < facts["variance_kept"] < 1
    kept = load_file(out / "model.safetensors")
    assert not any(value.shape == (TOKENS, 32) for value in kept.values()), "the whole table must not be stored too"
    again = encoder.load_classifier(out).eval()
    assert stored(again) == facts["parameters"]
    # The same numbers as of a plain table that holds what the codes stand for.
    whole.get_input_embeddings().weight.data = again.get_input_embeddings().weight.detach().clone()
    ids = torch.randint(5, 20, (2, 7), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(again(ids).logits, whole.eval()(ids).logits, atol=1e-6, rtol=0)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("form", EXPORTS)
def test_every_target_reads_codes(form: str, precision: str, job: Callable[..., Job], tmp_path: Path) -> None:
    stage, modules = EXPORTS[form]
    for module in modules:
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    source, facts = with_codes(job, large(tmp_path / "source"))
    work = job(form, artifact(source, "torch"))
    chosen: dict[str, Any] = {"source": "x"} | ({"lengths": [8]} if form == "tflite" else {})
    if form != "onnx":
        chosen["precision"] = precision
    told = STAGES.get(stage).model_validate(chosen).run(work)
    assert told["parameters"] == facts["parameters"]
    if (form, precision) == ("onnx", "int8"):
        work = job("int8", artifact(work.out, "onnx"))
        STAGES.get("quantize_onnx").model_validate({"source": "x"}).run(work)
    Artifact.seal(work.out, artifact(work.out, form).manifest)
    ids = np.array([[2, 7, 9, 400, 599, 3]])
    row = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    with Engine() as engine:
        theirs, ours = (engine.compile(folder).run(row)["logits"] for folder in (source, work.out))
    np.testing.assert_allclose(ours, theirs, atol=1e-4 if precision == "fp32" else 0.05)


def test_int8_leaves_the_codes(job: Callable[..., Job], tmp_path: Path) -> None:
    source, _ = with_codes(job, large(tmp_path / "source"))
    plain = job("onnx", artifact(source, "torch"))
    STAGES.get("export_onnx").model_validate({"source": "x"}).run(plain)
    int8 = job("int8", artifact(plain.out, "onnx"))
    STAGES.get("quantize_onnx").model_validate({"source": "x"}).run(int8)
    for folder in (plain.out, int8.out):
        tables = {tuple(entry.dims): entry for entry in onnx.load(str(folder / "model.onnx")).graph.initializer}
        assert tables[(TOKENS, 8)].data_type == onnx.TensorProto.INT8
        assert (TOKENS, 32) not in tables
        assert tables[(8 * 256, 4)].data_type == (onnx.TensorProto.INT8 if folder == int8.out else 1)


def test_a_student_starts_with_the_codes_and_trains_the_books(job: Callable[..., Job], tmp_path: Path) -> None:
    out, _ = with_codes(job, large(tmp_path / "source", layers=4))
    teacher = encoder.load_classifier(out)
    for shape in ({"layers": 2}, {"layers": 2, "inner": 32}):
        student = shaped(teacher, Shape.model_validate(shape))
        table = student.get_input_embeddings()
        assert torch.equal(table.codes, teacher.get_input_embeddings().codes)
        assert torch.equal(table.books, teacher.get_input_embeddings().books)
        student(torch.tensor([[2, 7, 3]])).logits.sum().backward()
        assert table.books.grad.abs().sum() > 0
        assert [name for name, _ in student.named_parameters() if "codes" in name] == []
    with pytest.raises(EdgekdError, match="a coded token table cannot be narrowed"):
        shaped(teacher, Shape.model_validate({"layers": 2, "width": 16}))


@pytest.mark.parametrize("shape", [{"layers": 2}, {"layers": 2, "width": 16}])
def test_new_weights_have_no_codes(shape: dict[str, int], job: Callable[..., Job], tmp_path: Path) -> None:
    out, _ = with_codes(job, large(tmp_path / "source", layers=4))
    anew = shaped(encoder.load_classifier(out), Shape.model_validate({**shape, "random": True}))
    assert isinstance(anew.get_input_embeddings(), nn.Embedding) and not hasattr(anew.config, "token_codes")
    (tmp_path / "anew").mkdir()
    encoder.save(anew, tmp_path / "anew")
    again = encoder.load_classifier(tmp_path / "anew").get_input_embeddings()
    assert isinstance(again, nn.Embedding) and again.weight.shape == (TOKENS, shape.get("width", 32))


def test_taggers_are_coded_too(tmp_path: Path) -> None:
    dictionary = (("person", "place"), False)
    folder = large(tmp_path / "encoder")
    whole = encoder.load_classifier(folder, num_labels=5, dictionary=dictionary)
    lstm = tagger.recurrent(whole, 16, 12)
    for name, model in (("bert", whole), ("lstm", lstm)):
        model.set_input_embeddings(coded(model.get_input_embeddings(), 4, 7, silent))
        model.config.token_codes = 4
        (tmp_path / name).mkdir()
        encoder.save(model, tmp_path / name)
        again = encoder.load_classifier(tmp_path / name)
        ids, told = torch.tensor([[2, 7, 599, 3]]), torch.zeros(1, 4, whole.bits)
        ours, theirs = (one.eval()(ids, torch.ones_like(ids), told).logits for one in (again, model))
        assert torch.equal(ours, theirs)
    # A tagger on an encoder that was coded before.
    plain = encoder.load_classifier(folder)
    plain.set_input_embeddings(coded(plain.get_input_embeddings(), 4, 7, silent))
    plain.config.token_codes = 4
    encoder.save(plain, folder)
    started = encoder.load_classifier(folder, num_labels=5, dictionary=dictionary)
    assert torch.equal(started.get_input_embeddings().books, plain.get_input_embeddings().books)


def test_coded_tokens_can_be_trimmed(job: Callable[..., Job], tmp_path: Path) -> None:
    source, _ = with_codes(job, large(tmp_path / "source"))
    work = job("trimmed", artifact(source, "torch"))
    facts = STAGES.get("trim_vocabulary").model_validate({"source": "x", "max_tokens": 21}).run(work)
    assert json.loads((work.out / "config.json").read_text())["vocab_size"] == 21
    table = encoder.load_classifier(work.out).get_input_embeddings()
    assert table.codes.shape == (21, 8) and table.num_embeddings == 21
    before, after = (
        json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"] for folder in (source, work.out)
    )
    old = encoder.load_classifier(source).get_input_embeddings().weight
    kept = [before[token] for token in sorted(after, key=after.__getitem__)]
    assert kept != list(range(21)) and torch.equal(table.weight, old[kept])
    assert facts["parameters"] == stored(encoder.load_classifier(work.out))


def test_what_cannot_be_coded_is_refused(job: Callable[..., Job], tmp_path: Path) -> None:
    folder = large(tmp_path / "source")
    with pytest.raises(EdgekdError, match="codes: 5 do not divide the width 32") as told:
        with_codes(job, folder, "odd", 5)
    assert told.value.hint == "Numbers that do: 1, 2, 4, 8, 16."
    with pytest.raises(EdgekdError, match="codes: 32 make the table no smaller: its width is 32"):
        with_codes(job, folder, "whole", 32)
    out, _ = with_codes(job, folder)
    with pytest.raises(EdgekdError, match="the token table is coded already"):
        with_codes(job, out, "twice")
    with pytest.raises(EdgekdError, match="32 wide, would not be smaller in codes"):
        with_codes(job, build_encoder(tmp_path / "small"), "few")
    other = nn.EmbeddingBag(TOKENS, 32)
    with pytest.raises(EdgekdError, match="a token table of the kind EmbeddingBag cannot be coded"):
        STAGES.get("quantize_tokens").model_validate({"source": "x"})._fits(other)  # type: ignore[attr-defined]


def test_codes_that_are_missing_are_told(job: Callable[..., Job], tmp_path: Path) -> None:
    out, _ = with_codes(job, large(tmp_path / "source"))
    state = load_file(out / "model.safetensors")
    for name in ("codes", "books"):
        left = {key: value for key, value in state.items() if not key.endswith(f".{name}")}
        save_file(left, out / "model.safetensors")
        with pytest.raises(EdgekdError, match="codes of its token table, or their codebooks, are missing"):
            encoder.load_classifier(out)


def test_codes_that_are_not_as_many_are_told(job: Callable[..., Job], tmp_path: Path) -> None:
    out, _ = with_codes(job, large(tmp_path / "source"))
    config = json.loads((out / "config.json").read_text())
    (out / "config.json").write_text(json.dumps(config | {"token_codes": 4}))
    with pytest.raises(EdgekdError, match=r"has 8 codes a token, and its config\.json says 4"):
        encoder.load_classifier(out)


def test_openvino_in_4_bits_asks_nothing_of_codes(job: Callable[..., Job], tmp_path: Path) -> None:
    pytest.importorskip("nncf")
    source, _ = with_codes(job, large(tmp_path / "source"))
    options: dict[str, Any] = {"source": "x", "precision": "int4"}
    work = job("int4", artifact(source, "torch"))
    told = STAGES.get("export_openvino").model_validate(options).run(work)
    # Codes, and codebooks and positions in 8 bits.
    assert told["bytes_by_type"]["i8"] >= TOKENS * 8
    with pytest.raises(EdgekdError, match="group_size 32 does not divide") as error:
        STAGES.get("export_openvino").model_validate(options | {"all_layers": True}).run(job("all", work.source))
    assert error.value.hint == "Leave all_layers out."
