"""The command as a user types it: outputs, exit codes, messages."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Ran


def standard_input(text: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(text.encode(errors="surrogateescape")))


def test_run_and_plan(edgekd: Callable[..., tuple[int, str, str]], ran: Ran) -> None:
    code, out, _ = edgekd("run", ran.recipe, "--runs", ran.runs)
    doubts = sum(len(step["doubts"]) for step in ran.json["steps"])
    assert doubts and f"Read {doubts} doubts before quoting a figure: report.md" in out
    assert code == 0 and "onnx_int8" in out and "matthews_correlation" in out and "report.md" in out
    assert "\x1b" not in out and "━" not in out  # not a terminal: no colours, no bars
    code, out, _ = edgekd("plan", ran.recipe, "--runs", ran.runs)
    assert code == 0 and out.count("cached") == 4


def test_a_refused_artifact_ends_with_1(edgekd: Callable[..., tuple[int, str, str]], ran: Ran) -> None:
    where = ran.root / "refused"
    code, out, err = edgekd(
        "run", ran.recipe, "--runs", where, "--store", ran.store.root, "--set", "onnx.max_difference=1e-12"
    )
    assert code == 1 and "recipe.yaml:12:5: 'onnx' is refused" in err and "Report: " in out


@pytest.mark.parametrize(("place", "told"), [("/etc/passwd", "is no folder"), ("/proc/x", "cannot be made there")])
def test_what_cannot_be_a_folder_of_runs(
    edgekd: Callable[..., tuple[int, str, str]], ran: Ran, place: str, told: str
) -> None:
    code, _, err = edgekd("run", ran.recipe, "--runs", place)
    assert code == 1 and err.startswith("error: ") and place in err and told in err and "Choose" in err


def test_report(edgekd: Callable[..., tuple[int, str, str]], ran: Ran, tmp_path: Path) -> None:
    assert edgekd("report", ran.folder)[1] == (ran.folder / "report.md").read_text()
    assert json.loads(edgekd("report", ran.folder, "--format", "json")[1]) == ran.json
    code, _, err = edgekd("report", ran.runs / "smal")
    assert code == 1 and str(ran.folder) in err
    (tmp_path / "report.json").write_text("{")
    assert edgekd("report", tmp_path)[0] == 1


@pytest.mark.parametrize("step", ["teacher", "onnx", "onnx_int8"])
def test_predict(
    edgekd: Callable[..., tuple[int, str, str]], ran: Ran, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, _ = edgekd("predict", ran.folder / step, "the cat not sees a dog .")
    assert code == 0 and json.loads(out)["label"] == "no"
    lines = [
        "the cat sees a dog .",
        '"the cat not sees a dog ."',
        '{"sentence": "the cow helps a duck ."}',
        '["the cat not sees a dog ."]',
    ]
    monkeypatch.setattr(sys, "stdin", standard_input("".join(line + "\n" for line in lines)))
    code, out, _ = edgekd("predict", ran.folder / step)
    assert [json.loads(line)["label"] for line in out.splitlines()] == ["yes", "no", "yes", "no"]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('{"text": "x"}', "stdin:1: no field 'sentence'"),
        ("[1]", "stdin:1: a text is no string"),
        ('["a", "b"]', "2 sentences given, the model takes 1"),
        ('a cat\n{"sentence": "x"', "stdin:2: the line begins as JSON and is none"),
        ("a cat\n \na dog", "stdin:2: the line is blank"),
        ("a cat\ncaf\udce9", "stdin:2: byte 0xe9 is not UTF-8\n  Convert it: iconv"),
        ("", "standard input is empty"),
    ],
)
def test_bad_lines(
    edgekd: Callable[..., tuple[int, str, str]], ran: Ran, line: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", standard_input(line))
    code, out, err = edgekd("predict", ran.folder / "onnx")
    assert code == 1 and expected in err
    assert len(out.splitlines()) == line.count("a cat")  # what came before it is answered


def test_words_without_quotation_marks(edgekd: Callable[..., tuple[int, str, str]], ran: Ran) -> None:
    code, _, err = edgekd("predict", ran.folder / "onnx", "a", "moving", "film")
    assert code == 1 and '3 texts given, the model takes 1\n  Put a text in quotation marks: "a moving film"' in err


def test_predict_on_what_is_no_artifact(edgekd: Callable[..., tuple[int, str, str]], ran: Ran) -> None:
    code, _, err = edgekd("predict", ran.folder / "onxx", "x")
    assert code == 1 and "is no artifact" in err and str(ran.folder / "onnx_int8") in err


def test_explain(edgekd: Callable[..., tuple[int, str, str]]) -> None:
    code, listed, _ = edgekd("explain")
    assert code == 0
    for kind, topics in ((line.split(":")[0].strip(), line.split(":")[1]) for line in listed.splitlines()[1:]):
        for topic in topics.split(","):
            code, out, _ = edgekd("explain", topic.strip())
            assert code == 0 and len(out) > 60, (kind, topic)
    assert "learning_rate" in edgekd("explain", "finetune")[1]
    assert "Jiao et al" in edgekd("explain", "tinybert")[1] and "phase prediction" in edgekd("explain", "tinybert")[1]
    told = edgekd("explain", "max_drop")[1]
    assert "max_drop is a field of" in told and "quantize_onnx: Largest loss of the recipe's metric" in told
    code, _, err = edgekd("explain", "distil")
    assert code == 1 and "Did you mean 'distill'?" in err


def test_usage_errors_end_with_2(edgekd: Callable[..., tuple[int, str, str]]) -> None:
    assert edgekd("rum")[0] == 2
    assert edgekd("run")[0] == 2
    assert edgekd("--version")[0] == 0


def test_a_bug_ends_with_3_and_a_log(
    edgekd: Callable[..., tuple[int, str, str]], ran: Ran, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from edgekd import report_files

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def fail(folder: Path) -> None:
        raise ZeroDivisionError("a mistake of ours")

    monkeypatch.setattr(report_files, "read", fail)
    code, _, err = edgekd("report", ran.folder)
    assert code == 3 and "This is a bug in edgekd: ZeroDivisionError: a mistake of ours" in err
    log = Path(err.split()[-1])
    assert "Traceback" in log.read_text() and "edgekd 0." in log.read_text()


def test_an_interrupt_ends_with_130_and_the_run_goes_on(ran: Ran, tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "edgekd", "run", str(ran.recipe), "--runs", str(tmp_path)]
    argv += ["--set", "teacher.checkpoint_s=0.01", "--set", "teacher.epochs=40"]
    process = subprocess.Popen(
        argv,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell's background job ignores interrupts, and so would its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    # Training has begun where its first checkpoint lies.
    while process.poll() is None and not list(tmp_path.glob(".store/scratch/*/at-*")):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "run the same command again to go on" in err, err
    assert subprocess.run(argv, capture_output=True, check=False).returncode == 0


def test_a_reader_that_leaves(ran: Ran) -> None:
    command = f"{sys.executable} -m edgekd report {ran.folder} --format json | head -c 10"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True, env={**os.environ})
    assert done.stdout.startswith("{") and not done.stderr
