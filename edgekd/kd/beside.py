"""What is trained beside a student and dropped with the training."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from edgekd.kd.encoder import depth
from edgekd.kd.layers import Flow
from edgekd.kd.parts import part
from edgekd.kd.phase import Phase

_LARGEST = 6.0


class Estimator(nn.Module):
    """An uncertainty estimation module: the log scale s of a layer's difference from its teacher, both (B, n, d).

    Source: that a module for uncertainty stands beside the student (CN114819148A), and that it is a small head with an
    ELU (Ning et al. 2021, on images). Reconstructed: two linear layers by way of d / 4; s starts at 0, within 6 of it.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.narrow, self.wide = nn.Linear(width, width // 4), nn.Linear(width // 4, width)
        nn.init.zeros_(self.wide.weight)
        nn.init.zeros_(self.wide.bias)

    def forward(self, states: Tensor) -> Tensor:
        scale: Tensor = self.wide(F.elu(self.narrow(states)))
        return scale.clamp(-_LARGEST, _LARGEST)


class Beside(nn.Module):
    """The modules that some phases need, kept from phase to phase; None where none does.

    projection: W_h (d_S -> d_T), shared by all layers and the embedding output, as in TinyBERT's code; for equal widths
    it starts as the identity. flow: BERT-EMD's layer weights. estimators: one for each student layer, by its number.
    """

    def __init__(self, student: Any, teacher: Any | None, phases: Sequence[Phase]) -> None:
        super().__init__()
        phases = phases if teacher is not None else ()
        projected = any(phase.terms.insides and phase.projected for phase in phases)
        moved = any(phase.mapping == "emd" for phase in phases)
        estimated = any(phase.terms.uncertainty for phase in phases)
        self.projection = _projection(student, teacher) if projected else None
        self.flow = Flow(depth(student), depth(teacher)) if moved else None
        self.estimators = _estimators(student, teacher) if estimated else None

    def begin(self, phase: Phase) -> None:
        """Weights by an estimate are those of an estimator that an earlier phase has trained."""
        if self.estimators is not None:
            self.estimators.requires_grad_(phase.uncertainty_loss != "weighted")


def rate(name: str, student: Any, phase: Phase) -> float:
    """The learning rate of a learner's parameter, in multiples of the phase's."""
    match name.split("."):
        case ["beside", "projection", *_]:
            return phase.projection_rate
        case ["beside", "estimators", *_]:
            return phase.estimator_rate
        case ["student", *own] if part(student, ".".join(own)) == "head":
            return phase.head_rate
    return 1.0


def _projection(student: Any, teacher: Any) -> nn.Linear:
    ours, theirs = student.config.hidden_size, teacher.config.hidden_size
    projection = nn.Linear(ours, theirs)
    if ours == theirs:
        nn.init.eye_(projection.weight)
    nn.init.zeros_(projection.bias)
    return projection


def _estimators(student: Any, teacher: Any) -> nn.ModuleDict:
    width = teacher.config.hidden_size
    return nn.ModuleDict({str(number): Estimator(width) for number in range(1, depth(student) + 1)})
