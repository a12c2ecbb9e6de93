"""`edgekd devices` on this machine."""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result
from onnx import numpy_helper

from edgekd import measure
from edgekd.artifact import MANIFEST, Artifact
from edgekd.board import Board
from edgekd.cli import cli
from edgekd.device import Device
from edgekd.errors import EdgekdError
from edgekd.providers.system import System
from tests.conftest import Ran

QUICK = "name: quick\nrun: {min_runs: 24, min_s: 0, repeats: 2, warmup_s: 0.01, max_s: 5}\n"


@pytest.fixture(autouse=True)
def devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDGEKD_CACHE", str(tmp_path / "cache"))
    (tmp_path / "devices").mkdir()
    (tmp_path / "devices" / "quick.yaml").write_text(QUICK)


def call(*argv: str) -> Result:
    return CliRunner().invoke(cli, ["devices", *argv])


def test_list_and_doctor() -> None:
    assert "quick" in call("list").output and "local, Python by system, every runtime" in call("list").output
    done = call("doctor", "quick")
    assert done.exit_code == 0, done.output
    assert "ok    agent: Python 3" in done.output and "ok    onnxruntime: onnxruntime 1" in done.output


def test_the_doctor_ends_with_1_where_nothing_can_be_measured(tmp_path: Path) -> None:
    (tmp_path / "devices" / "bare.yaml").write_text("name: bare\nprovider: {type: system, python: /no/python}\n")
    done = call("doctor", "bare")
    assert done.exit_code == 1 and "FAIL  agent" in done.output, done.output
    (tmp_path / "devices" / "other.yaml").write_text('name: other\nexpect: {model: "Raspberry Pi 5*"}\n')
    done = call("doctor", "other")
    assert done.exit_code == 1 and "is another machine" in done.output


def test_bench_a_step_of_a_run(ran: Ran, tmp_path: Path) -> None:
    done = call("bench", "quick", str(ran.folder / "onnx_int8"), str(ran.folder / "onnx"), "--json", "out.json")
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "out.json").read_text())
    assert [entry["artifact"] for entry in found] == ["onnx_int8", "onnx"]
    for entry in found:
        assert [len(part) for part in entry["timing"]["latency"]["processes"]] == [12, 12]
        assert entry["percentiles"]["p50"]["value"] > 0 and entry["percentiles"]["p99"] is None
        assert {state["samples"] for state in entry["timing"]["states"]} == {0, 12}
    assert "too few" in done.output and "onnx, 1 x real lengths, 1 thread: p99 is not stated: 24 samples" in done.output


def test_bench_lengths_and_batches_on_texts_of_ones_own(ran: Ran, tmp_path: Path) -> None:
    (tmp_path / "texts").write_text("the cat sees a dog .\n\nthe dog not likes a cat .\n")
    argv = ["--texts", "texts", "--lengths", "4,16", "--batches", "1,8", "--threads", "1", "--json", "out.json"]
    done = call("bench", "quick", str(ran.folder / "onnx"), *argv)
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "out.json").read_text())
    shapes = [(entry["shape"]["batch"], entry["shape"]["length"]) for entry in found]
    assert shapes == [(1, 4), (8, 4), (1, 16), (8, 16)]
    middle = {shape: entry["percentiles"]["p50"]["value"] for shape, entry in zip(shapes, found, strict=True)}
    assert middle[8, 16] > middle[1, 4]


def test_bench_tells_where_the_time_goes(ran: Ran, tmp_path: Path) -> None:
    done = call("bench", "quick", str(ran.folder / "onnx"), "--profile", "--json", "out.json")
    assert done.exit_code == 0, done.output
    (entry,) = json.loads((tmp_path / "out.json").read_text())
    spent = entry["timing"]["operators"]
    assert {"MatMul", "Gather"} <= spent.keys() and all(seconds > 0 for seconds in spent.values())
    assert list(spent.values()) == sorted(spent.values(), reverse=True)
    assert "onnx, 1 x real lengths, 1 thread, by operator:" in done.output and " ms  MatMul" in done.output
    assert (
        f" ms  {len(spent) - 6} other kinds" in done.output and len(re.findall(r"^ +[0-9]+% ", done.output, re.M)) == 7
    )
    profiled = QUICK.replace("5}", "5, profile: true}")
    (tmp_path / "devices" / "telling.yaml").write_text(profiled.replace("quick", "telling"))
    assert "by operator" not in call("bench", "telling", str(ran.folder / "onnx"), "--no-profile").output


def test_sustained_tells_latency_over_time(ran: Ran, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgekd.measure._WATCH_S", 0.1)
    done = call("bench", "quick", str(ran.folder / "onnx"), "--sustained", "2s")
    assert done.exit_code == 0, done.output
    assert "over " in done.output and "  90% p50 " in done.output


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["--lengths", "8,x"], "--lengths 8,x: no list of whole numbers"),
        (["--sustained", "2d"], "--sustained 2d: no time"),
        (["--texts", "empty"], "empty holds no line of text"),
        (["--texts", "latin"], "byte 0xe9 is not UTF-8"),
        (["--lengths", "999"], "the model does not run 1 x 999 tokens: "),
    ],
)
def test_what_is_wrong_is_told(argv: list[str], told: str, ran: Ran, tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "latin").write_bytes(b"a cat\ncaf\xe9\n")
    done = call("bench", "quick", str(ran.folder / "onnx"), *argv)
    assert isinstance(done.exception, EdgekdError) and told in done.exception.problem
    if "latin" in argv:
        assert done.exception.where == "latin:2:4" and "iconv" in done.exception.hint


def test_a_run_is_no_step_of_it(ran: Ran) -> None:
    done = call("bench", "quick", str(ran.folder))
    assert isinstance(done.exception, EdgekdError) and "is no artifact" in done.exception.problem
    assert str(ran.folder / "onnx_int8") in done.exception.hint


def test_what_the_device_does_not_have_is_told(ran: Ran, tmp_path: Path) -> None:
    (tmp_path / "devices" / "lite.yaml").write_text("name: lite\nruntimes: [tflite]\n")
    done = call("bench", "lite", str(ran.folder / "onnx"))
    assert isinstance(done.exception, EdgekdError) and "lite does not have onnxruntime" in done.exception.problem


def test_the_agent_as_one_file_answers_as_the_package_does(ran: Ran) -> None:
    """A Python that is named gets the archive, the one that runs edgekd the package: here they are the same."""
    artifact = Artifact.load(ran.folder / "onnx_int8")
    texts = [("the cat sees a dog .",), ("the dog not likes a cat .",)] * 10
    package, archive = Device(name="package"), Device(name="archive", provider=System(python=sys.executable))
    assert package.here and not archive.here
    told = []
    for device in (package, archive):
        with Board(device) as board:
            logits, facts = measure.outputs(artifact, texts, board, lambda *event: None)
            told.append((logits, facts["precision"], facts["libraries"]))
            assert list(Path(board.scratch).parent.iterdir()) == []
    np.testing.assert_array_equal(told[0][0], told[1][0])
    assert told[0][1:] == told[1][1:]


def test_the_agent_takes_its_outputs_along_when_who_asked_is_gone(ran: Ran, tmp_path: Path) -> None:
    """A killed run's standard input closes, wherever the agent is; nobody else would remove what it wrote."""
    rows, outputs = str(tmp_path / "rows.npz"), tmp_path / "outputs.npy"
    np.savez(rows, ids=np.array([2, 5, 3, 2, 6, 7, 3]), types=np.zeros(7, np.int64), ends=np.array([3, 7]))
    job = {"do": "score", "deadline": 60, "artifact": str(ran.folder / "onnx"), "runtime": "onnxruntime", "threads": 1}
    argv = [sys.executable, "-m", "edgekd.worker"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as agent:
        assert agent.stdin and agent.stdout
        agent.stdin.write(json.dumps({**job, "inputs": rows, "longest": rows, "outputs": str(outputs)}) + "\n")
        agent.stdin.flush()
        assert any('"kind": "facts"' in line for line in agent.stdout)
        assert np.load(outputs).shape == (2, 2) and agent.poll() is None
        agent.stdin.close()
        assert agent.wait() == 1
    assert not outputs.exists()


def test_a_device_that_answers_otherwise_fails_the_bench(ran: Ran, tmp_path: Path) -> None:
    # Its Python finds this first: what it computes is turned round before it is told.
    (tmp_path / "sitecustomize.py").write_text(
        "import numpy as np\nkept = np.save\nnp.save = lambda file, values: kept(file, -values)\n"
    )
    provider = f"{{type: system, python: {sys.executable}, path: {tmp_path}}}"
    (tmp_path / "devices" / "wrong.yaml").write_text(QUICK.replace("quick", f"wrong\nprovider: {provider}"))
    done = call("bench", "wrong", str(ran.folder / "onnx_int8"))
    assert done.exit_code == 1 and isinstance(done.exception, EdgekdError), done.output
    problem = done.exception.problem
    assert "answers as on this machine, where an output differs by" in problem and problem.endswith("limit is 0.98")


def test_what_is_no_number_on_the_device_is_told(ran: Ran, tmp_path: Path) -> None:
    folder = tmp_path / "nan"
    shutil.copytree(ran.folder / "onnx", folder)
    model = onnx.load(str(folder / "model.onnx"))
    bias = next(tensor for tensor in model.graph.initializer if tensor.name == "inner.classifier.bias")
    bias.CopyFrom(numpy_helper.from_array(np.full(2, np.nan, np.float32), bias.name))
    onnx.save(model, str(folder / "model.onnx"))
    manifest = Artifact.load(ran.folder / "onnx").manifest
    (folder / MANIFEST).unlink()
    artifact = Artifact.seal(folder, replace(manifest, files={}))
    with (
        Board(Device(name="pi", provider=System(python=sys.executable))) as board,
        pytest.raises(EdgekdError, match="nan: 10 of 10 outputs are no finite number on pi"),
    ):
        measure.outputs(artifact, [("the cat sees a dog .",)] * 10, board, lambda *event: None)


def test_clean_leaves_nothing_of_what_was_there(ran: Ran, tmp_path: Path) -> None:
    (tmp_path / "cache" / "files" / "0123").mkdir(parents=True)
    (tmp_path / "cache" / "files" / "0123" / "model").write_bytes(b"x" * 2_000_000)
    (tmp_path / "cache" / "environments" / "kept").mkdir(parents=True)
    done = call("clean", "quick")
    assert done.exit_code == 0 and done.output.startswith("2.0 MB freed in "), done.output
    assert not (tmp_path / "cache" / "files").exists() and (tmp_path / "cache" / "environments" / "kept").exists()
    assert call("clean", "quick", "--all").exit_code == 0
    assert not (tmp_path / "cache" / "environments").exists()


@pytest.mark.parametrize("name", ["two words", "x[1]"])
def test_clean_takes_its_own_folder_alone(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEKD_CACHE", str(tmp_path / name))
    for folder in (name, "x1", "two", "words"):
        (tmp_path / folder / "files").mkdir(parents=True)
    assert call("clean", "quick").exit_code == 0
    left = {folder for folder in (name, "x1", "two", "words") if (tmp_path / folder / "files").exists()}
    assert left == {"x1", "two", "words"}


def test_the_same_rows_are_the_same_file(ran: Ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A device that has them is sent nothing again, whatever the time of day."""
    sample = measure.sample(Artifact.load(ran.folder / "onnx"), [("the cat sees a dog .",)] * 3, 3)
    for moment, name in ((0.0, "first"), (1e9, "second")):
        monkeypatch.setattr("time.time", lambda now=moment: now)
        measure._pack(sample.tokens, tmp_path / name)
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()
    with np.load(tmp_path / "first") as packed:
        assert packed["ends"].tolist() == np.cumsum(sample.tokens.lengths).tolist()
