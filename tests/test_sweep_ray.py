"""A sweep on a Ray cluster of two workers: as on this machine, whoever is killed. Slow: pytest -m slow."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgekd.artifact import Artifact
from tests.test_sweep import SMALL

pytestmark = pytest.mark.slow
PORT = 6390
GRID = ["teacher.seed=1,2", "onnx_int8.embeddings=true,false", "onnx_int8.per_channel=true,false"]
GRID += ["onnx_int8.samples=8,16,32"]  # 24 variants: of two teachers and as many exports


def ray(*arguments: str) -> None:
    program = Path(sys.executable).with_name("ray")
    env = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "token"}
    # What it starts lives on and would keep a pipe open.
    subprocess.run([program, *arguments], check=True, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def start() -> None:
    common = ["--num-gpus=0", "--object-store-memory=100000000"]
    ray("start", "--head", f"--port={PORT}", "--num-cpus=0", "--include-dashboard=false", *common)
    for _ in range(2):
        ray("start", f"--address=127.0.0.1:{PORT}", "--num-cpus=1", *common)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    pytest.importorskip("ray", reason="ray is not installed")
    if shutil.which("pgrep") is None:
        pytest.skip("pgrep is not installed")
    monkeypatch.setenv("RAY_AUTH_MODE", "token")  # as a head asks for, of who joins it and of who commands it
    try:
        start()
        yield
    finally:
        ray("stop", "--force")


def command(root: Path, where: str, *more: str) -> list[str]:
    grids = [part for field in GRID for part in ("--grid", field)]
    found = [sys.executable, "-m", "edgekd", "sweep", "recipe.yaml", *grids, "--objective", "score,size"]
    return [*found, "--set", "teacher.epochs=40", "--runs", str(root / where), "--on", where, *more]


def results(root: Path, where: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((root / where / "cheap-sweep" / "sweep.json").read_text())
    return found


def digests(root: Path, where: str) -> dict[str, str]:
    store = root / where / ".store" / "artifacts"
    return {folder.name: Artifact.load(folder).digest for folder in store.iterdir()}


def processes(name: str) -> list[int]:
    found = subprocess.run(["pgrep", "-f", name], capture_output=True, text=True)
    return [int(line) for line in found.stdout.split()]


def until(told: Any, seconds: float = 120) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := told():
            return found
        time.sleep(0.02)
    raise AssertionError("it did not come to that")


def test_a_cluster_makes_what_this_machine_makes_whoever_is_killed(
    cluster: None, tmp_path: Path, corpus: Path, encoder: Path
) -> None:
    (tmp_path / "recipe.yaml").write_text(SMALL.format(corpus=corpus, encoder=encoder))
    address = ["--address", f"127.0.0.1:{PORT}"]
    # A worker is killed in the middle of a training.
    running = subprocess.Popen(command(tmp_path, "ray", *address), cwd=tmp_path, text=True, stdout=subprocess.PIPE)
    scratch = tmp_path / "ray" / ".store" / "scratch"
    until(lambda: list(scratch.glob("*/at-*")))
    os.kill(until(lambda: processes("ray::teacher"))[0], signal.SIGKILL)
    # The head is killed after the first step is told, and what the command did is kept.
    assert running.stdout is not None
    for line in running.stdout:
        if "/28 " in line:
            break
    ray("stop", "--force")
    running.kill()
    running.communicate()
    made = set(digests(tmp_path, "ray"))
    assert made and len(made) < 28
    start()
    done = subprocess.run(command(tmp_path, "ray", *address), cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    again = results(tmp_path, "ray")
    assert again["cached"] >= len(made) and again["cached"] + len(again["made"]) == 28
    assert len({one["where"].split("node ")[1] for one in again["made"]}) == 2, "both workers had a part"
    here = subprocess.run(command(tmp_path, "local"), cwd=tmp_path, capture_output=True, text=True)
    assert here.returncode == 0, here.stderr
    whole = results(tmp_path, "local")
    assert [made["step"] for made in whole["made"]].count("teacher") == 2
    assert digests(tmp_path, "ray") == digests(tmp_path, "local")
    assert [one["score"] for one in again["outcomes"]] == [one["score"] for one in whole["outcomes"]]


def test_a_training_takes_both_workers(cluster: None, tmp_path: Path, corpus: Path, encoder: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(SMALL.format(corpus=corpus, encoder=encoder))
    asked = [sys.executable, "-m", "edgekd", "sweep", "recipe.yaml", "--grid", "onnx_int8.samples=8,16"]
    asked += ["--objective", "score,size", "--on", "ray", "--address", f"127.0.0.1:{PORT}", "--runs", "runs"]
    done = subprocess.run([*asked, "--workers", "2"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    store = tmp_path / "runs" / ".store" / "artifacts"
    told = [json.loads((folder / "manifest.json").read_text()) for folder in store.iterdir()]
    assert {one["stage"]: one["facts"].get("processes") for one in told} == {
        "finetune": 2,
        "export_onnx": None,
        "quantize_onnx": None,
    }
