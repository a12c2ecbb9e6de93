"""Where a batch is compared: at its rows, or at the words of them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from edgekd.kd.losses import crf, logits
from edgekd.kd.losses.crf import Potentials
from edgekd.kd.tagger import Tagger
from edgekd.kd.trace import Trace


class Positions:
    """What of a batch is compared: rows or, where it says with which token each word begins, words.

    A word that has no token, in the student's or the teacher's tokens, counts nothing, and neither do padding and the
    tokens that go on with a word.
    """

    def __init__(self, batch: Mapping[str, Any]) -> None:
        self.labels: Tensor | None = batch.get("labels")
        self._places: Tensor | None = batch.get("places")
        if self._places is None:
            return
        self._theirs: Tensor = batch.get("their_places", self._places)
        self._chosen = (self._places >= 0) & (self._theirs >= 0)
        self._there = self._chosen.any(1)  # a chain has a word
        if self.labels is not None:
            self._tags, _ = crf.packed(self.labels[self._there], self._chosen[self._there])
            self.labels = self.labels[self._chosen]

    def hard(self, trace: Trace, labels: Tensor) -> Tensor:
        """The loss of the labels: those of the positions, or what a mix has made of them."""
        if trace.chain is not None:
            assert trace.words is not None
            return crf.likelihood(trace.chain, self._tags.clamp(min=0), trace.words)
        return logits.hard(trace.logits, labels)

    def ours(self, trace: Trace, model: nn.Module) -> Trace:
        """What a student showed, at the positions."""
        return trace if self._places is None else self._of(trace, self._places, model)

    def theirs(self, trace: Trace, model: nn.Module) -> Trace:
        """What a teacher showed, at the same ones."""
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
