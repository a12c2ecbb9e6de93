"""The main job on a small model: artifacts, report, cache, gates, locks, kills."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from edgekd import pipeline
from edgekd.artifact import Artifact
from edgekd.errors import EdgekdError, RefusedError
from edgekd.plan import plan
from edgekd.recipe import load
from edgekd.store import Store
from tests.conftest import Quiet, Ran

STEPS = ("teacher", "student", "onnx", "onnx_int8")


def test_the_chain_learns_and_every_step_is_measured(ran: Ran) -> None:
    scores = {step.step: step.score.value for step in ran.report.steps}
    assert tuple(scores) == STEPS
    assert min(scores.values()) > 0.9, scores
    for step in ran.report.steps:
        (timing,) = step.timings
        assert len(timing.latency.seconds) == 24 and len(timing.load) == len(timing.first) == 2
        assert all(sample > 0 for sample in timing.latency.seconds)
        assert timing.peak_memory and timing.base_memory and timing.peak_memory > timing.base_memory
        assert len(timing.tokenizer.seconds) == 2 * 24
    assert ran.report.steps[2].timings[0].runtime == "onnxruntime"


def test_a_run_folder_holds_report_recipe_and_links(ran: Ran) -> None:
    for step in STEPS:
        link = ran.folder / step
        assert link.is_symlink() and not link.readlink().is_absolute()
        artifact = Artifact.load(link)
        assert (artifact.path / "tokenizer.json").is_file()
        assert artifact.manifest.labels == ("no", "yes")
        assert artifact.manifest.libraries and artifact.manifest.options
    assert set(Artifact.load(ran.folder / "student").manifest.parents) == {"teacher", "model.from"}
    raw = ran.json
    assert [step["step"] for step in raw["steps"]] == list(STEPS)
    assert raw["steps"][0]["timings"][0]["latency"]["p99"] is None  # 24 samples
    markdown = (ran.folder / "report.md").read_text()
    assert "too few" in markdown and "p99 is not stated: 24 samples, 662 needed" in markdown
    resolved = yaml.safe_load((ran.folder / "recipe.yaml").read_text())
    assert resolved["steps"][1]["teacher"] == "teacher"


def test_the_resolved_recipe_is_a_recipe_with_the_same_keys(ran: Ran, tmp_path: Path) -> None:
    (tmp_path / "devices").mkdir()
    (tmp_path / "devices" / "quick.yaml").write_text((ran.root / "devices" / "quick.yaml").read_text())
    copy = tmp_path / "recipe.yaml"
    copy.write_text((ran.folder / "recipe.yaml").read_text())
    assert all(item.cached for item in plan(load(copy), ran.store, ran.runs))


def test_int8_is_a_quarter_of_fp32(ran: Ran) -> None:
    import onnx

    fp32, int8 = (onnx.load(str(ran.folder / step / "model.onnx")).graph.initializer for step in ("onnx", "onnx_int8"))
    shapes = sorted(sorted(t.dims) for t in fp32 if len(t.dims) == 2 and t.data_type == onnx.TensorProto.FLOAT)
    kept = sorted(sorted(t.dims) for t in int8 if len(t.dims) == 2 and t.data_type == onnx.TensorProto.INT8)
    assert len(shapes) == 17 and kept == shapes  # 3 tables, 2 layers of 6 matrices, pooler, head
    assert not [t.name for t in int8 if t.data_type == onnx.TensorProto.FLOAT and len(t.dims) == 2 and t.dims[1] > 1]
    facts = Artifact.load(ran.folder / "onnx_int8").manifest.facts["quantized"]
    assert facts["int8_values"] > 0.9 * ran.report.steps[1].parameters  # type: ignore[operator]


def test_a_second_run_only_reports(ran: Ran) -> None:
    watcher = Quiet()
    again = pipeline.run(load(ran.recipe), ran.store, ran.runs, watcher)
    assert all(step.cached for step in again.steps)
    assert not watcher.labels
    first = [(step.score, step.timings) for step in ran.report.steps]
    assert [(step.score, step.timings) for step in again.steps] == first


def test_plan_says_what_changed_and_what_follows(ran: Ran) -> None:
    assert all(item.cached for item in plan(load(ran.recipe), ran.store, ran.runs))
    changed = plan(load(ran.recipe, ["steps.student.epochs=1"]), ran.store, ran.runs)
    assert changed[0].cached
    assert changed[1].changes == ("options.epochs: None -> 1",)
    assert changed[2].changes == ("sources.source changed",)
    # A limit is no part of the artifact: it is held to the new one, not made again.
    assert all(item.cached for item in plan(load(ran.recipe, ["onnx_int8.max_drop=0.5"]), ran.store, ran.runs))
    seeded = plan(load(ran.recipe, ["seed=8"]), ran.store, ran.runs)
    assert "seed: 7 -> 8" in seeded[0].changes


def test_the_key_holds_no_path(
    ran: Ran, tmp_path: Path, corpus: Path, encoder: Path, write_recipe: Callable[..., Path]
) -> None:
    import shutil

    moved_corpus, moved_encoder = tmp_path / "c", tmp_path / "e"
    shutil.copytree(corpus, moved_corpus)
    shutil.copytree(encoder, moved_encoder)
    recipe = write_recipe(tmp_path, (str(corpus), str(moved_corpus)), (str(encoder), str(moved_encoder)))
    assert all(item.cached for item in plan(load(recipe), ran.store, ran.runs))
    (moved_corpus / "train.csv").write_text((moved_corpus / "train.csv").read_text().replace("cat", "cow"))
    (first, *_) = plan(load(recipe), ran.store, ran.runs)
    assert first.changes and first.changes[0].startswith("data.sha256.train.csv")


def test_an_artifact_that_fails_a_gate_is_refused(ran: Ran, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    recipe = load(ran.recipe, ["onnx.max_difference=1e-12"])
    with pytest.raises(RefusedError, match="'onnx' is refused: largest difference"):
        pipeline.run(recipe, ran.store, runs, Quiet())
    assert not (runs / "small" / "onnx").exists() and (runs / "small" / "student").exists()
    assert "**Refused.**" in (runs / "small" / "report.md").read_text()
    for name in ("onnx", "onnx_int8"):
        with pytest.raises(EdgekdError, match="is no artifact") as told:
            Artifact.load(runs / "small" / name)
        assert told.value.hint.startswith("The run ended: 'onnx' is refused: largest difference")
        assert f"See {runs / 'small' / 'report.md'}. Artifacts there: " in told.value.hint


def test_what_an_earlier_run_left_is_not_taken_for_this_ones(ran: Ran, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    pipeline.run(load(ran.recipe), ran.store, runs, Quiet())
    (runs / "small" / "renamed").symlink_to(ran.store.path(ran.report.steps[0].key))
    with pytest.raises(RefusedError):
        pipeline.run(load(ran.recipe, ["onnx.max_difference=1e-12"]), ran.store, runs, Quiet())
    left = {link.name for link in (runs / "small").glob("*") if link.is_symlink()}
    assert left == {"teacher", "student"}


def test_a_run_that_goes_on_says_so(ran: Ran, tmp_path: Path) -> None:
    recipe, watcher = load(ran.recipe, ["onnx_int8.per_channel=false", "onnx_int8.max_drop=1"]), Quiet()
    (ran.store.scratch(plan(recipe, ran.store, ran.runs)[-1].key) / "checkpoint").touch()
    pipeline.run(recipe, ran.store, tmp_path, watcher)
    told = [line for line in watcher.lines if "stopped run left" in line]
    assert len(told) == 1 and watcher.lines.index(told[0]) == watcher.lines.index("[4/4] onnx_int8 (quantize_onnx)") + 1


def test_timings_are_taken_again_when_asked_for(ran: Ran, tmp_path: Path) -> None:
    again = pipeline.run(load(ran.recipe), ran.store, tmp_path, Quiet(), time_again=True)
    for ours, theirs in zip(again.steps, ran.report.steps, strict=True):
        assert ours.cached and ours.score == theirs.score
        assert ours.timings[0].latency.seconds != theirs.timings[0].latency.seconds


def test_a_model_made_wrong_on_purpose_is_caught(ran: Ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A weight is shuffled on its way through quantization: the file loads and answers, wrongly."""
    import numpy as np
    import onnx

    from edgekd.stages.quantize_onnx import QuantizeOnnx

    honest, tables = QuantizeOnnx._dynamic, 0

    def shuffled(self: QuantizeOnnx, source: Path, target: Path, floats: frozenset[str]) -> None:
        honest(self, source, target, floats)
        nonlocal tables
        model = onnx.load(str(target))
        for tensor in model.graph.initializer:
            if "word_embeddings" in tensor.name:
                values = np.frombuffer(tensor.raw_data, dtype=np.float32).copy()
                np.random.default_rng(0).shuffle(values)
                tensor.raw_data = values.tobytes()
                tables += 1
        onnx.save(model, str(target))

    monkeypatch.setattr(QuantizeOnnx, "_dynamic", shuffled)
    with pytest.raises(RefusedError, match="'onnx_int8' is refused"):
        pipeline.run(load(ran.recipe, ["onnx_int8.samples=64"]), ran.store, tmp_path / "runs", Quiet())
    assert tables == 1


def test_a_corrupt_artifact_is_found_before_it_is_used(ran: Ran, tmp_path: Path) -> None:
    import shutil

    store = tmp_path / "store"
    shutil.copytree(ran.store.root, store)
    victim = store / "artifacts" / ran.report.steps[0].key / "model.safetensors"
    content = bytearray(victim.read_bytes())
    content[-1] ^= 1
    victim.write_bytes(content)
    with pytest.raises(
        EdgekdError, match=r"corrupt artifact .*model.safetensors is not the file that was recorded"
    ) as caught:
        pipeline.run(load(ran.recipe), Store(store), tmp_path / "runs", Quiet())
    assert "rm -r" in caught.value.hint


def command(ran: Ran, *more: str) -> list[str]:
    """The run as a user types it, with checkpoints as often as they can be."""
    often = ("--set", "teacher.checkpoint_s=0.01", "--set", "student.checkpoint_s=0.01")
    return [sys.executable, "-m", "edgekd", "run", str(ran.recipe), *often, *more]


def digests(runs: Path) -> dict[str, str]:
    return {step: Artifact.load(runs / "small" / step).digest for step in STEPS}


def killed_runs(ran: Ran, tmp_path: Path, kills: int, seed: int) -> int:
    """Start the run and kill it at random moments until `kills` have hit, then let it end. Returns the hits."""
    import random

    draw = random.Random(seed)
    undisturbed = tmp_path / "undisturbed"
    start = time.monotonic()
    subprocess.run(command(ran, "--runs", str(undisturbed)), check=True, capture_output=True)
    span = time.monotonic() - start
    hits, runs = 0, tmp_path / "killed"
    while hits < kills:
        process = subprocess.Popen(
            command(ran, "--runs", str(runs)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(draw.uniform(0.2, span / 2))
        process.send_signal(signal.SIGKILL)
        if process.wait() == -signal.SIGKILL:
            hits += 1
        else:  # it had ended: begin anew
            import shutil

            assert digests(runs) == digests(undisturbed)
            shutil.rmtree(runs)
    subprocess.run(command(ran, "--runs", str(runs)), check=True, capture_output=True)
    assert digests(runs) == digests(undisturbed)
    store = runs / ".store"
    assert not list((store / "tmp").glob("*")) and not list((store / "scratch").glob("*"))
    return hits


def test_killed_runs_end_in_the_same_artifacts(ran: Ran, tmp_path: Path) -> None:
    assert killed_runs(ran, tmp_path, kills=2, seed=int.from_bytes(os.urandom(4))) == 2


@pytest.mark.slow
def test_twenty_kills(ran: Ran, tmp_path: Path) -> None:
    assert killed_runs(ran, tmp_path, kills=20, seed=int.from_bytes(os.urandom(4))) == 20


def test_two_runs_at_once_share_the_work(ran: Ran, tmp_path: Path) -> None:
    shared = ("--store", str(tmp_path / "store"))
    both = [
        subprocess.Popen(command(ran, *shared, "--runs", str(tmp_path / name)), stdout=subprocess.PIPE, text=True)
        for name in ("a", "b")
    ]
    outputs = [process.communicate(timeout=300)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert digests(tmp_path / "a") == digests(tmp_path / "b")
    made = [
        [step["cached"] for step in json.loads((tmp_path / name / "small/report.json").read_text())["steps"]]
        for name in "ab"
    ]
    assert all(sorted(pair) == [False, True] for pair in zip(*made, strict=True)), outputs
