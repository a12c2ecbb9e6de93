"""The search for a runtime's settings: what it takes, what it keeps beside the artifact, and who reads it there."""

import itertools
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgekd
from edgekd import bench, machine, measure, tuned, tuning
from edgekd.api import load, run
from edgekd.artifact import Artifact
from edgekd.board import Board
from edgekd.device import Device, RunOptions
from edgekd.errors import EdgekdError
from edgekd.predicting import Model, place
from edgekd.runtime import RUNTIMES, EngineDevice, installed
from edgekd.stage import STAGES, Job
from edgekd.store import write_text
from edgekd.testing import write_recipe
from edgekd.tuned import FILE, Tuned
from tests.conftest import artifact, build_encoder

TEXTS = [("the baker sees a bread .",), ("a bread sees .",), ("the baker eats the bread and the fish .",)] * 4
DEVICE = Device(name="here", tune=True, run=RunOptions(min_runs=5, repeats=1, min_s=0, warmup_s=0))


def quiet(label: str, done: float, total: float) -> None: ...


@pytest.fixture
def onnx(job: Callable[..., Job], tmp_path: Path) -> Artifact:
    work = job("onnx", artifact(build_encoder(tmp_path / "encoder"), "torch"))
    STAGES.get("export_onnx").model_validate({"source": "x"}).run(work)
    return Artifact.seal(work.out, artifact(work.out, "onnx").manifest)


def searched(
    given: Artifact,
    monkeypatch: pytest.MonkeyPatch,
    times: Callable[[int, Mapping[str, str], int], float],
    threads: tuple[int, ...] = (1,),
) -> Tuned:
    """What is found where a process with so many threads and these settings takes so long in its round."""

    def samples(artifact: Any, sample: Any, board: Any, at: EngineDevice, runs: int, skip: int) -> list[float]:
        return [times(at.threads, dict(at.settings), skip // runs)]

    monkeypatch.setattr(tuning.measure, "samples", samples)
    with Board(DEVICE.model_copy(update={"run": DEVICE.run.model_copy(update={"threads": threads})})) as board:
        return tuning.tune(given, TEXTS, board, quiet)


def verdicts(found: Tuned) -> dict[str, str]:
    return {trial.setting: trial.verdict for trial in found.trials}


def test_what_is_faster_in_every_round_is_taken(onnx: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    def times(threads: int, settings: Mapping[str, str], number: int) -> float:
        spinning = 0.8 if settings.get("spinning") == "off" else 1.0
        return spinning * {1: 1.0, 2: 0.7, 4: 0.8}.get(threads, 1.0)

    found = searched(onnx, monkeypatch, times, (1, 2, 4))
    assert (found.threads, found.settings) == (2, {"spinning": "off"})
    assert found.ratio == pytest.approx(0.56)
    assert (
        str(found)
        == "threads 2, spinning off: 0.56 (0.56 to 0.56) of the time with the device file's first thread count"
    )
    assert (
        verdicts(found).items()
        >= {
            "threads 2": "taken",
            "threads 4": "slower than what was taken",
            "spinning off": "taken",
            "arena off": "no gain",
            "skip_layer_norm fused": "no gain",
        }.items()
    )


@pytest.mark.parametrize(
    ("often", "gain"),
    [(4, 0.5), (5, 0.98)],
    ids=["not in every round", "too little"],
)
def test_what_may_be_chance_is_left(onnx: Artifact, monkeypatch: pytest.MonkeyPatch, often: int, gain: float) -> None:
    found = searched(onnx, monkeypatch, lambda threads, settings, number: gain if settings and number < often else 1.0)
    assert (found.threads, found.settings, found.ratio) == (1, {}, 1.0)
    assert set(verdicts(found).values()) == {"no gain"}
    assert str(found) == "nothing tried is faster than the device file's first thread count"


def test_a_machine_that_grows_faster_favours_nothing(onnx: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = itertools.count()
    found = searched(onnx, monkeypatch, lambda threads, settings, number: 0.96 ** next(asked))
    assert (found.threads, found.settings, found.ratio) == (1, {}, 1.0)


def test_what_gains_in_steps_and_not_in_all_is_left_out(onnx: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Mapping[str, str]] = []

    def times(threads: int, settings: Mapping[str, str], number: int) -> float:
        seen.append(settings)
        return 0.5 if settings == {"arena": "off"} and len(seen) < 40 else 1.0

    found = searched(onnx, monkeypatch, times)
    assert (found.settings, found.ratio) == ({}, 1.0)
    assert verdicts(found)["arena off"] == "taken"
    assert verdicts(found)["all of it: threads 1, arena off"] == "left out"


def test_what_answers_otherwise_is_refused(onnx: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    true = measure.outputs

    def outputs(given: Any, texts: Any, board: Any, progress: Any, at: EngineDevice) -> Any:
        logits, facts = true(given, texts, board, progress, at)
        return (logits[:, ::-1] if dict(at.settings).get("arena") else logits), facts

    monkeypatch.setattr(tuning.measure, "outputs", outputs)
    found = searched(onnx, monkeypatch, lambda threads, settings, number: 0.5 if settings.get("arena") else 1.0)
    assert found.settings == {}
    assert verdicts(found)["arena off"] == "refused: 0.0% of its answers are the same"


def test_what_does_not_run_is_left_and_the_rest_is_tried(onnx: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    def times(threads: int, settings: Mapping[str, str], number: int) -> float:
        if settings.get("spinning") == "off":
            raise EdgekdError("no such thing here", "Take another.")
        return 0.5 if settings.get("arena") else 1.0

    found = searched(onnx, monkeypatch, times)
    assert found.settings == {"arena": "off"}
    assert verdicts(found)["spinning off"] == "does not run there: no such thing here"

    def lost(threads: int, settings: Mapping[str, str], number: int) -> float:
        raise EdgekdError("the device is gone")

    with pytest.raises(EdgekdError, match="the device is gone"):
        searched(onnx, monkeypatch, lost)


def test_a_bench_follows_it_with_the_same_libraries_alone(onnx: Artifact) -> None:
    best, usual = EngineDevice("cpu", 1, (("arena", "off"),)), EngineDevice("cpu", 1)
    libraries = installed(("onnxruntime",))
    with Board(Device(name="this machine", run=RunOptions(threads=(1,)))) as board:
        assert bench._places(onnx, "onnxruntime", board, libraries) == [usual]
        keep(onnx, entry(onnx))
        assert bench._places(onnx, "onnxruntime", board, libraries) == [usual, best]
        assert bench._places(onnx, "onnxruntime", board, {"onnxruntime": "0.0.1"}) == [usual]


def entry(given: Artifact, **more: Any) -> Tuned:
    libraries = {**installed(("onnxruntime",)), "edgekd": edgekd.__version__}
    own = tuned.telling(machine.fingerprint())
    found = Tuned("here", "onnxruntime", own, libraries, 1, {"arena": "off"}, 0.9, 0.8, 0.95, ())
    return replace(found, **more)


def keep(given: Artifact, found: Tuned) -> None:
    write_text(given.path / FILE, tuned.among(given.path, found))


def test_it_is_read_where_it_was_found_and_nowhere_else(onnx: Artifact) -> None:
    best, usual = EngineDevice("cpu", 1, (("arena", "off"),)), EngineDevice("cpu", 0)
    assert place(onnx) == usual
    digest = onnx.digest
    keep(onnx, entry(onnx))
    assert place(onnx) == best
    assert Artifact.load(onnx.path).digest == digest  # and sound
    others: list[dict[str, Any]] = [
        {"machine": {**entry(onnx).machine, "cores": 77}},
        {"libraries": {"onnxruntime": "0.1"}},
    ]
    others.append({"settings": {}, "ratio": 1.0})  # nothing was found: all cores stay the choice
    for other in others:
        (onnx.path / FILE).unlink()
        keep(onnx, entry(onnx, **other))
        assert place(onnx) == usual
    keep(onnx, entry(onnx, device="another", threads=2))
    assert [found.device for found in tuned.read(onnx.path)] == ["here", "another"]
    keep(onnx, entry(onnx, device="another"))
    assert len(tuned.read(onnx.path)) == 2
    assert place(onnx) == best
    with Model(onnx.path) as model:
        assert model.predict(["the baker sees ."])
        assert [key[2] for key in model._engine._kept] == [best]


@pytest.mark.parametrize(
    "broken",
    [
        "",
        "[]",
        "{}",
        '{"tuned": 1}',
        '{"tuned": [{}]}',
        '{"tuned": [null]}',
        {"threads": 0},
        {"threads": "1"},
        {"settings": {"arena": 1}},
        {"settings": []},
        {"trials": [{}]},
        {"trials": [1]},
        {"ratio": "half"},
        {"more": 1},
    ],
)
def test_a_broken_file_is_said(onnx: Artifact, broken: Any) -> None:
    text = broken if isinstance(broken, str) else json.dumps({"tuned": [{**asdict(entry(onnx)), **broken}]})
    (onnx.path / FILE).write_text(text)
    with pytest.raises(EdgekdError, match=f"{FILE} cannot be read"):
        load(onnx.path)


def test_emulated_hardware_is_not_tuned() -> None:
    with pytest.raises(ValueError, match="emulated hardware tells nothing of speed"):
        Device(name="pi", tune=True, emulated=True)


def test_a_setting_that_the_runtime_does_not_have_is_said(onnx: Artifact) -> None:
    keep(onnx, entry(onnx, settings={"arena": "of"}))
    with pytest.raises(EdgekdError, match="ONNX Runtime has no setting 'arena of'"):
        load(onnx.path)


def test_a_run_searches_reports_and_keeps_what_it_found(
    encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the real clock; which setting wins is the machine's business."""
    monkeypatch.setattr(tuning, "_ROUNDS", 2)
    monkeypatch.setattr(tuning, "_RUNS", 5)
    monkeypatch.setattr(tuning, "_GAIN", 9.0)  # so that all is taken that is faster in both rounds
    (tmp_path / "here.yaml").write_text(
        "name: here\ntune: true\nruntimes: [onnxruntime]\n"
        "run: {min_runs: 5, repeats: 1, min_s: 0, warmup_s: 0, score_rows: 8}\n"
    )
    steps = (f"{{id: small, stage: finetune, model: {encoder}, epochs: 1}}", "{id: onnx, stage: export_onnx}")
    recipe = write_recipe(tmp_path, *steps)
    recipe.write_text(recipe.read_text().replace("devices: []", f"devices: [{tmp_path / 'here.yaml'}]"))
    report = run(recipe, tmp_path / "runs")
    folder = tmp_path / "runs" / report.name
    step = report.steps[-1]
    (onnx,) = step.tuned
    assert tuned.read(folder / "onnx") == (onnx,)
    timed = {timing.device: (timing.threads, timing.settings) for timing in step.timings}
    assert timed.pop("here") == (1, {})
    assert timed == ({"here, tuned": (onnx.threads, onnx.settings)} if onnx.ratio < 1 else {})
    assert {"spinning off", "arena off", "skip_layer_norm fused"} <= set(verdicts(onnx))
    for name in ("report.md", "report.html"):
        told = (folder / name).read_text()
        assert "Tuned" in told
        assert "skip_layer_norm fused" in told
    assert run(recipe, tmp_path / "runs").steps[-1].tuned == (onnx,)  # kept, not searched again

    device = Device(name="here", run=RunOptions(min_runs=5, repeats=1, min_s=0, warmup_s=0))
    benched = bench.bench(device, [folder / "onnx"], [TEXTS], [bench.Shape()], quiet)
    places = [(found.timing.threads, found.timing.settings) for found in benched]
    assert places[0] == (1, {})
    assert places[-1] == (onnx.threads, onnx.settings)


@pytest.mark.parametrize("name", [name for name in RUNTIMES.names if RUNTIMES.get(name).settings])
def test_each_setting_of_a_runtime_gives_its_answers(name: str, job: Callable[..., Job], tmp_path: Path) -> None:
    stages = {"onnxruntime": "export_onnx", "openvino": "export_openvino", "tflite": "export_tflite"}
    pytest.importorskip({"tflite": "litert_torch"}.get(name, name))
    work = job(name, artifact(build_encoder(tmp_path / "encoder"), "torch"))
    STAGES.get(stages[name]).model_validate({"source": "x"} | ({"lengths": [8]} if name == "tflite" else {})).run(work)
    ids = np.array([[2, 7, 8, 9, 3]], dtype=np.int64)
    row = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    backend = RUNTIMES.get(name)()
    usual = backend.compile(work.out, EngineDevice()).run(row)["logits"]
    for setting, values in backend.settings.items():
        for value in values:
            made = backend.compile(work.out, EngineDevice("cpu", 1, ((setting, value),)))
            # bf16 has 8 bits.
            assert made.run(row)["logits"] == pytest.approx(usual, abs=3e-2 if value == "bf16" else 1e-4)
            made.close()
    with pytest.raises(EdgekdError, match="has no setting 'nothing on'"):
        backend.compile(work.out, EngineDevice("cpu", 1, (("nothing", "on"),)))
