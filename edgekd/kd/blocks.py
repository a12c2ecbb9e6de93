"""Layers of an encoder by themselves: run on given states, or in place of another encoder's."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from edgekd.kd.encoder import depth, stack
from edgekd.kd.losses import MASKED
from edgekd.kd.mappings import mean


class Chain(nn.Module):
    """Some layers as one, which is not their owner: their parameters are not its own."""

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        self._layers = tuple(layers)

    def forward(self, states: Tensor, *more: Any, **named: Any) -> Tensor:
        for layer in self._layers:
            states = layer(states, *more, **named)
        return states


def run(layers: Sequence[nn.Module], states: Tensor, mask: Tensor) -> Tensor:
    """What layers make of states (B, n, d) under a mask (B, n)."""
    hidden = (1 - mask[:, None, None, :].to(states.dtype)) * MASKED
    found: Tensor = Chain(layers)(states, hidden)
    return found


@contextmanager
def replaced(student: Any, teacher: Any, open_: Sequence[bool]) -> Iterator[None]:
    """Meanwhile the teacher's layers run in place of each student's layer m whose `open_[m]` is false.

    As in BERT-of-Theseus (Xu et al. 2020, section 3.2) each has as many of them as the others, in their order.
    """
    own, theirs = stack(student), stack(teacher)
    kept = list(own)
    for number, bucket in enumerate(mean(depth(student), depth(teacher)), start=1):
        if not open_[number]:
            own[number - 1] = Chain([theirs[layer - 1] for layer in bucket])
    try:
        yield
    finally:
        for number, layer in enumerate(kept):
            own[number] = layer
