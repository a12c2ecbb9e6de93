"""The one loop that trains: phases in order, checkpoints inside them, the same result however often it was stopped.

Accelerate places, shards and casts. All randomness of a step is a function of (seed, phase, step) and the order of rows
a function of (seed, phase, epoch), so a run that goes on from a checkpoint repeats what an undisturbed one does.
"""

import json
import math
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from accelerate import Accelerator
from accelerate.data_loader import prepare_data_loader, skip_first_batches
from accelerate.state import AcceleratorState
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import get_scheduler

from edgekd.errors import EdgekdError
from edgekd.kd.heap import kept_heap
from edgekd.kd.objective import Learner
from edgekd.kd.phase import Phase
from edgekd.store import sync_tree
from edgekd.tokens import Encoded, batches

if TYPE_CHECKING:
    from numpy.typing import NDArray

Precision = Literal["auto", "fp32", "bf16"]
_LEARNER, _STATE, _POSITION = "learner.safetensors", "state", "position.json"
_NO_DECAY = ("bias", "LayerNorm", "layer_norm", "norm.weight")


@dataclass(frozen=True)
class Rows:
    """A train split ready to be batched: tokens, targets (rows,), the id that fills short rows."""

    tokens: Encoded
    targets: "NDArray[Any]"
    pad_id: int = 0

    def collate(self, rows: Sequence[int]) -> dict[str, Tensor]:
        arrays = self.tokens.pad(rows, self.pad_id)
        return {
            **{name: torch.from_numpy(a) for name, a in arrays.items()},
            "labels": torch.from_numpy(self.targets[rows]),
        }


@dataclass
class Training:
    """Phases to run on a learner, in place.

    `scratch` keeps the checkpoints, one every `checkpoint_s` seconds and one at each phase's end; with the same values
    and the same folder, `run` goes on from the last.
    """

    learner: Learner
    phases: Sequence[Phase]
    rows: Rows
    seed: int
    scratch: Path
    progress: Callable[[str, float, float], None]
    precision: Precision = "auto"
    checkpoint_s: float = 60.0
    clock: Callable[[], float] = time.monotonic

    def run(self) -> list[dict[str, Any]]:
        """One record an epoch: its phase, its number, the mean of each loss term."""
        # An earlier training in this process may have had another precision.
        AcceleratorState._reset_state(reset_partial_state=True)
        accelerator = Accelerator(mixed_precision="bf16" if _bf16(self.precision) else "no")
        self.learner.place(accelerator.device)
        position, saved = _last(self.scratch)
        if saved is not None and not position.step:
            # A tied weight is stored once, so not every name is there.
            self.learner.load_state_dict(load_file(saved / _LEARNER), strict=False)
        wrapped = accelerator.prepare_model(self.learner)
        for number in range(position.phase, len(self.phases)):
            self.learner.phase = self.phases[number]
            with kept_heap():
                self._phase(accelerator, wrapped, number, position, saved if position.step else None)
            position = _Position(number + 1, 0, position.history, {})
            weights = _weights(self.learner)
            _save(self.scratch, position, lambda folder, weights=weights: save_file(weights, folder / _LEARNER))  # type: ignore[misc]
        accelerator.free_memory()
        self.learner.to("cpu")
        return position.history

    def _phase(
        self, accelerator: Accelerator, wrapped: nn.Module, number: int, position: "_Position", resume: Path | None
    ) -> None:
        phase = self.phases[number]
        steps = -(-len(self.rows.targets) // phase.batch_size)  # an epoch's, over all processes
        steps = -(-steps // accelerator.num_processes)
        total = steps * phase.epochs
        optimizer = accelerator.prepare_optimizer(_optimizer(self.learner, phase))
        schedule = "constant_with_warmup" if phase.schedule == "constant" else phase.schedule
        scheduler = accelerator.prepare_scheduler(
            get_scheduler(schedule, optimizer, num_warmup_steps=round(phase.warmup * total), num_training_steps=total)
        )
        if resume is not None:
            accelerator.load_state(str(resume / _STATE))
        wrapped.train()
        last = self.clock()
        for epoch in range(position.step // steps, phase.epochs):
            loader = _loader(accelerator, self.rows, phase.batch_size, _mix(self.seed, number, epoch))
            for batch in skip_first_batches(loader, position.step - epoch * steps):
                torch.manual_seed(_mix(self.seed, number, position.step, 1))
                found = wrapped(batch)
                accelerator.backward(found["loss"])
                accelerator.clip_grad_norm_(self.learner.parameters(), 1.0)
                optimizer.step()
                scheduler.step()
                optimizer.zero_grad()
                position.count(phase, found, steps)
                self.progress(phase.name, position.step, total)
                if self.clock() - last >= self.checkpoint_s:
                    _save(self.scratch, position, lambda folder: _save_state(accelerator, folder))
                    last = self.clock()
        accelerator._optimizers.clear()
        accelerator._schedulers.clear()


@dataclass
class _Position:
    """Where training stands; written with each checkpoint."""

    phase: int
    step: int
    history: list[dict[str, Any]]
    sums: dict[str, float]

    def count(self, phase: Phase, terms: dict[str, Tensor], steps: int) -> None:
        """A step is done; at an epoch's end its means are recorded. Raises EdgekdError where the loss is no number."""
        self.step += 1
        for name, value in terms.items():
            self.sums[name] = self.sums.get(name, 0.0) + value.item()
        if not math.isfinite(self.sums["loss"]):
            raise EdgekdError(f"the loss of phase '{phase.name}' is no longer a number", "Lower its learning_rate.")
        if self.step % steps == 0:
            means = {name: value / steps for name, value in self.sums.items()}
            self.history.append({"phase": phase.name, "epoch": self.step // steps, **means})
            self.sums = {}


def _loader(accelerator: Accelerator, rows: Rows, size: int, seed: int) -> Any:
    """One epoch's batches, on the device, this process's share of them."""
    order: Any = list(batches(rows.tokens.lengths, size, seed))
    dataset: Any = range(len(rows.targets))
    return prepare_data_loader(
        DataLoader(dataset, batch_sampler=order, collate_fn=rows.collate),
        device=accelerator.device,
        num_processes=accelerator.num_processes,
        process_index=accelerator.process_index,
        put_on_device=True,
        even_batches=False,
    )


def _optimizer(learner: Learner, phase: Phase) -> torch.optim.AdamW:
    """AdamW; biases and normalisation do not decay, and the projection may learn at a rate of its own."""
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in learner.named_parameters():
        decay = 0.0 if any(part in name for part in _NO_DECAY) else phase.weight_decay
        rate = phase.learning_rate * (phase.projection_rate if name.startswith("projection") else 1.0)
        groups.setdefault((decay, rate), []).append(parameter)
    listed = [{"params": params, "weight_decay": decay, "lr": rate} for (decay, rate), params in groups.items()]
    return torch.optim.AdamW(listed, lr=phase.learning_rate, fused=True)


def _bf16(precision: Precision) -> bool:
    """bf16 matrix products with fp32 weights: on GPUs, and on processors that have instructions for them."""
    if precision != "auto":
        return precision == "bf16"
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def _mix(*numbers: int) -> int:
    """One 63-bit seed of several numbers, the same in every process (splitmix64's finaliser)."""
    mixed = 0
    for number in numbers:
        mixed = (mixed + number + 0x9E3779B97F4A7C15) % 2**64
        mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB % 2**64
        mixed ^= mixed >> 31
    return mixed % (2**63 - 1)


def _weights(learner: Learner) -> dict[str, Tensor]:
    """Weights for safetensors, which takes no two names of one tensor."""
    seen: set[int] = set()
    kept = {}
    for name, tensor in learner.state_dict().items():
        if tensor.data_ptr() not in seen or not tensor.numel():
            kept[name] = tensor.detach().cpu().contiguous()
            seen.add(tensor.data_ptr())
    return kept


def _save_state(accelerator: Accelerator, folder: Path) -> None:
    accelerator.save_state(str(folder / _STATE))


def _save(scratch: Path, position: _Position, write: Callable[[Path], None]) -> None:
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


def _last(scratch: Path) -> tuple[_Position, Path | None]:
    for draft in scratch.glob("draft-*"):
        shutil.rmtree(draft, ignore_errors=True)
    for folder in reversed(list(_checkpoints(scratch))):
        try:
            return _Position(**json.loads((folder / _POSITION).read_text())), folder
        except (OSError, ValueError, TypeError):  # cut off with the machine's power: the one before it serves
            shutil.rmtree(folder, ignore_errors=True)
    return _Position(0, 0, [], {}), None


def _checkpoints(scratch: Path) -> Iterator[Path]:
    return iter(sorted(scratch.glob("at-*")))
