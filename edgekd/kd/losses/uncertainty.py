"""Losses between hidden states under an estimated log scale s of their difference: all (B, n, d), scalars out.

The anchor is "Uncertainty-Driven Loss for Single Image Super-Resolution" (Ning et al., NeurIPS 2021): a Laplace
likelihood with Jeffreys' prior, and a second step that weighs by the estimate of the first.
"""

from collections.abc import Callable

from torch import Tensor

from edgekd.kd.losses import UncertaintyLoss, exact, token_mean


def laplace(student: Tensor, teacher: Tensor, scale: Tensor, mask: Tensor, prior: float) -> Tensor:
    """e^-s |r| + prior s, mean over width and tokens: for a fixed residual r it is least at s = ln(|r| / prior).

    A prior of 1 is the Laplace likelihood, 2 adds Jeffreys' prior (Ning et al. 2021, section 3).
    """
    scale = exact(scale)
    return token_mean((_distance(student, teacher) * (-scale).exp() + prior * scale).mean(-1), mask)


def gaussian(student: Tensor, teacher: Tensor, scale: Tensor, mask: Tensor) -> Tensor:
    """(e^-s r^2 + s) / 2, the Gaussian likelihood, mean over width and tokens: least at s = ln r^2."""
    scale = exact(scale)
    return token_mean((_distance(student, teacher).square() * (-scale).exp() + scale).mean(-1), mask) / 2


def weighted(student: Tensor, teacher: Tensor, scale: Tensor, mask: Tensor) -> Tensor:
    """|r| weighted by s - min s + 1, the least of each neuron over a row's tokens; the weights take no gradient.

    The second step of Ning et al. 2021, whose least is over an image's places.
    """
    scale = exact(scale).detach()
    least = scale.masked_fill(mask.unsqueeze(-1) == 0, float("inf")).amin(1, keepdim=True)
    return token_mean((_distance(student, teacher) * (scale - least + 1)).mean(-1), mask)


def of(name: UncertaintyLoss, prior: float) -> Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]:
    """A loss by its name."""
    match name:
        case "laplace":
            return lambda student, teacher, scale, mask: laplace(student, teacher, scale, mask, prior)
        case "gaussian":
            return gaussian
        case "weighted":
            return weighted


def _distance(student: Tensor, teacher: Tensor) -> Tensor:
    return (exact(student) - exact(teacher)).abs()
