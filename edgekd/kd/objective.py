"""The objective of a phase: a student, what trains beside it and its teachers; the module's forward is the loss."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from edgekd.errors import EdgekdError
from edgekd.kd import mappings
from edgekd.kd.beside import Beside
from edgekd.kd.encoder import depth
from edgekd.kd.imitation import Imitation, reads
from edgekd.kd.losses import logits
from edgekd.kd.losses.relations import check_heads
from edgekd.kd.parts import PARTS, named
from edgekd.kd.phase import Phase
from edgekd.kd.trace import Needs, Tap, Trace


class Learner(nn.Module):
    """What is trained: the student, and the modules beside it that phases need and that are dropped at the end.

    `teachers` are by the names that phases call them.
    """

    def __init__(self, student: nn.Module, teachers: Mapping[str, nn.Module], phases: Sequence[Phase]) -> None:
        super().__init__()
        insides = any(phase.terms.insides for phase in phases)
        first = next(iter(teachers.values()), None)
        self.student = student
        self.beside = Beside(student, first, phases)
        self._tap = Tap(student, insides)
        # In a tuple, so that the teachers are no part of this module: they are neither trained nor checkpointed.
        self._teachers = (
            {name: Tap(teacher.eval().requires_grad_(False), insides) for name, teacher in teachers.items()},
        )
        self.phase = phases[0] if phases else None
        self.seed = 0  # of the epoch, for what a mapping draws

    def place(self, device: torch.device) -> None:
        """Move the teachers beside the student."""
        for tap in self._teachers[0].values():
            tap.model.to(device)

    def begin(self, phase: Phase) -> None:
        """Train by this phase from here on. Raises EdgekdError where it freezes what there is not, or everything."""
        self.phase = phase
        names = [name for name, _ in self.student.named_parameters()]
        frozen: set[str] = set()
        for pattern in phase.freeze:
            if not (found := named(self.student, names, pattern)):
                raise EdgekdError(f"phase '{phase.name}' freezes '{pattern}': no parameter is called so", _some(names))
            frozen |= found
        if len(frozen) == len(names):
            raise EdgekdError(f"phase '{phase.name}' freezes every parameter", "Leave some of them out of freeze.")
        for name, parameter in self.student.named_parameters():
            parameter.requires_grad_(name not in frozen)
        self.beside.begin(phase)

    def teacher(self, phase: Phase) -> Tap | None:
        """The teacher that a phase learns from, if it does."""
        return self._teachers[0].get(phase.teacher) if phase.terms.imitates else None

    def reads(self, phases: Iterable[Phase]) -> Needs:
        """What these phases read of their teacher."""
        needs = Needs()
        for phase in phases:
            if (tap := self.teacher(phase)) is not None:
                needs |= reads(phase, depth(self.student), depth(tap.model))[1]
        return needs

    def forward(self, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """The weighted terms of the current phase, scalars; their sum under "loss"."""
        assert self.phase is not None
        phase, tap = self.phase, self.teacher(self.phase)
        found: dict[str, Tensor] = {}
        if tap is None:
            ours = self._tap.trace(batch, Needs())
        else:
            mine, other = reads(phase, depth(self.student), depth(tap.model))
            ours = self._tap.trace(batch, mine)
            imitation = Imitation(phase, ours, self._taught(tap, batch, other), self.beside, self.seed)
            found |= imitation.terms(batch.get("labels"))
        if phase.terms.hard:
            found["hard"] = phase.terms.hard * logits.hard(ours.logits, batch["labels"])
        return {
            **{name: value.detach() for name, value in found.items()},
            "loss": torch.stack(list(found.values())).sum(),
        }

    def _taught(self, tap: Tap, batch: Mapping[str, Any], needs: Needs) -> Trace:
        """What the teacher shows of a batch: kept, or found now."""
        if (kept := batch.get("outputs")) is not None:
            return Trace.kept(kept, batch["attention_mask"], tap.model)
        with torch.no_grad():
            return tap.trace(batch.get("theirs", batch), needs)


def check(student: Any, teachers: Mapping[str, Any], phases: Sequence[Phase]) -> list[str]:
    """Raises EdgekdError, before anything is trained, where a phase cannot work with these models.

    Returns doubts: terms that work, but not as their names say.
    """
    doubts = []
    estimated = False
    for phase in phases:
        if not phase.epochs or not phase.terms.imitates:
            continue
        if (teacher := teachers.get(phase.teacher)) is None:
            raise EdgekdError(
                f"phase '{phase.name}' learns from the {phase.teacher} teacher, and there is none",
                "Name the encoder that the teacher was tuned from: general: {model: NAME, corpus: FILE}.",
            )
        first = next(iter(teachers.values()))
        if phase.terms.insides and _sizes(teacher) != _sizes(first):
            raise EdgekdError(
                f"phase '{phase.name}': the {phase.teacher} teacher has {_sizes(teacher)}, the other {_sizes(first)}",
                "Name the encoder that the teacher was tuned from.",
            )
        if phase.terms.insides and not phase.projected and _width(student) != _width(teacher):
            raise EdgekdError(
                f"phase '{phase.name}' compares {_width(student)} neurons with {_width(teacher)}, without a projection",
                "Set projected: true.",
            )
        if phase.terms.uncertainty and phase.uncertainty_loss == "weighted" and not estimated:
            raise EdgekdError(
                f"phase '{phase.name}' weighs by an uncertainty that no earlier phase has estimated",
                "Set uncertainty_loss: laplace, here or in a phase before.",
            )
        estimated = estimated or bool(phase.terms.uncertainty)
        if phase.accumulate > 1 and (torn := _by_batch(phase)):
            doubts.append(
                f"phase '{phase.name}': {torn} compares the rows of a batch, of which it sees 1/{phase.accumulate}"
            )
        if phase.terms.mapped:
            mappings.resolve(phase.mapping, depth(student), depth(teacher))
        if phase.terms.relations:
            _check_relations(phase, student, teacher)
        if phase.terms.soft and (why := logits.degenerate(phase.soft_loss, student.config.num_labels)):
            if student.config.num_labels == 1 or phase.soft_loss == "standardized":
                raise EdgekdError(f"phase '{phase.name}': {why}", "Set soft_loss: kl, or mse.")
            doubts.append(f"phase '{phase.name}': {why}")
    return doubts


def _sizes(model: Any) -> str:
    return f"{depth(model)} layers of {model.config.hidden_size}"


def _width(model: Any) -> int:
    return int(model.config.hidden_size)


def _by_batch(phase: Phase) -> str:
    """The term that is no mean over rows, if a phase has one."""
    if phase.terms.contrastive:
        return "contrastive"
    if phase.terms.soft and phase.soft_loss in ("dist", "dist_columns"):
        return phase.soft_loss
    return "emd" if phase.terms.mapped and phase.mapping == "emd" else ""


def _check_relations(phase: Phase, student: Any, teacher: Any) -> None:
    ours, theirs = student.config, teacher.config
    if (phase.relation_layer or 1) > depth(teacher):
        raise EdgekdError(
            f"phase '{phase.name}': the teacher has {depth(teacher)} layers, no layer {phase.relation_layer}",
            f"Set relation_layer to 1..{depth(teacher)}.",
        )
    if phase.relations == "minilmv2":
        check_heads(ours.hidden_size, theirs.hidden_size, phase.relation_heads or ours.num_attention_heads)
    elif ours.num_attention_heads != theirs.num_attention_heads:
        raise EdgekdError(
            f"phase '{phase.name}': minilm compares head with head, and the student has {ours.num_attention_heads}, "
            f"the teacher {theirs.num_attention_heads}",
            "Set relations: minilmv2.",
        )


def _some(names: Sequence[str]) -> str:
    return f"Parts are {', '.join(PARTS)}; parameters are called {names[0]} ... {names[-1]}."
