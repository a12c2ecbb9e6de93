"""The objective of a phase: a student, what trains beside it and its teachers; the module's forward is the loss."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from edgekd.errors import EdgekdError
from edgekd.kd import mappings
from edgekd.kd.beside import Beside
from edgekd.kd.choosing import asked, mixed_labels, mixture, most_unsure, unsure
from edgekd.kd.encoder import depth, input_names
from edgekd.kd.imitation import Imitation, reads
from edgekd.kd.losses import logits
from edgekd.kd.losses.relations import check_heads
from edgekd.kd.parts import PARTS, named
from edgekd.kd.phase import SAMPLED, Phase
from edgekd.kd.tap import Mix, Tap
from edgekd.kd.trace import Needs, Trace


class Learner(nn.Module):
    """What is trained: the student, and the modules beside it that phases need and that are dropped at the end.

    `teachers` are by the names that phases call them.
    """

    def __init__(self, student: nn.Module, teachers: Mapping[str, nn.Module], phases: Sequence[Phase]) -> None:
        super().__init__()
        insides = any(phase.terms.insides for phase in phases)
        first = next(iter(teachers.values()), None)
        self.student = student
        self._classes = int(student.config.num_labels)  # type: ignore[union-attr,arg-type]
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
        labels: Any = batch.get("labels")
        found: dict[str, Tensor] = {}
        told: dict[str, Tensor] = {}
        if tap is None:
            ours = self._tap.trace(batch, Needs())
        else:
            mine, other = reads(phase, depth(self.student), depth(tap.model))
            mix = None
            if phase.mix is not None:
                mix = mixture(self._unsure(batch), phase.mix, phase.keep)
                labels = None if labels is None else mixed_labels(labels, mix, self._classes)
            ours = learning = self._tap.trace(batch, mine, mix)
            doubt = chosen = None
            if phase.weighting != "none" or (phase.keep < 1 and mix is None):
                doubt = self._unsure(batch, ours)
            if phase.keep < 1 and mix is None and doubt is not None:
                chosen = most_unsure(doubt, phase.keep)
                learning, doubt = ours.rows(chosen), doubt[chosen]
            theirs = self._taught(tap, batch, other, mix, chosen)
            if phase.live:
                told["taught"] = torch.tensor(len(theirs.logits) / len(batch["input_ids"]))
            weights = None if phase.weighting == "none" else doubt
            imitation = Imitation(phase, learning, theirs, self.beside, self.seed, weights)
            found |= imitation.terms(labels if chosen is None or labels is None else labels[chosen])
        if phase.terms.hard:
            found["hard"] = phase.terms.hard * logits.hard(ours.logits, labels)
        loss = torch.stack(list(found.values())).sum()
        return {**{name: value.detach() for name, value in found.items()}, **told, "loss": loss}

    def _taught(
        self, tap: Tap, batch: Mapping[str, Any], needs: Needs, mix: Mix | None, chosen: Tensor | None
    ) -> Trace:
        """What the teacher shows of a batch, or of some of its rows: kept, or found now."""
        if (kept := batch.get("outputs")) is not None:
            return Trace.kept(kept, batch["attention_mask"], tap.model)
        read = batch.get("theirs", batch)
        if chosen is not None:
            read = {name: read[name][chosen] for name in input_names(tap.model)}
        with torch.no_grad():
            return tap.trace(read, needs, mix)

    def _unsure(self, batch: Mapping[str, Any], ours: Trace | None = None) -> Tensor:
        """How unsure the student is of each row (B,): by what it just answered, or by passes of their own."""
        assert self.phase is not None
        if ours is not None and self.phase.uncertain_by not in SAMPLED:
            return unsure(ours.logits.detach()[None], self.phase.uncertain_by)
        return asked(self.student, {name: batch[name] for name in input_names(self.student)}, self.phase)


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
        if phase.asks and student.config.num_labels == 1 and phase.uncertain_by != "variance":
            raise EdgekdError(
                f"phase '{phase.name}': {phase.uncertain_by} is of classes, and this is a regression",
                "Set uncertain_by: variance.",
            )
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
    """What is no mean over rows, if a phase has any such."""
    if phase.terms.contrastive:
        return "contrastive"
    if phase.terms.soft and phase.soft_loss in ("dist", "dist_columns"):
        return phase.soft_loss
    if phase.live:
        return "the choice of rows"
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
