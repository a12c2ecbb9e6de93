"""Trains what test_parallel.py compares, in as many processes as it is started in, and saves the student's weights."""

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from edgekd.kd.encoder import load_classifier
from edgekd.kd.objective import Learner
from edgekd.kd.phase import Phase, Terms
from edgekd.kd.rows import Rows
from edgekd.kd.student import shaped
from edgekd.kd.training import Training
from edgekd.start import Shape
from tests.kd.test_training import rows

INSIDES = Phase(name="insides", terms=Terms(hidden=1, attention=1), epochs=2, batch_size=8, learning_rate=1e-3)
OUTPUTS = Phase(name="outputs", terms=Terms(soft=1, hard=1), epochs=2, batch_size=8, learning_rate=1e-3)


def train(encoder: Path, out: Path, accumulate: int = 1) -> list[dict[str, float]]:
    # Without dropout, whose masks differ between processes, only the order of sums differs.
    still = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "classifier_dropout": 0.0}
    teacher = load_classifier(encoder)
    student = shaped(load_classifier(encoder, **still), Shape(layers=2))
    torch.manual_seed(3)
    torch.nn.init.normal_(student.classifier.weight)
    phases = [phase.model_copy(update={"accumulate": accumulate}) for phase in (INSIDES, OUTPUTS)]
    learner = Learner(student, {"tuned": teacher}, phases)
    learning: Rows = rows(32)
    history = Training(learner, phases, [learning] * 2, 5, out / "scratch", lambda *_: None, "fp32").run()
    save_file({name: value.contiguous() for name, value in student.state_dict().items()}, out / "student.safetensors")
    return history


if __name__ == "__main__":
    train(Path(sys.argv[1]), Path(sys.argv[2]))
