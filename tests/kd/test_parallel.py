"""Two processes, or a step in two parts, train what one process does in one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.kd.two_processes import train

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def alone(encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    out = tmp_path_factory.mktemp("alone")
    train(encoder, out)
    return load_file(out / "student.safetensors")


def same(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> None:
    """As far as a mean over a batch's tokens is the mean of its parts' means."""
    moved = 0.0
    for name, value in theirs.items():
        torch.testing.assert_close(ours[name], value, rtol=0.02, atol=2e-3)
        moved = max(moved, float((ours[name] - value).abs().max()))
    assert moved > 0  # it did go another way


def test_two_processes_reach_what_one_does(encoder: Path, tmp_path: Path, alone: dict[str, torch.Tensor]) -> None:
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    script = ["-m", "tests.kd.two_processes", str(encoder), str(tmp_path)]
    done = subprocess.run(
        [*launch, *script], cwd=ROOT, capture_output=True, text=True, env={**os.environ, "ACCELERATE_USE_CPU": "1"}
    )
    assert done.returncode == 0, done.stderr[-3000:]
    same(load_file(tmp_path / "student.safetensors"), alone)
    position = max((tmp_path / "scratch").glob("at-*/position.json"))
    history = json.loads(position.read_text())["history"]
    assert [record["phase"] for record in history] == ["insides", "insides", "outputs", "outputs"]


def test_a_part_counts_by_its_rows(encoder: Path, tmp_path: Path) -> None:
    """A batch of 5 in 4 parts: two rows, and three times one."""
    from edgekd.kd.encoder import load_classifier
    from edgekd.kd.objective import Learner
    from edgekd.kd.phase import Phase, Terms
    from edgekd.kd.training import Training
    from tests.kd.test_training import rows

    found = []
    for parts in (1, 4):
        phase = Phase(name="hard", terms=Terms(hard=1), epochs=1, batch_size=5, accumulate=parts, learning_rate=1e-9)
        torch.manual_seed(0)
        model = load_classifier(encoder, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
        training = Training(
            Learner(model, {}, [phase]), [phase], [rows(5)], 5, tmp_path / str(parts), lambda *_: None, "fp32"
        )
        found.append(training.run()[0]["loss"])
    assert found[1] == pytest.approx(found[0], rel=1e-5)


def test_a_step_in_parts_is_a_step(encoder: Path, tmp_path: Path, alone: dict[str, torch.Tensor]) -> None:
    train(encoder, tmp_path, accumulate=2)
    same(load_file(tmp_path / "student.safetensors"), alone)
