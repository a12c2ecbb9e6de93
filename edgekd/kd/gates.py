"""Gates of a student's modules, drawn for each step: Bernoulli linear transfer.

Source: US11341326B2, claim 4, has an initial transition probability of 0.1 to 0.3; Xu et al., "BERT-of-Theseus", EMNLP
2020, section 3.3, the linear rise p(t) = min(1, k t + b). Reconstructed: that each module draws for itself, and k.
"""

import random
from dataclasses import dataclass

from edgekd.kd.phase import Phase


@dataclass(frozen=True)
class Moment:
    """Where a phase stands: the seeds of its epoch and its step, and the share of its steps that is done."""

    epoch: int = 0
    step: int = 0
    passed: float = 0.0


@dataclass(frozen=True)
class Gates:
    """Of one step, by module: 0 the embeddings, 1..M the layers, M + 1 the head.

    open: with the phase's chance p. crossed: with 1 - p, drawn apart.
    """

    open: tuple[bool, ...]
    crossed: tuple[bool, ...]

    @property
    def share(self) -> float:
        return sum(self.open) / len(self.open)


def draw(phase: Phase, moment: Moment, layers: int) -> Gates:
    """The same for every part of a step, and in every process."""
    chance, number = phase.chance(moment.passed), random.Random(moment.step).random
    return Gates(
        tuple(number() < chance for _ in range(layers + 2)), tuple(number() >= chance for _ in range(layers + 2))
    )
