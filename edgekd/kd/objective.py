"""The objective of a phase: a student, its projection and its teachers in one module whose forward is the loss."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatch
from typing import Any

import torch
from torch import Tensor, nn

from edgekd.errors import EdgekdError
from edgekd.kd import mappings
from edgekd.kd.encoder import depth
from edgekd.kd.imitation import Imitation, reads
from edgekd.kd.layers import Flow
from edgekd.kd.losses import CHAINS, crf, logits
from edgekd.kd.losses.crf import Potentials
from edgekd.kd.losses.relations import check_heads
from edgekd.kd.phase import Phase
from edgekd.kd.tagger import Tagger
from edgekd.kd.trace import Needs, Tap, Trace


class Learner(nn.Module):
    """What is trained: the student and, where phases compare hidden states, one projection to the teacher's width.

    The projection W_h (d_S -> d_T) is shared by all layers and the embedding output, as in TinyBERT's code; it is
    learnt, kept from phase to phase, and dropped at the end. For equal widths it starts as the identity.
    `teachers` are by the names that phases call them.
    """

    def __init__(self, student: nn.Module, teachers: Mapping[str, nn.Module], phases: Sequence[Phase]) -> None:
        super().__init__()
        insides = any(phase.terms.insides for phase in phases)
        first = next(iter(teachers.values()), None)
        self.student = student
        self.projection = _projection(student, first) if first is not None and insides else None
        moved = first is not None and any(phase.mapping == "emd" for phase in phases)
        self.flow = Flow(depth(student), depth(first)) if moved else None
        self._tap = Tap(student, insides)
        # In a tuple, so that the teachers are no part of this module: they are neither trained nor checkpointed.
        self._teachers = (
            {name: Tap(teacher.eval().requires_grad_(False), insides) for name, teacher in teachers.items()},
        )
        self.phase = phases[0] if phases else None
        self.seed = 0  # of the epoch, for what a mapping draws
        self.passed = 0.0  # share of the phase

    def place(self, device: torch.device) -> None:
        """Move the teachers beside the student."""
        for tap in self._teachers[0].values():
            tap.model.to(device)

    def begin(self, phase: Phase) -> None:
        """Train by this phase from here on. Raises EdgekdError where it freezes what there is not, or everything."""
        self.phase = phase
        names = [name for name, _ in self.student.named_parameters()]
        for pattern in phase.freeze:
            if not any(fnmatch(name, pattern) for name in names):
                raise EdgekdError(f"phase '{phase.name}' freezes '{pattern}': no parameter is called so", _some(names))
        for name, parameter in self.student.named_parameters():
            parameter.requires_grad_(not any(fnmatch(name, pattern) for pattern in phase.freeze))
        if not any(parameter.requires_grad for parameter in self.student.parameters()):
            raise EdgekdError(f"phase '{phase.name}' freezes every parameter", "Leave some of them out of freeze.")

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
        positions = _Positions(batch)
        if tap is None:
            ours = positions.ours(self._tap.trace(batch, Needs()), self.student)
        else:
            mine, other = reads(phase, depth(self.student), depth(tap.model))
            ours, theirs = self._tap.trace(batch, mine), self._taught(tap, batch, other)
            ours, theirs = positions.ours(ours, self.student), positions.theirs(theirs, tap.model)
            found |= Imitation(phase, ours, theirs, self.projection, self.flow, self.seed).terms(positions.labels)
        if phase.terms.hard:
            assert positions.labels is not None
            found["hard"] = phase.terms.hard * positions.hard(ours)
        if phase.anneal:
            taught = max(0.0, 1 - self.passed / phase.anneal)
            found |= {"soft": taught * found["soft"], "hard": (1 - taught) * found["hard"]}
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


class _Positions:
    """What of a batch is compared: rows or, where it says with which token each word begins, words.

    A word that has no token, in the student's or the teacher's tokens, counts nothing, and neither do padding and the
    tokens that go on with a word.
    """

    def __init__(self, batch: Mapping[str, Any]) -> None:
        self.labels: Tensor | None = batch.get("labels")
        self._places: Tensor | None = batch.get("places")
        if self._places is not None and self.labels is not None:
            self._theirs: Tensor = batch.get("their_places", self._places)
            self._chosen = (self._places >= 0) & (self._theirs >= 0)
            self._there = self._chosen.any(1)  # a chain has a word
            self._tags, _ = crf.packed(self.labels[self._there], self._chosen[self._there])
            self.labels = self.labels[self._chosen]

    def hard(self, trace: Trace) -> Tensor:
        """The loss of the labels."""
        assert self.labels is not None
        if trace.chain is not None:
            assert trace.words is not None
            return crf.likelihood(trace.chain, self._tags.clamp(min=0), trace.words)
        return logits.hard(trace.logits, self.labels)

    def ours(self, trace: Trace, model: nn.Module) -> Trace:
        return trace if self._places is None else self._of(trace, self._places, model)

    def theirs(self, trace: Trace, model: nn.Module) -> Trace:
        return trace if self._places is None else self._of(trace, self._theirs, model)

    def _of(self, trace: Trace, places: Tensor, model: nn.Module) -> Trace:
        words = logits.at_words(trace.logits, places, self._chosen)
        if not isinstance(model, Tagger):
            return replace(trace, logits=words)
        rows = torch.arange(len(places), device=places.device)[:, None]
        every = trace.logits[rows, places.clamp(min=0)]
        emissions, mask = crf.packed(every[self._there], self._chosen[self._there])
        chain = Potentials(emissions, model.chain.start, model.chain.transitions, model.chain.end)
        return replace(trace, logits=words, chain=chain, words=mask)


def check(student: Any, teachers: Mapping[str, Any], phases: Sequence[Phase]) -> list[str]:
    """Raises EdgekdError, before anything is trained, where a phase cannot work with these models.

    Returns doubts: terms that work, but not as their names say.
    """
    doubts = []
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
        if phase.accumulate > 1 and (torn := _by_batch(phase)):
            doubts.append(
                f"phase '{phase.name}': {torn} compares the rows of a batch, of which it sees 1/{phase.accumulate}"
            )
        if phase.terms.mapped:
            mappings.resolve(phase.mapping, depth(student), depth(teacher))
        if phase.terms.relations:
            _check_relations(phase, student, teacher)
        if phase.terms.soft and phase.soft_loss in CHAINS:
            if not (isinstance(student, Tagger) and isinstance(teacher, Tagger)):
                raise EdgekdError(
                    f"phase '{phase.name}': {phase.soft_loss} compares the chains of two taggers with a dictionary",
                    "Give the teacher's step a dictionary, or set soft_loss: kl.",
                )
        elif phase.terms.soft and (why := logits.degenerate(phase.soft_loss, student.config.num_labels)):
            if student.config.num_labels == 1 or phase.soft_loss == "standardized":
                raise EdgekdError(f"phase '{phase.name}': {why}", "Set soft_loss: kl, or mse.")
            doubts.append(f"phase '{phase.name}': {why}")
    return doubts


def _sizes(model: Any) -> str:
    return f"{depth(model)} layers of {model.config.hidden_size}"


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


def _projection(student: Any, teacher: Any) -> nn.Linear:
    ours, theirs = student.config.hidden_size, teacher.config.hidden_size
    projection = nn.Linear(ours, theirs)
    if ours == theirs:
        nn.init.eye_(projection.weight)
    nn.init.zeros_(projection.bias)
    return projection


def _some(names: Sequence[str]) -> str:
    return f"Parameters are called {names[0]} ... {names[-1]}."
