"""Where training stands, on disk: checkpoints under names in their order, whole or not there."""

import json
import math
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from edgekd.errors import EdgekdError
from edgekd.kd.phase import Phase
from edgekd.store import sync_tree

_POSITION = "position.json"
_PARTS = 10  # of an epoch, each with a mean loss


@dataclass
class Position:
    """Where training stands; written with each checkpoint."""

    phase: int
    step: int
    history: list[dict[str, Any]]
    sums: dict[str, float]
    losses: list[float] = field(default_factory=list)  # of the epoch's steps so far
    doubts: dict[str, str] = field(default_factory=dict)  # by phase and step: how it differs from what was asked for

    def count(self, phase: Phase, terms: dict[str, float], steps: int) -> None:
        """A step is done; at an epoch's end its means are recorded. Raises EdgekdError where the loss is no number."""
        self.step += 1
        for name, value in terms.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
        self.losses.append(terms["loss"])
        if not math.isfinite(self.sums["loss"]):
            raise EdgekdError(f"the loss of phase '{phase.name}' is no longer a number", "Lower its learning_rate.")
        if self.step % steps == 0:
            means = {name: value / steps for name, value in self.sums.items()}
            self.history.append({"phase": phase.name, "epoch": self.step // steps, **means, "course": self._course()})
            self.sums, self.losses = {}, []

    def _course(self) -> list[float]:
        """Mean losses of the epoch's tenths, to five digits: the curve within an epoch, in a line of training.json."""
        edges = [round(part * len(self.losses) / _PARTS) for part in range(_PARTS + 1)]
        spans = [self.losses[start:end] for start, end in pairwise(edges)]
        return [float(f"{sum(span) / len(span):.5g}") for span in spans if span]


def weights(learner: nn.Module) -> dict[str, Tensor]:
    """Weights for safetensors, which takes no two names of one tensor."""
    seen: set[int] = set()
    kept = {}
    for name, tensor in learner.state_dict().items():
        if tensor.data_ptr() not in seen or not tensor.numel():
            kept[name] = tensor.detach().cpu().contiguous()
            seen.add(tensor.data_ptr())
    return kept


def save(scratch: Path, position: Position, write: Callable[[Path], None]) -> None:
    """Write a checkpoint under a temporary name, give it its name, and drop the older ones."""
    name = f"at-{position.phase:03d}-{position.step:09d}"
    draft = scratch / f"draft-{os.getpid()}"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    write(draft)
    (draft / _POSITION).write_text(json.dumps(vars(position)))
    sync_tree(draft)
    shutil.rmtree(scratch / name, ignore_errors=True)
    draft.replace(scratch / name)
    for older in _checkpoints(scratch):
        if older.name < name:
            shutil.rmtree(older, ignore_errors=True)


def last(scratch: Path) -> tuple[Position, Path | None]:
    """The newest checkpoint that can be read, and its folder; the beginning where there is none."""
    for draft in scratch.glob("draft-*"):
        shutil.rmtree(draft, ignore_errors=True)
    for folder in reversed(list(_checkpoints(scratch))):
        try:
            return Position(**json.loads((folder / _POSITION).read_text())), folder
        except (OSError, ValueError, TypeError):  # cut off with the machine's power: the one before it serves
            shutil.rmtree(folder, ignore_errors=True)
    return Position(0, 0, [], {}), None


def _checkpoints(scratch: Path) -> Iterator[Path]:
    return iter(sorted(scratch.glob("at-*")))
