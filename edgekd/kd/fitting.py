"""From a stage's job to a trained folder: what every training stage does around the loop."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import transformers

from edgekd.artifact import TOKENIZER
from edgekd.data import Data
from edgekd.errors import EdgekdError
from edgekd.kd import encoder
from edgekd.kd.objective import Learner
from edgekd.kd.phase import Phase
from edgekd.kd.training import Precision, Rows, Training

if TYPE_CHECKING:
    from edgekd.stage import Job


def head(data: Data) -> dict[str, Any]:
    """The configuration of a head that fits the task."""
    outputs = data.task.outputs(data.labels)
    config: dict[str, Any] = {"num_labels": outputs, "problem_type": data.task.problem_type}
    if data.labels:
        config["id2label"] = dict(enumerate(data.labels))
        config["label2id"] = {name: number for number, name in enumerate(data.labels)}
    return config


def save_tokenizer(folder: Path, out: Path) -> None:
    """tokenizer.json of a pretrained folder, as any runtime can read it: no padding and no cutting set."""
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True, use_fast=True)
        backend = tokenizer.backend_tokenizer
    except (OSError, ValueError, AttributeError) as error:
        raise EdgekdError(f"{folder} has no fast tokenizer: {error}", "Add its tokenizer.json.") from None
    backend.no_padding()
    backend.no_truncation()
    backend.save(str(out / TOKENIZER))


def fit(
    learner: Learner, phases: Sequence[Phase], job: "Job", precision: Precision, checkpoint_s: float
) -> Mapping[str, Any]:
    """Train and fill job.out with config.json, model.safetensors and training.json (mean losses of each epoch)."""
    split = job.data.train
    tokens = split.encode(job.out / TOKENIZER, job.data.options.max_length)
    student: Any = learner.student
    longest, limit = int(tokens.lengths.max()), getattr(student.config, "max_position_embeddings", math.inf)
    if longest > limit:
        raise EdgekdError(f"inputs of {longest} tokens, the encoder takes {limit}", f"Set data.max_length to {limit}.")
    rows = Rows(tokens, split.targets, student.config.pad_token_id or 0)
    training = Training(learner, phases, rows, job.seed, job.scratch, job.progress, precision, checkpoint_s)
    history = training.run()
    encoder.save(student, job.out)
    (job.out / "training.json").write_text(json.dumps(history, indent=1) + "\n")
    return {"parameters": sum(parameter.numel() for parameter in student.parameters())}
