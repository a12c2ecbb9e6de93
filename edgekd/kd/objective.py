"""The objective of a phase: a student, what trains beside it and its teachers; the module's forward is the loss."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from edgekd.errors import EdgekdError
from edgekd.kd import mappings
from edgekd.kd.beside import Beside
from edgekd.kd.blocks import replaced
from edgekd.kd.choosing import asked, mixed_labels, mixture, most_unsure, unsure
from edgekd.kd.crossing import by_attention, by_modules, distribution
from edgekd.kd.encoder import depth, input_names
from edgekd.kd.gates import Gates, Moment, draw
from edgekd.kd.imitation import Imitation, opened, reads
from edgekd.kd.parts import PARTS, named
from edgekd.kd.phase import SAMPLED, Phase
from edgekd.kd.positions import Positions
from edgekd.kd.tagger import Tagger
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
        self.moment = Moment()

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

    def let_go(self, phase: Phase) -> None:
        """Free the weights of a phase's teacher, which is not asked any more; what it is stays known.

        Those that the student trains on stay, and a tagger's, whose chain is part of what it says.
        """
        model = self._teachers[0][phase.teacher].model
        own = {id(tensor) for tensor in (*self.parameters(), *self.buffers())}
        for tensor in () if isinstance(model, Tagger) else (*model.parameters(), *model.buffers()):
            if id(tensor) not in own:
                tensor.data = tensor.data.new_empty(0)

    def reads(self, phases: Iterable[Phase]) -> Needs:
        """What these phases read of their teacher."""
        needs = Needs()
        for phase in phases:
            if (tap := self.teacher(phase)) is not None:
                needs |= reads(phase, depth(self.student), depth(tap.model))[1]
        return needs

    def forward(self, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """The weighted terms of the current phase, scalars; their sum under "loss".

        Beside them shares, where a phase has them: "taught" of the rows, "open" of the gates.
        """
        assert self.phase is not None
        phase, gates = self.phase, draw(self.phase, self.moment, depth(self.student))
        at = Positions(batch)
        if (tap := self.teacher(phase)) is not None:
            ours, labels, found, told = self._imitated(phase, tap, batch, gates, at)
        else:
            ours, labels = at.ours(self._shown(phase, batch, Needs(), gates), self.student), at.labels
            found, told = {}, {}
        if phase.terms.hard:
            assert labels is not None
            found["hard"] = phase.terms.hard * at.hard(ours, labels)
        if phase.anneal:
            taught = max(0.0, 1 - self.moment.passed / phase.anneal)
            found |= {"soft": taught * found["soft"], "hard": (1 - taught) * found["hard"]}
        if phase.gate != "none":
            told["open"] = gates.share
        loss = torch.stack(list(found.values())).sum()
        if not loss.requires_grad:  # all gates are shut, and what else there is does not train: a step all the same
            loss = loss + 0.0 * next(one for one in self.parameters() if one.requires_grad).sum()
        shares = {name: loss.new_tensor(share) for name, share in told.items()}
        return {**{name: value.detach() for name, value in found.items()}, **shares, "loss": loss}

    def _imitated(
        self, phase: Phase, tap: Tap, batch: Mapping[str, Any], gates: Gates, at: Positions
    ) -> tuple[Trace, Any, dict[str, Tensor], dict[str, float]]:
        """What the student shows, the labels of its rows, the terms that compare it with a teacher, and shares."""
        labels, told = at.labels, {}
        mine, other = reads(phase, depth(self.student), depth(tap.model))
        pairs = self._pairs(phase, tap) if phase.terms.cross else {}
        mix = mixture(self._unsure(phase, batch), phase.mix, phase.keep) if phase.mix is not None else None
        if mix is not None and labels is not None:
            labels = mixed_labels(labels, mix, self._classes)
        # Who lends its attention goes first, else who says about which rows the other is asked.
        theirs = self._taught(tap, batch, other) if pairs else None
        ours = learning = self._shown(phase, batch, mine, gates, mix, self._lent(phase, theirs, pairs, gates))
        counts = self._unsure(phase, batch, ours) if phase.counts else None
        chosen = None
        if phase.chooses and counts is not None:
            chosen = most_unsure(counts, phase.keep)
            learning, counts = ours.rows(chosen), counts[chosen]
        if theirs is None:
            theirs = self._taught(tap, batch, other, mix, chosen)
        if phase.live:
            told["taught"] = len(theirs.logits) / len(batch["input_ids"])
        learning, taught = at.ours(learning, self.student), at.theirs(theirs, tap.model)
        open_ = gates.open if phase.gate == "loss" else (True,) * len(gates.open)
        weights = None if phase.weighting == "none" else counts
        imitation = Imitation(phase, learning, taught, self.beside, self.moment.epoch, open_, weights)
        found = imitation.terms(labels if chosen is None or labels is None else labels[chosen])
        if pairs:
            found["cross"] = phase.terms.cross * opened(self._crossed(phase, tap, batch, ours, theirs, pairs), open_)
        return ours if chosen is not None else learning, labels, found, told

    def _shown(
        self,
        phase: Phase,
        batch: Mapping[str, Any],
        needs: Needs,
        gates: Gates,
        mix: Mix | None = None,
        lent: Mapping[int, Tensor] | None = None,
    ) -> Trace:
        """What the student shows; where the phase gates modules, the teacher's run for those that are shut out."""
        if phase.gate != "module":
            return self._tap.trace(batch, needs, mix, lent)
        with replaced(self.student, self._teachers[0][phase.teacher].model, gates.open):
            return self._tap.trace(batch, needs, mix, lent)

    def _taught(
        self,
        tap: Tap,
        batch: Mapping[str, Any],
        needs: Needs,
        mix: Mix | None = None,
        chosen: Tensor | None = None,
    ) -> Trace:
        """What the teacher shows of a batch, or of some of its rows: kept, or found now."""
        if (kept := batch.get("outputs")) is not None:
            return Trace.kept(kept, batch["attention_mask"], tap.model)
        read = batch.get("theirs", batch)
        if chosen is not None:
            read = {name: read[name][chosen] for name in input_names(tap.model)}
        with torch.no_grad():
            return tap.trace(read, needs, mix)

    def _unsure(self, phase: Phase, batch: Mapping[str, Any], ours: Trace | None = None) -> Tensor:
        """How unsure the student is of each row (B,): by what it just answered, or by passes of their own."""
        by = phase.measure(self._classes)
        if ours is not None and by not in SAMPLED:
            return unsure(ours.logits.detach()[None], by)
        inputs = {name: batch[name] for name in input_names(self.student)}
        return asked(self.student, inputs, by, phase.passes if by in SAMPLED else 1)

    def _pairs(self, phase: Phase, tap: Tap) -> dict[int, int]:
        """The teacher's layer of each student layer that learns."""
        chosen = mappings.resolve(phase.mapping, depth(self.student), depth(tap.model), self.moment.epoch)
        return {number: layers[0] for number, layers in enumerate(chosen, start=1) if layers}

    def _lent(self, phase: Phase, theirs: Trace | None, pairs: Mapping[int, int], gates: Gates) -> dict[int, Tensor]:
        """The teacher's attention, for the student's layers that are crossed in this step."""
        if theirs is None or phase.cross != "attention":
            return {}
        heads = int(self.student.config.num_attention_heads)  # type: ignore[union-attr,arg-type]
        return {mine: distribution(theirs, other, heads) for mine, other in pairs.items() if gates.crossed[mine]}

    def _crossed(
        self, phase: Phase, tap: Tap, batch: Mapping[str, Any], ours: Trace, theirs: Trace, pairs: Mapping[int, int]
    ) -> dict[int, Tensor]:
        if phase.cross == "attention":
            return by_attention(tap, batch, ours, theirs, pairs)
        return by_modules(self.student, tap.model, ours, theirs, pairs, phase.cross_share)


def _some(names: Sequence[str]) -> str:
    return f"Parts are {', '.join(PARTS)}; parameters are called {names[0]} ... {names[-1]}."
