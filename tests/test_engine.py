"""The unified backend engine: every backend held to one contract, with its real runtime."""

import importlib.util
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekd.artifact import Artifact
from edgekd.data import Data
from edgekd.data_options import DataOptions
from edgekd.engine import Engine
from edgekd.errors import EdgekdError
from edgekd.runtime import RUNTIMES, EngineDevice, installed, serving, summary
from edgekd.stage import STAGES, Job
from tests.conftest import artifact, build_encoder

# Format -> the stage that makes it, and what it needs beside edgekd's own dependencies.
EXPORTS: dict[str, tuple[str, str]] = {
    "onnx": ("export_onnx", "onnx"),
    "openvino": ("export_openvino", "openvino"),
    "tflite": ("export_tflite", "litert_torch"),
    "executorch": ("export_executorch", "executorch"),
}
FORMATS = ["torch", *EXPORTS]


def needs(module: str) -> None:
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not installed")


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory, corpus: Path) -> Callable[[str], Path]:
    """The same encoder in any format, made by the stage that makes it."""
    root = tmp_path_factory.mktemp("formats")
    source = artifact(build_encoder(root / "torch"), "torch")
    Artifact.seal(source.path, source.manifest)
    options = {"source": str(corpus), "text": ["sentence"], "labels": ["no", "yes"], "max_length": 24}
    return made(root, source, Data(DataOptions.model_validate(options)))


def made(root: Path, source: Artifact, data: Data) -> Callable[[str], Path]:
    """Makes a source in any format, once."""

    def make(form: str) -> Path:
        if form != "torch" and not (root / form).exists():
            stage, module = EXPORTS[form]
            needs(module)
            (root / form).mkdir()
            (root / f"{form}_scratch").mkdir()
            chosen: dict[str, Any] = {"source": "x"} | ({"lengths": [8]} if form == "tflite" else {})
            options = STAGES.get(stage).model_validate(chosen)
            options.run(Job(source, {}, data, root / form, root / f"{form}_scratch", 7, lambda *_: None))
            Artifact.seal(root / form, artifact(root / form, form).manifest)
        return root / form

    return make


@pytest.fixture(scope="module")
def tagger(tmp_path_factory: pytest.TempPathFactory, tagged_corpus: Path) -> Callable[[str], Path]:
    """The same, of an encoder that answers for each token."""
    from edgekd.kd.encoder import load_classifier, save

    root = tmp_path_factory.mktemp("taggers")
    source = artifact(root / "torch", "torch")
    pretrained = build_encoder(root / "pretrained")
    save(load_classifier(pretrained, for_tokens=True, num_labels=5), source.path)
    (source.path / "tokenizer.json").write_bytes((pretrained / "tokenizer.json").read_bytes())
    Artifact.seal(source.path, source.manifest)
    data = Data(DataOptions.model_validate({"source": str(tagged_corpus), "task": "tokens", "max_length": 24}))
    return made(root, source, data)


@pytest.fixture
def engine() -> Iterator[Engine]:
    with Engine() as made:
        yield made


def row(length: int, seed: int = 0, count: int = 1) -> dict[str, Any]:
    ids = np.random.default_rng(seed).integers(5, 20, (count, length))
    return {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}


def test_every_backend_is_tried_here() -> None:
    formats = {form for name in RUNTIMES.names for form in RUNTIMES.get(name).reads}
    assert formats == set(FORMATS)


@pytest.mark.parametrize("form", FORMATS)
def test_a_backend_gives_the_models_outputs(form: str, sealed: Callable[[str], Path], engine: Engine) -> None:
    ours, theirs = engine.compile(sealed(form)), engine.compile(sealed("torch"))
    for length in (1, 8, 9, 24):
        inputs = row(length, seed=length)
        np.testing.assert_allclose(ours.run(inputs)["logits"], theirs.run(inputs)["logits"], atol=1e-4)


@pytest.mark.parametrize("form", FORMATS)
def test_padding_changes_nothing(form: str, sealed: Callable[[str], Path], engine: Engine) -> None:
    executable = engine.compile(sealed(form))
    short, long = row(5), row(11, seed=1)
    together = {name: np.concatenate([np.pad(short[name], ((0, 0), (0, 6))), long[name]]) for name in short}
    alone = np.concatenate([executable.run(short)["logits"], executable.run(long)["logits"]])
    np.testing.assert_allclose(executable.run(together)["logits"], alone, atol=1e-5)


@pytest.mark.parametrize("form", FORMATS)
def test_a_backend_answers_for_each_token(form: str, tagger: Callable[[str], Path], engine: Engine) -> None:
    ours, theirs = engine.compile(tagger(form)), engine.compile(tagger("torch"))
    short, long = row(5), row(9, seed=1)
    alone = [theirs.run(each)["logits"][0] for each in (short, long)]
    for each, expected in zip((short, long), alone, strict=True):
        np.testing.assert_allclose(ours.run(each)["logits"][0], expected, atol=1e-4)
    padded = {name: np.concatenate([np.pad(short[name], ((0, 0), (0, 4))), long[name]]) for name in short}
    together = ours.run(padded)["logits"]
    assert together.shape == (2, 9, 5)
    for found, expected in zip(together, alone, strict=True):
        np.testing.assert_allclose(found[: len(expected)], expected, atol=1e-4)


@pytest.mark.parametrize("form", FORMATS)
def test_outputs_are_written_in_place(form: str, sealed: Callable[[str], Path], engine: Engine) -> None:
    executable = engine.compile(sealed(form))
    first = executable.run(row(6))
    before, place = first["logits"].copy(), first["logits"].ctypes.data
    again = executable.run(row(7, seed=3), first)
    assert again is first and again["logits"].ctypes.data == place
    assert not np.array_equal(again["logits"], before)
    np.testing.assert_array_equal(again["logits"], executable.run(row(7, seed=3))["logits"])
    with pytest.raises(EdgekdError, match="outputs given for logits have shape"):
        executable.run(row(6, count=2), first)


@pytest.mark.parametrize("form", FORMATS)
def test_results_are_the_callers_own(form: str, sealed: Callable[[str], Path], engine: Engine) -> None:
    executable = engine.compile(sealed(form))
    first = executable.run(row(6))["logits"]
    kept = first.copy()
    executable.run(row(6, seed=5))
    np.testing.assert_array_equal(first, kept)


@pytest.mark.parametrize("form", FORMATS)
def test_what_is_compiled_is_kept_until_closed(form: str, sealed: Callable[[str], Path], engine: Engine) -> None:
    executable = engine.compile(sealed(form))
    assert engine.compile(sealed(form)) is executable
    assert engine.compile(sealed(form), shape=(1, 8)) is not executable
    assert engine.open == 2
    executable.close()
    executable.close()
    assert engine.open == 1 and executable.memory().held == 0
    with pytest.raises(EdgekdError, match="closed"):
        executable.run(row(4))
    assert engine.compile(sealed(form)) is not executable


@pytest.mark.parametrize("form", FORMATS)
def test_memory_is_accounted(form: str, sealed: Callable[[str], Path], engine: Engine) -> None:
    executable = engine.compile(sealed(form))
    executable.run(row(8))
    memory = executable.memory()
    assert memory.held >= 0 and memory.peak >= 0


@pytest.mark.parametrize("form", FORMATS)
def test_devices_and_precisions_are_named_not_guessed(form: str, sealed: Callable[[str], Path], engine: Engine) -> None:
    folder = sealed(form)
    with pytest.raises(EdgekdError, match="has no device 'cup'") as caught:
        engine.compile(folder, EngineDevice("cup"))
    assert "Did you mean 'cpu'?" in caught.value.hint
    with pytest.raises(EdgekdError, match="cannot be told to compute in 'fp7'"):
        engine.compile(folder, precision="fp7")
    backend = RUNTIMES.get(serving(form))
    assert len(set(backend.devices.values())) == len(backend.devices), "one to one"
    absent = [name for name in backend.devices if name != "cpu"]
    for name in absent:  # on a machine that has it, it compiles
        try:
            engine.compile(folder, EngineDevice(name))
        except EdgekdError as error:
            assert "cpu" in error.hint.lower()


@pytest.mark.parametrize("form", FORMATS)
def test_precision_is_told_by_what_ran(form: str, sealed: Callable[[str], Path], engine: Engine) -> None:
    told = "not told" if form == "executorch" else "fp32"
    assert engine.compile(sealed(form)).precision(row(8)) == told


@pytest.mark.parametrize("form", ["onnx", "openvino"])
def test_one_shape_is_all_it_takes(form: str, sealed: Callable[[str], Path], engine: Engine) -> None:
    fixed, free = engine.compile(sealed(form), shape=(1, 8)), engine.compile(sealed(form))
    np.testing.assert_allclose(fixed.run(row(8))["logits"], free.run(row(8))["logits"], atol=1e-5)
    with pytest.raises(EdgekdError, match="a shape is"):
        engine.compile(sealed(form), shape=(0, 8))


def test_tflite_takes_the_shapes_of_its_file(sealed: Callable[[str], Path], engine: Engine) -> None:
    folder = sealed("tflite")
    engine.compile(folder, shape=(1, 8)).run(row(8))
    with pytest.raises(EdgekdError, match="no graph for length 9"):
        engine.compile(folder, shape=(1, 9))
    with pytest.raises(EdgekdError, match="a row of 25 tokens, the longest graph takes 24"):
        engine.compile(folder).run(row(25))


@pytest.mark.parametrize(
    ("form", "file"), [("onnx", "model.onnx"), ("openvino", "model.xml"), ("tflite", "model.tflite")]
)
def test_a_broken_file_is_a_clear_error(
    form: str, file: str, sealed: Callable[[str], Path], engine: Engine, tmp_path: Path
) -> None:
    for part in sealed(form).iterdir():
        (tmp_path / part.name).write_bytes(part.read_bytes())
    (tmp_path / file).write_bytes(b"not a model")
    (tmp_path / "manifest.json").unlink()
    Artifact.seal(tmp_path, artifact(tmp_path, form).manifest)
    with pytest.raises(EdgekdError, match="cannot load"):
        engine.compile(tmp_path)


def test_an_unknown_operator_is_a_clear_error(engine: Engine, tmp_path: Path) -> None:
    import onnx
    from onnx import TensorProto, helper

    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Teleport", ["input_ids"], ["logits"], domain="nowhere")],
        "g",
        [value("input_ids", TensorProto.INT64, ["batch", "length"])],
        [value("logits", TensorProto.FLOAT, ["batch", 2])],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("nowhere", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), str(tmp_path / "model.onnx"))
    Artifact.seal(tmp_path, artifact(tmp_path, "onnx").manifest)
    with pytest.raises(EdgekdError, match=r"ONNX Runtime cannot load .*Teleport"):
        engine.compile(tmp_path)


def test_executorch_has_one_pool_of_threads(sealed: Callable[[str], Path]) -> None:
    folder = sealed("executorch")
    with Engine() as first, Engine() as second:
        one = first.compile(folder, EngineDevice(threads=1))
        second.compile(folder, EngineDevice(threads=1))
        with pytest.raises(EdgekdError, match="and models that use 1 are open") as caught:
            first.compile(folder, EngineDevice(threads=2))
        assert "threads: 1 here too" in caught.value.hint
        assert one.run(row(4))["logits"].shape == (1, 2)
    with Engine() as later:
        assert later.compile(folder, EngineDevice(threads=2)).run(row(4))["logits"].shape == (1, 2)


def test_a_runtime_reads_its_own_formats(sealed: Callable[[str], Path], engine: Engine) -> None:
    with pytest.raises(EdgekdError, match="does not read torch artifacts"):
        engine.compile(sealed("torch"), runtime="onnxruntime")


CLOSER = """\
import gc, signal, sys
from pathlib import Path
from edgekd.engine import Engine
engines = [Engine(), Engine()]
for engine in engines:
    engine.compile(Path(sys.argv[1]))
while engines:
    engines.pop(0).close()
    gc.collect()
signal.signal(signal.SIGINT, signal.default_int_handler)  # who started it may have had it ignored
try:
    signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.parametrize("form", FORMATS)
def test_an_interrupt_is_one_after_models_were_closed(form: str, sealed: Callable[[str], Path]) -> None:
    done = subprocess.run([sys.executable, "-c", CLOSER, str(sealed(form))], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "interrupted\n"), done.stderr


def test_one_of_two_libraries_is_enough() -> None:
    assert list(installed(("no-such-thing|numpy",))) == ["numpy"]
    with pytest.raises(EdgekdError, match="no-such-thing is not installed"):
        installed(("no-such-thing|nor-this",))


def test_a_summary_counts_products() -> None:
    assert summary({}) == "not told"
    assert summary({"fp32": 12}) == "fp32"
    assert summary({"fp32": 8, "int8": 24}) == "int8 in 24, fp32 in 8 of 32 matrix products"


def test_litert_by_its_compiled_model_and_by_its_interpreter(sealed: Callable[[str], Path]) -> None:
    """The same answers: boards that have the interpreter alone are served by that."""
    from edgekd.runtimes.tflite import _Compiled, _Interpreter

    file = sealed("tflite") / "model.tflite"
    ours, theirs = _Compiled(file, 1, None), _Interpreter(file, 1, None)
    for length in (1, 5, 8, 12, 24):
        ids = 5 + np.arange(length)[None] % 15
        row = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        np.testing.assert_array_equal(ours.run(row)["logits"], theirs.run(row)["logits"])
    ours.close()
    theirs.close()


_UNCLOSED = """
import atexit, sys
import numpy as np
from pathlib import Path
from edgekd.engine import Engine
atexit.register(lambda: print("python's own end", file=sys.stderr))
executable = Engine().compile(Path(sys.argv[1]))
ids = np.full((1, 5), 7)
executable.run({"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)})
"""


def test_litert_says_nothing_of_accelerators_that_are_not_there(sealed: Callable[[str], Path]) -> None:
    """Not when it loads, not when it runs, and not when a process ends that has closed nothing."""
    given = [sys.executable, "-c", _UNCLOSED, str(sealed("tflite"))]
    ended = subprocess.run(given, capture_output=True, text=True, check=True)
    assert ended.stderr == "python's own end\n"
    assert ended.stdout == ""
