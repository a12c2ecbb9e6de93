"""The objective of a phase: a student, its projection and its teacher in one module whose forward is the loss."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from edgekd.kd.encoder import Tap, Trace, depth
from edgekd.kd.losses import attention, hidden, logits
from edgekd.kd.mappings import resolve
from edgekd.kd.phase import Phase


class Learner(nn.Module):
    """What is trained: the student and, where phases compare hidden states, one projection to the teacher's width.

    The projection W_h (d_S -> d_T) is shared by all layers and the embedding output, as in TinyBERT's code; it is
    learnt, kept from phase to phase, and dropped at the end. For equal widths it starts as the identity.
    """

    def __init__(self, student: nn.Module, teacher: nn.Module | None, phases: Sequence[Phase]) -> None:
        super().__init__()
        insides = any(phase.terms.insides for phase in phases)
        self.student = student
        self.projection = _projection(student, teacher) if teacher is not None and insides else None
        self._tap = Tap(student, insides)
        # In a tuple, so that the teacher is no part of this module: it is neither trained nor checkpointed.
        self._teacher = (Tap(teacher.eval().requires_grad_(False), insides),) if teacher is not None else ()
        self.phase = phases[0] if phases else None

    def place(self, device: torch.device) -> None:
        """Move the teacher beside the student."""
        for tap in self._teacher:
            tap.model.to(device)

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The weighted terms of the current phase, scalars; their sum under "loss"."""
        assert self.phase is not None
        terms = self.phase.terms
        ours = self._tap.trace(batch)
        found: dict[str, Tensor] = {}
        if terms.hard:
            found["hard"] = terms.hard * logits.hard(ours.logits, batch["labels"])
        if self._teacher and (terms.soft or terms.insides):
            with torch.no_grad():
                theirs = self._teacher[0].trace(batch)
            found |= self._imitation(self.phase, ours, theirs)
        return {
            **{name: value.detach() for name, value in found.items()},
            "loss": torch.stack(list(found.values())).sum(),
        }

    def _imitation(self, phase: Phase, ours: Trace, theirs: Trace) -> dict[str, Tensor]:
        terms, mask, found = phase.terms, ours.mask, {}
        if terms.soft:
            found["soft"] = terms.soft * logits.cross_entropy(ours.logits, theirs.logits, phase.temperature)
        if not terms.insides:
            return found
        resolved = resolve(phase.mapping, len(ours.queries), len(theirs.queries))
        pairs = [(m, n) for m, chosen in enumerate(resolved, start=1) for n in chosen]
        project = self.projection or nn.Identity()
        if terms.embedding:
            found["embedding"] = terms.embedding * hidden.mse(project(ours.hidden[0]), theirs.hidden[0], mask)
        if terms.hidden:
            each = [hidden.mse(project(ours.hidden[m]), theirs.hidden[n], mask) for m, n in pairs]
            found["hidden"] = terms.hidden * torch.stack(each).sum()
        if terms.attention:
            each = [attention.score_mse(ours.scores(m), theirs.scores(n), mask) for m, n in pairs]
            found["attention"] = terms.attention * torch.stack(each).sum()
        return found


def check(student: Any, teacher: Any, phases: Sequence[Phase]) -> None:
    """Raises EdgekdError, before anything is trained, where a phase cannot work with these two."""
    for phase in phases:
        if phase.terms.insides:
            resolve(phase.mapping, depth(student), depth(teacher))


def _projection(student: Any, teacher: Any) -> nn.Linear:
    ours, theirs = student.config.hidden_size, teacher.config.hidden_size
    projection = nn.Linear(ours, theirs)
    if ours == theirs:
        nn.init.eye_(projection.weight)
    nn.init.zeros_(projection.bias)
    return projection
