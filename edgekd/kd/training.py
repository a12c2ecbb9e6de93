"""The one loop that trains: phases in order, checkpoints inside them, the same result however often it was stopped.

Accelerate places, shards and casts. All randomness of a step is a function of (seed, phase, step) and the order of rows
a function of (seed, phase, epoch), so a run that goes on from a checkpoint repeats what an undisturbed one does.
"""

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import torch
from accelerate import Accelerator
from accelerate.data_loader import prepare_data_loader, skip_first_batches
from accelerate.state import AcceleratorState
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import get_scheduler

from edgekd.data import Encoded, batches
from edgekd.errors import EdgekdError
from edgekd.kd.objective import Learner
from edgekd.kd.phase import Phase

if TYPE_CHECKING:
    from numpy.typing import NDArray

Precision = Literal["auto", "fp32", "bf16"]
_NO_DECAY = ("bias", "LayerNorm", "layer_norm", "norm.weight")


class Progress(Protocol):
    """What long work tells: a label, how much is done of how much."""

    def __call__(self, label: str, done: float, total: float) -> None: ...


@dataclass(frozen=True)
class Rows:
    """A train split ready to be batched: tokens, targets (rows,), the id that fills short rows."""

    tokens: Encoded
    targets: "NDArray[Any]"
    pad_id: int = 0

    def collate(self, rows: Sequence[int]) -> dict[str, Tensor]:
        arrays = self.tokens.pad(rows, self.pad_id)
        return {**{name: torch.from_numpy(a) for name, a in arrays.items()}, "labels": torch.from_numpy(self.targets[rows])}


@dataclass
class _Position:
    """Where training stands; written with each checkpoint. `history` holds one record an epoch."""

    phase: int
    step: int
    history: list[dict[str, Any]]
    sums: dict[str, float]


def train(
    learner: Learner,
    phases: Sequence[Phase],
    rows: Rows,
    *,
    seed: int,
    scratch: Path,
    progress: Progress,
    precision: Precision = "auto",
    checkpoint_s: float = 60.0,
    clock: Callable[[], float] = time.monotonic,
) -> list[dict[str, Any]]:
    """Run the phases on `learner`, in place; returns one record an epoch: phase, epoch, mean of each loss term.

    `scratch` keeps the checkpoints, one at least every `checkpoint_s` seconds and one at each phase's end; a call
    with the same arguments and the same folder goes on from the last.
    """
    AcceleratorState._reset_state(reset_partial_state=True)  # an earlier training in this process may have had another precision
    accelerator = Accelerator(mixed_precision="bf16" if _bf16(precision) else "no")
    learner.place(accelerator.device)
    position, saved = _last(scratch)
    if saved is not None and (saved / "learner.safetensors").is_file():
        learner.load_state_dict(load_file(saved / "learner.safetensors"), strict=False)
    wrapped = accelerator.prepare_model(learner)
    for number in range(position.phase, len(phases)):
        phase, learner.phase = phases[number], phases[number]
        resume = saved if saved is not None and position.step else None
        _run_phase(accelerator, wrapped, learner, phase, rows, number, seed, position, resume, scratch, progress, checkpoint_s, clock)
        position = _Position(number + 1, 0, position.history, {})
        _save(scratch, position, lambda folder: save_file(_contiguous(learner), folder / "learner.safetensors"))
        saved = None
    accelerator.free_memory()
    learner.to("cpu")
    return position.history


def _run_phase(
    accelerator: Accelerator,
    wrapped: nn.Module,
    learner: Learner,
    phase: Phase,
    rows: Rows,
    number: int,
    seed: int,
    position: _Position,
    resume: Path | None,
    scratch: Path,
    progress: Progress,
    checkpoint_s: float,
    clock: Callable[[], float],
) -> None:
    count = len(rows.targets)
    per_epoch = -(-count // phase.batch_size)
    per_epoch = -(-per_epoch // accelerator.num_processes)
    total = per_epoch * phase.epochs
    optimizer = accelerator.prepare_optimizer(_optimizer(learner, phase))
    scheduler = accelerator.prepare_scheduler(
        get_scheduler(phase.schedule, optimizer, round(phase.warmup * total), total)
        if phase.schedule != "constant" or not phase.warmup
        else get_scheduler("constant_with_warmup", optimizer, round(phase.warmup * total))
    )
    if resume is not None:
        accelerator.load_state(str(resume / "state"))
    wrapped.train()
    last = clock()
    for epoch in range(position.step // per_epoch, phase.epochs):
        loader = _loader(accelerator, rows, phase, _mix(seed, number, epoch))
        for batch in skip_first_batches(loader, position.step - epoch * per_epoch):
            torch.manual_seed(_mix(seed, number, position.step) + 1)
            found = wrapped(batch)
            accelerator.backward(found["loss"])
            accelerator.clip_grad_norm_(learner.parameters(), 1.0)
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
            for name, value in found.items():
                position.sums[name] = position.sums.get(name, 0.0) + value.item()
            if not position.sums["loss"] < float("inf"):
                raise EdgekdError(f"the loss of phase '{phase.name}' is no longer a number", "Lower its learning_rate.")
            position.step += 1
            progress(f"{phase.name} {epoch + 1}/{phase.epochs}", position.step, total)
            if position.step % per_epoch == 0:
                means = {name: value / per_epoch for name, value in position.sums.items()}
                position.history.append({"phase": phase.name, "epoch": epoch + 1, **means})
                position.sums = {}
            if clock() - last >= checkpoint_s:
                _save(scratch, position, lambda folder: _save_state(accelerator, folder))
                last = clock()
    accelerator._optimizers.clear()
    accelerator._schedulers.clear()


def _loader(accelerator: Accelerator, rows: Rows, phase: Phase, seed: int) -> Any:
    order: list[Any] = list(batches(rows.tokens.lengths, phase.batch_size, seed))
    loader: Any = DataLoader(range(len(rows.targets)), batch_sampler=order, collate_fn=rows.collate)  # type: ignore[arg-type, var-annotated]
    return prepare_data_loader(
        loader,
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
        return torch.cuda.is_bf16_supported()
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def _mix(*numbers: int) -> int:
    """One 63-bit seed of several numbers, the same in every process (splitmix64's finaliser)."""
    mixed = 0
    for number in numbers:
        mixed = (mixed + number + 0x9E3779B97F4A7C15) % 2**64
        mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB % 2**64
        mixed ^= mixed >> 31
    return mixed % (2**63 - 1)


def _contiguous(learner: Learner) -> dict[str, Tensor]:
    """Weights for safetensors, which takes no two names of one tensor."""
    seen: set[int] = set()
    kept = {}
    for name, tensor in learner.state_dict().items():
        if tensor.data_ptr() not in seen or not tensor.numel():
            kept[name] = tensor.detach().cpu().contiguous()
            seen.add(tensor.data_ptr())
    return kept


def _save_state(accelerator: Accelerator, folder: Path) -> None:
    accelerator.save_state(str(folder / "state"))


def _save(scratch: Path, position: _Position, write: Callable[[Path], None]) -> None:
    """Write a checkpoint under a temporary name, give it its name, and drop the older ones."""
    name = f"at-{position.phase:03d}-{position.step:09d}"
    draft = scratch / f"draft-{os.getpid()}"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    write(draft)
    (draft / "position.json").write_text(json.dumps(vars(position)))
    shutil.rmtree(scratch / name, ignore_errors=True)
    os.replace(draft, scratch / name)
    for older in _checkpoints(scratch):
        if older.name < name:
            shutil.rmtree(older, ignore_errors=True)


def _last(scratch: Path) -> tuple[_Position, Path | None]:
    for draft in scratch.glob("draft-*"):
        shutil.rmtree(draft, ignore_errors=True)
    for folder in reversed(list(_checkpoints(scratch))):
        return _Position(**json.loads((folder / "position.json").read_text())), folder
    return _Position(0, 0, [], {}), None


def _checkpoints(scratch: Path) -> Iterator[Path]:
    return iter(sorted(scratch.glob("at-*")))
