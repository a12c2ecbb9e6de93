"""The one loop that trains: phases in order, checkpoints inside them, the same result however often it was stopped.

Accelerate places, casts and, under torchrun or accelerate launch, joins processes. All randomness of a step is a
function of (seed, phase, step) and the order of rows a function of (seed, phase, epoch), so a run that goes on from a
checkpoint repeats what an undisturbed one does. A batch's rows are the same however many processes share them.
"""

import contextlib
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.state import AcceleratorState
from accelerate.utils import DataLoaderConfiguration
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import get_scheduler

from edgekd.kd import beside, checkpoints, memory
from edgekd.kd.checkpoints import Position
from edgekd.kd.gates import Moment
from edgekd.kd.heap import kept_heap
from edgekd.kd.objective import Learner
from edgekd.kd.outputs import Outputs
from edgekd.kd.phase import Phase
from edgekd.kd.rows import Rows, loader
from edgekd.tokens import batches

Precision = Literal["auto", "fp32", "bf16"]
_LEARNER, _STATE, _OUTPUTS = "learner.safetensors", "state", "outputs"
_TRACKED = 10  # steps whose mean losses are one point of a tracker's curve
_NO_DECAY = ("bias", "LayerNorm", "layer_norm", "norm.weight")


@dataclass
class Training:
    """Phases to run on a learner, in place; `rows` are each phase's.

    `scratch` keeps the checkpoints, one every `checkpoint_s` seconds and one at each phase's end; with the same values
    and the same folder, `run` goes on from the last. A teacher's outputs that fit into `cache_bytes` are computed once.
    `track` gets the mean of each loss term, and the learning rate, with the number of steps so far, over all phases.
    `frugal` frees a teacher's weights as soon as all that is read of it is kept: it answers nothing after that.
    `doubts` say after `run` how it differed from what the phases ask for.
    """

    learner: Learner
    phases: Sequence[Phase]
    rows: Sequence[Rows]
    seed: int
    scratch: Path
    progress: Callable[[str, float, float], None]
    precision: Precision = "auto"
    checkpoint_s: float = 60.0
    clock: Callable[[], float] = time.monotonic
    cache_bytes: float = 4e9
    track: Callable[[Mapping[str, float], int], None] = lambda values, step: None
    frugal: bool = False
    doubts: list[str] = field(default_factory=list, init=False)

    def run(self) -> list[dict[str, Any]]:
        """One record an epoch: its phase, its number, the mean of each loss term, the loss of each tenth (`course`)."""
        # An earlier training in this process may have had another precision.
        AcceleratorState._reset_state(reset_partial_state=True)
        # A phase's terms leave parts of the learner without a gradient.
        unused = DistributedDataParallelKwargs(find_unused_parameters=True)
        accelerator = Accelerator(
            cpu=not torch.accelerator.is_available(),  # or processes without one would each train alone
            mixed_precision="bf16" if _bf16(self.precision) else "no",
            kwargs_handlers=[unused],
            dataloader_config=DataLoaderConfiguration(split_batches=True),  # a batch is shared, not one a process
        )
        self.learner.place(accelerator.device)
        position, saved = checkpoints.last(self.scratch)
        if saved is not None and not position.step:
            # A tied weight is stored once, so not every name is there.
            self.learner.load_state_dict(load_file(saved / _LEARNER), strict=False)
        wrapped = accelerator.prepare_model(self.learner)
        for number in range(position.phase, len(self.phases)):
            self.learner.begin(self.phases[number])
            with kept_heap():
                self._phase(accelerator, wrapped, number, position, saved if position.step else None)
            position = Position(number + 1, 0, position.history, {}, doubts=position.doubts)
            if accelerator.is_main_process:
                checkpoints.save(self.scratch, position, partial(_save_learner, checkpoints.weights(self.learner)))
                self._forget(number)
        accelerator.free_memory()
        self.learner.to("cpu")
        self.doubts = list(position.doubts.values())
        return position.history

    def _phase(
        self, accelerator: Accelerator, wrapped: nn.Module, number: int, position: "Position", resume: Path | None
    ) -> None:
        phase = self.phases[number]
        if not phase.epochs:
            return
        rows = self._with_outputs(accelerator, number)
        steps, total = self._steps(number)
        epochs = total // steps
        before = sum(self._steps(earlier)[1] for earlier in range(number))
        optimizer = accelerator.prepare_optimizer(_optimizer(self.learner, phase))
        schedule = "constant_with_warmup" if phase.schedule == "constant" else phase.schedule
        scheduler = accelerator.prepare_scheduler(
            get_scheduler(schedule, optimizer, num_warmup_steps=round(phase.warmup * total), num_training_steps=total)
        )
        if resume is not None:
            accelerator.load_state(str(resume / _STATE))
        wrapped.train()
        last = self.clock()
        losses: list[dict[str, float]] = []
        parts = phase.accumulate
        for epoch in range(position.step // steps, epochs):
            drawn = _mix(self.seed, number, epoch, 2)
            order = list(batches(rows.tokens.lengths, phase.batch_size, _mix(self.seed, number, epoch)))
            while left := order[position.step - epoch * steps :]:
                for batch in loader(accelerator, rows, left, parts, drawn):
                    torch.manual_seed(_mix(self.seed, number, position.step, 1 + 2 * accelerator.process_index))
                    passed = position.step / total
                    self.learner.moment = Moment(drawn, _mix(self.seed, number, position.step, 2), passed)
                    try:
                        found = self._forward(accelerator, wrapped, batch)
                    except (RuntimeError, MemoryError) as error:
                        optimizer.zero_grad()
                        parts = memory.parts_after(error, phase, parts, accelerator.num_processes)
                        position.doubts[f"{phase.name} {position.step}"] = memory.told(phase, position.step, parts)
                        break  # the same step once more
                    accelerator.clip_grad_norm_(self.learner.parameters(), 1.0)
                    losses.append({**found, "learning_rate": scheduler.get_last_lr()[0]})
                    optimizer.step()
                    scheduler.step()
                    optimizer.zero_grad()
                    position.count(phase, found, steps)
                    self.progress(phase.name, position.step, total)
                    if accelerator.is_main_process and (len(losses) == _TRACKED or position.step == total):
                        self._track(phase, losses, before + position.step)
                        losses.clear()
                    # All randomness is drawn anew at each step, so one process's state is everyone's.
                    if accelerator.is_main_process and self.clock() - last >= self.checkpoint_s:
                        checkpoints.save(self.scratch, position, partial(_save_state, accelerator))
                        last = self.clock()
        accelerator._optimizers.clear()
        accelerator._schedulers.clear()

    def _track(self, phase: Phase, losses: "Sequence[Mapping[str, float]]", step: int) -> None:
        told = {name: [step[name] for step in losses if name in step] for step in losses for name in step}
        self.track({f"{phase.name}/{name}": sum(values) / len(values) for name, values in told.items()}, step)

    def _steps(self, number: int) -> tuple[int, int]:
        """The steps of a phase's epoch, and of all its epochs."""
        phase = self.phases[number]
        steps = -(-len(self.rows[number]) // phase.batch_size)
        return steps, steps * phase.passes_over(steps)

    def _forward(
        self, accelerator: Accelerator, wrapped: nn.Module, parts: "Sequence[tuple[Any, float]]"
    ) -> dict[str, float]:
        """Gradients of a step, part by part; the mean of each term over its rows."""
        sums: dict[str, Tensor] = {}
        for number, (batch, weight) in enumerate(parts, start=1):
            # Processes exchange their gradients once a step, with the last part.
            with accelerator.no_sync(wrapped) if number < len(parts) else contextlib.nullcontext():
                found = wrapped(batch)
                accelerator.backward(found["loss"] * weight)
            for name, value in found.items():
                sums[name] = sums.get(name, 0) + value.detach() * weight
        names = sorted(sums)
        means = accelerator.reduce(torch.stack([sums[name] for name in names]), reduction="mean")
        return dict(zip(names, means.tolist(), strict=True))

    def _with_outputs(self, accelerator: Accelerator, number: int) -> Rows:
        """A phase's rows, with the teacher's outputs where they fit: those of all alike phases, or its own."""
        rows, tap = self.rows[number], self.learner.teacher(self.phases[number])
        if tap is None or self.phases[number].live:
            return rows
        needs = self.learner.reads([self.phases[number]])
        node = accelerator.process_index - accelerator.local_process_index  # a machine's first process fills its own
        tokens, pad_id = rows.taught
        for span in (self._alike(number), [number]):
            folder = self.scratch / f"{_OUTPUTS}-{'-'.join(map(str, span))}-on-{node}"
            kept = Outputs.of(tap.model, self.learner.reads([self.phases[at] for at in span]), tokens.lengths, folder)
            if kept.size <= self.cache_bytes:
                break
        else:
            return rows
        if accelerator.is_local_main_process and not kept.ready:
            label = f"{self.phases[number].name}: teacher"
            with accelerator.autocast():
                kept.fill(tap, tokens, pad_id, accelerator.device, lambda done: self.progress(label, done, len(rows)))
        accelerator.wait_for_everyone()
        mine = self.phases[number]
        left = [(at, phase) for at, phase in enumerate(self.phases) if at >= number and phase.teacher == mine.teacher]
        if self.frugal and not any(phase.runs or (phase.terms.imitates and at not in span) for at, phase in left):
            self.learner.let_go(mine)
        return replace(rows, outputs=kept, needs=needs)

    def _alike(self, number: int) -> list[int]:
        """The phases that learn from the same teacher on the same rows."""
        rows, teacher = self.rows[number], self.phases[number].teacher
        return [
            at
            for at, (phase, theirs) in enumerate(zip(self.phases, self.rows, strict=True))
            if theirs is rows and phase.teacher == teacher and phase.epochs and phase.terms.imitates and not phase.live
        ]

    def _forget(self, number: int) -> None:
        """Remove the outputs that no later phase reads."""
        for folder in self.scratch.glob(f"{_OUTPUTS}-*-on-*"):
            span = [int(at) for at in folder.name.removeprefix(f"{_OUTPUTS}-").split("-on-")[0].split("-")]
            if span[-1] <= number:
                shutil.rmtree(folder, ignore_errors=True)


def _optimizer(learner: Learner, phase: Phase) -> torch.optim.AdamW:
    """AdamW; biases and normalisation do not decay, and what is beside the student may learn at a rate of its own."""
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in learner.named_parameters():
        if not parameter.requires_grad:
            continue
        decay = 0.0 if any(part in name for part in _NO_DECAY) else phase.weight_decay
        rate = phase.learning_rate * beside.rate(name, learner.student, phase)
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


def _save_learner(weights: dict[str, Tensor], folder: Path) -> None:
    save_file(weights, folder / _LEARNER)


def _save_state(accelerator: Accelerator, folder: Path) -> None:
    accelerator.save_state(str(folder / _STATE))
