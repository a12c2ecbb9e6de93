"""What comes from anybody: a model's code, a pickle, and names that a terminal, a page or a shell would obey."""

import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgekd import hub, report_files, report_rows
from edgekd.bundle_card import card
from edgekd.bundle_requirements import Target
from edgekd.data import Data
from edgekd.data_options import DataOptions
from edgekd.device import Device
from edgekd.errors import EdgekdError
from edgekd.page.render import page
from edgekd.plain import brief, plain
from edgekd.predicting import Model
from edgekd.providers.bundle import Bundle
from edgekd.testing import build_encoder
from tests.conftest import Ran

MODELS = Path(__file__).parent / "bad" / "models"
EVIL = "</td><script>alert(1)</script><img src=x onerror=alert(1)>\n\n# Passed\n"


def test_no_loader_runs_the_code_of_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgekd.kd import encoder, loading, tagger
    from edgekd.kd.masked_lm import MaskedLM

    folder = shutil.copytree(MODELS / "own_code", tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("builtins.input", lambda *asked: pytest.fail(f"it asks whether to run it: {asked}"))
    loaders: list[Callable[[Path], Any]] = [
        lambda it: encoder.load_classifier(it, num_labels=2),
        lambda it: encoder.load_classifier(it, for_tokens=True, dictionary=(("A",), False), num_labels=3),
        lambda it: tagger.start(it, ("A",), False, num_labels=3),
        lambda it: MaskedLM(it, lambda word: True),
        loading.tokenizer_of,
    ]
    for load in loaders:
        with pytest.raises(EdgekdError, match="needs code of its own"):
            load(folder)
    assert not (tmp_path / "owned").exists()
    subprocess.run([sys.executable, folder / "code.py"], check=True)  # which it would have written
    assert (tmp_path / "owned").exists()


def test_the_command_that_converts_a_pickle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch
    from safetensors.torch import load_file

    folder = build_encoder(tmp_path / "a model; touch owned")
    weights = load_file(folder / "model.safetensors")
    names = sorted(weights)
    for number, part in enumerate((names[::2], names[1::2]), start=1):
        torch.save({name: weights[name] for name in part}, folder / f"pytorch_model-{number}.bin")
    torch.save({"lr": 1}, folder / "optimizer.pt")
    (folder / "model.safetensors").unlink()
    with pytest.raises(EdgekdError, match="holds its weights as a pickle") as caught:
        hub.fingerprint(str(folder))
    command = caught.value.hint.partition(": ")[2].replace("python", shlex.quote(sys.executable), 1)
    monkeypatch.chdir(tmp_path)
    subprocess.run(["bash", "-c", command], check=True)
    found = load_file(hub.fetch(str(folder)) / "model.safetensors")
    assert found.keys() == weights.keys() and all(torch.equal(found[name], weights[name]) for name in names)
    assert not (tmp_path / "owned").exists()
    # Of a pickle that would run code it makes nothing.
    evil = shutil.copytree(MODELS / "pickle_evil", tmp_path / "evil")
    with pytest.raises(EdgekdError) as caught:
        hub.fetch(str(evil))
    command = caught.value.hint.partition(": ")[2].replace("python", shlex.quote(sys.executable), 1)
    assert subprocess.run(["bash", "-c", command], capture_output=True).returncode
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a model; touch owned", "evil"]
    assert not (evil / "model.safetensors").exists()


def marked(value: Any) -> Any:
    """Every text of a report with markup behind it."""
    if isinstance(value, dict):
        return {name: marked(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [marked(inner) for inner in value]
    return f"{value}{EVIL}" if isinstance(value, str) else value


def test_a_report_of_nothing_but_markup(ran: Ran) -> None:
    report = report_rows.from_json(marked(ran.json))
    for shown in (page(report, f"name: {EVIL}"), report_files.markdown(report)):
        assert "alert(1)" in shown and "<script>alert" not in shown and "<img" not in shown
    assert "\n# Passed" not in report_files.markdown(report)


def test_a_card_of_labels_that_are_markup(ran: Ran) -> None:
    step = next(entry for entry in ran.json["steps"] if entry["step"] == "onnx")
    manifest = replace(Model(ran.folder / "onnx").artifact.manifest, labels=(EVIL, "yes"), text=(EVIL,))
    data = Data(DataOptions(source="embedded/acceptability", text=("sentence",), labels=(EVIL, "yes")))
    timings = [{**timing, "device": EVIL} for timing in step["timings"]]
    shown = card("small-onnx", manifest, ran.json, {**step, "timings": timings}, data, Target())
    assert "alert(1)" in shown and "<script>" not in shown and "<img" not in shown and "\n# Passed" not in shown


def test_what_a_terminal_would_obey_is_spelt_out() -> None:
    assert plain("a\x1b[2J\tb\nc\x9b\u202e\r") == "a\\u001b[2J\tb\nc\\u009b\\u202e\\u000d"
    told = json.dumps({"label": "\x1b]0;x\x07\u009b\ud800é"}, ensure_ascii=False)
    assert json.loads(plain(told)) == json.loads(told)
    assert len(brief("x" * 10_000)) < 900


def test_names_in_tables_are_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    from edgekd.terminal import Terminal

    with Terminal() as terminal:
        terminal.columns(["[red]name[/red]"], [["[/] [blink]\x1b[2J"]], {"name"})
        terminal.progress("[/] \x1b[2J", 1, 2)
    out = capsys.readouterr().out
    assert "[red]name[/red]" in out and "[/] [blink]\\u001b[2J" in out


def test_an_archive_whose_name_is_a_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEKD_CACHE", str(tmp_path / "cache"))
    archive = tmp_path / "python; touch owned; .tar.gz"
    (tmp_path / "bin").mkdir()
    subprocess.run(["tar", "czf", archive, "-C", tmp_path, "bin"], check=True)
    monkeypatch.chdir(tmp_path)
    with Device(name="here").transport.open() as link:
        made = Bundle(archive=archive).prepare(link, (), print)
    assert Path(made.env["PYTHONHOME"], "bin").is_dir() and not (tmp_path / "owned").exists()
