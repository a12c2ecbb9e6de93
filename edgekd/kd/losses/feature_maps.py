"""Losses between what normalised hidden states (B, n, d) keep and what they lose: scalars, means over tokens.

MobileBERT's feature map transfer (Sun et al., ACL 2020, section 3.3), with population variances as in its code; the
student's states come projected to the teacher's width.
"""

from torch import Tensor
from torch.nn import functional as F

from edgekd.kd.losses import exact, token_mean


def normalized(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """MSE of each token's states less their mean and over their deviation: a normalisation without gain or bias."""
    ours, theirs = (F.layer_norm(exact(states), states.shape[-1:]) for states in (student, teacher))
    return token_mean((ours - theirs).square().mean(-1), mask)


def means(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """Squared difference of each token's means over neurons."""
    return token_mean((exact(student).mean(-1) - exact(teacher).mean(-1)).square(), mask)


def variances(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """Absolute difference of each token's variances over neurons."""
    ours, theirs = (exact(states).var(-1, unbiased=False) for states in (student, teacher))
    return token_mean((ours - theirs).abs(), mask)
