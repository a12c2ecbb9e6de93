"""How a loss between two layers becomes a loss between two encoders: by the phase's mapping.

A fixed mapping mixes the teacher's layers into one for each student layer, ALP-KD mixes them for each row by how alike
the first tokens' states are, BERT-EMD compares all with all and weighs the pairs by an optimal flow.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from edgekd.kd.adaptive_mappings import alp, emd_flow, emd_weights
from edgekd.kd.losses import exact

States = Mapping[int, Tensor]
# Of a student's layer, by its number, its state and a teacher's.
Cost = Callable[[int, Tensor, Tensor], Tensor]


class Layers(ABC):
    """What a term sums over; `ours` and `theirs` are states by layer, from 1 (0, the embedding output, is left out)."""

    @abstractmethod
    def losses(self, ours: States, theirs: States, cost: Cost) -> dict[int, Tensor]:
        """Of each student layer that learns, by its number."""


class Mixed(Layers):
    """One teacher state for each student layer that learns."""

    @abstractmethod
    def taught(self, theirs: States) -> dict[int, Tensor]:
        """The teacher state of each student layer that learns."""

    def losses(self, ours: States, theirs: States, cost: Cost) -> dict[int, Tensor]:
        return {number: cost(number, ours[number], state) for number, state in self.taught(theirs).items()}


class Fixed(Mixed):
    """The mean of some teacher layers for each student layer; one with none learns nothing."""

    def __init__(self, chosen: Sequence[tuple[int, ...]]) -> None:
        self._chosen = chosen

    def taught(self, theirs: States) -> dict[int, Tensor]:
        return {
            number: torch.stack([theirs[layer] for layer in layers]).mean(0)
            for number, layers in enumerate(self._chosen, start=1)
            if layers
        }


class Attended(Mixed):
    """By weights (B, M, N) of each row: ALP-KD's attention over the teacher's layers."""

    def __init__(self, ours: States, theirs: States) -> None:
        """From hidden states, the student's projected to the teacher's width."""
        self._weights = alp(*(_stacked({n: states[:, 0] for n, states in s.items()}) for s in (ours, theirs)))

    def taught(self, theirs: States) -> dict[int, Tensor]:
        # Under autocast the mix would be rounded to half precision.
        with torch.autocast(self._weights.device.type, enabled=False):
            mixed = torch.einsum("bmn,bn...->bm...", self._weights, exact(_stacked(theirs)))
        return {number: mixed[:, number - 1] for number in range(1, mixed.shape[1] + 1)}


class Flow(nn.Module):
    """BERT-EMD's layer weights, which every step estimates anew; they are part of a checkpoint."""

    student: Tensor
    teacher: Tensor

    def __init__(self, student: int, teacher: int) -> None:
        super().__init__()
        self.register_buffer("student", torch.full((student,), 1 / student))
        self.register_buffer("teacher", torch.full((teacher,), 1 / teacher))


class Moved(Layers):
    """By the cheapest flow between the layers (BERT-EMD); `settle` estimates the layers' weights for the next step."""

    def __init__(self, weights: Flow) -> None:
        self._weights = weights
        self._estimates: list[tuple[Tensor, Tensor]] = []

    def losses(self, ours: States, theirs: States, cost: Cost) -> dict[int, Tensor]:
        numbers, others = ([layer for layer in sorted(states) if layer] for states in (ours, theirs))
        costs = torch.stack(
            [torch.stack([cost(number, ours[number], theirs[other]) for other in others]) for number in numbers]
        )
        flow = emd_flow(costs.detach(), self._weights.student, self._weights.teacher)
        self._estimates.append(emd_weights(flow, costs.detach(), self._weights.student, self._weights.teacher))
        return dict(zip(numbers, (flow * costs).sum(1), strict=True))

    def settle(self) -> None:
        """The mean of the estimates of hidden states and attention."""
        for place, kept in enumerate((self._weights.student, self._weights.teacher)):
            kept.copy_(torch.stack([estimate[place] for estimate in self._estimates]).mean(0))


def _stacked(states: States) -> Tensor:
    return torch.stack([states[layer] for layer in sorted(states) if layer], dim=1)
