"""Losses between hidden states (B, n, d) of a student's and a teacher's layer: scalars, means over tokens.

All but `gram` compare width with width, so that the student's states come projected to the teacher's.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from edgekd.kd.losses import HiddenLoss, exact, pair_mean, token_mean


def mse(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """Mean squared error (TinyBERT, Jiao et al. 2020, equations 8 and 9)."""
    return token_mean((exact(student) - exact(teacher)).square().mean(-1), mask)


def cosine(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """1 - cos of each token's states (DistilBERT, Sanh et al. 2019, section 2): their length does not count."""
    return token_mean(1 - F.cosine_similarity(exact(student), exact(teacher), dim=-1), mask)


def normalized_mse(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """MSE of states scaled to length 1, as PKD's of one token (Sun et al. 2019, section 3.2): 2 / d of `cosine`."""
    return mse(F.normalize(exact(student), dim=-1), F.normalize(exact(teacher), dim=-1), mask)


def gram(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """Mean square, over pairs of a row's tokens, of H_S H_S^T / d_S - H_T H_T^T / d_T; the widths may differ.

    With neurons as samples it is the squared maximum mean discrepancy under the kernel (x^T y)^2 (Huang and Wang 2017,
    between feature maps of images, whose neurons are scaled to length 1). For states of tokens, unscaled, and as a
    mean over pairs it is edgekd's reconstruction.
    """
    # Under autocast the products would be rounded to half precision.
    with torch.autocast(student.device.type, enabled=False):
        ours, theirs = (
            states @ states.transpose(1, 2) / states.shape[-1] for states in (exact(student), exact(teacher))
        )
    return pair_mean((ours - theirs).square().unsqueeze(1), mask)


HIDDEN: dict[HiddenLoss, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "mse": mse,
    "cosine": cosine,
    "normalized_mse": normalized_mse,
    "gram": gram,
}
# Those that take a student of any width as it is.
ANY_WIDTH: frozenset[HiddenLoss] = frozenset({"gram"})
