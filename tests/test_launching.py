"""A step that trains in several processes, which a command starts: on one machine, and on two that share a folder."""

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgekd.artifact import Artifact
from edgekd.errors import EdgekdError
from edgekd.launching import Command
from tests.test_sweep import SMALL

# What Slurm or an MPI does on two machines: each gets the command, and starts one process.
MACHINES = """\
for node in 0 1; do
  {torchrun} --nnodes 2 --node-rank $node --nproc-per-node 1 --master-addr 127.0.0.1 --master-port {port} "$@" &
done
wait %1 && wait %2
"""
ONNX = "  - {id: onnx, stage: export_onnx}\n  - {id: onnx_int8, stage: quantize_onnx, max_drop: 0.05}\n"
TORCHRUN = shlex.quote(str(Path(sys.executable).with_name("torchrun")))


def edgekd(recipe: Path, runs: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "edgekd", "run", recipe.name, "--runs", str(runs), *options]
    return subprocess.Popen(command, cwd=recipe.parent, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def finished(process: subprocess.Popen[str]) -> None:
    _, told = process.communicate(timeout=600)
    assert process.returncode == 0, told


def manifest(runs: Path, step: str) -> dict[str, Any]:
    return json.loads((next(runs.glob("*/state.json")).parent / step / "manifest.json").read_text())  # type: ignore[no-any-return]


def losses(runs: Path, step: str) -> list[float]:
    file = next(runs.glob("*/state.json")).parent / step / "training.json"
    return [record["loss"] for record in json.loads(file.read_text())]


def test_two_machines_train_as_one_does(write_recipe: Callable[..., Path], tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (tmp_path / "machines.sh").write_text(MACHINES.format(torchrun=TORCHRUN, port=port))
    quick = ["--set", "teacher.epochs=2", "--set", "student.epochs=1"]
    trained = [("devices: [quick]", "devices: []"), (ONNX, "")]
    recipe = write_recipe(tmp_path, *trained)
    finished(edgekd(recipe, tmp_path / "two", *quick, "--launch", f"bash {tmp_path}/machines.sh"))
    finished(edgekd(recipe, tmp_path / "one", *quick, "--launch", sys.executable))
    for step in ("teacher", "student"):
        facts, other = manifest(tmp_path / "two", step)["facts"], manifest(tmp_path / "one", step)["facts"]
        assert (facts.pop("processes"), other.pop("processes")) == (2, 1)
        assert other.pop("doubts")[-1].endswith("started one alone")
        facts.pop("doubts", None)
        assert facts == other
        together, alone = losses(tmp_path / "two", step), losses(tmp_path / "one", step)
        # Dropout differs between processes; of a few steps it makes little.
        assert together == pytest.approx(alone, rel=0.1)
        assert together != alone


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("", "there is no program ''"),
        ("nothing-of-that-name --n 2", "there is no program 'nothing-of-that-name'"),
        ("torchrun 'unended", "No closing quotation"),
    ],
)
def test_a_command_that_starts_nothing_is_told(command: str, told: str) -> None:
    with pytest.raises(EdgekdError, match=told) as caught:
        Command.read(command)
    assert "torchrun --standalone --nproc-per-node 2" in caught.value.hint


@pytest.mark.slow
def test_a_process_that_is_killed_costs_what_was_done_since_the_last_checkpoint(
    corpus: Path, encoder: Path, tmp_path: Path
) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(SMALL.format(corpus=corpus, encoder=encoder))
    long = ["--set", "teacher.epochs=150", "--set", "teacher.checkpoint_s=1"]
    launch = ["--launch", "torchrun --standalone --nproc-per-node 2"]
    finished(edgekd(recipe, tmp_path / "whole", *launch, *long))

    def killed(runs: Path, *options: str) -> subprocess.Popen[str]:
        running = edgekd(recipe, runs, *options, *long)
        while not list(runs.glob(".store/scratch/*/at-*")):
            assert running.poll() is None, running.communicate()
            time.sleep(0.05)
        found = subprocess.run(["pgrep", "-f", f"edgekd.launching {runs}"], capture_output=True, text=True)
        os.kill(int(found.stdout.split()[-1]), signal.SIGKILL)
        return running

    again = killed(tmp_path / "again", *launch)
    _, told = again.communicate(timeout=600)
    assert again.returncode == 1
    assert "torchrun ended with status 1" in told
    assert "Signal 9 (SIGKILL)" in told
    finished(edgekd(recipe, tmp_path / "again", *launch, *long))
    finished(killed(tmp_path / "restarted", launch[0], f"{launch[1]} --max-restarts 2"))
    for runs in ("again", "restarted"):
        for artifact in (tmp_path / "whole" / ".store" / "artifacts").iterdir():
            other = tmp_path / runs / ".store" / "artifacts" / artifact.name
            assert Artifact.load(other).digest == Artifact.load(artifact).digest
