"""Losses between one vector a row: the first token's state, or the mean over tokens."""

import torch
from torch import Tensor
from torch.nn import functional as F

from edgekd.kd.losses import exact


def mean_pooled(hidden: Tensor, mask: Tensor) -> Tensor:
    """Mean over tokens, (B, n, d) to (B, d)."""
    weights = mask.unsqueeze(-1)
    return (exact(hidden) * weights).sum(1) / weights.sum(1)


def pkd(student: Tensor, teacher: Tensor) -> Tensor:
    """MSE of vectors (B, d) scaled to length 1 (PKD, Sun et al. 2019, section 3.2: [CLS] states).

    The mean over the width makes it small: the paper's weight is 100.
    """
    return F.mse_loss(F.normalize(exact(student), dim=-1), F.normalize(exact(teacher), dim=-1))


def codir(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """-log of the share exp(cos / temperature) of a row's own teacher vector among all of the batch.

    CoDIR (Sun et al. 2020) contrasts mean-pooled layers by InfoNCE with negatives from a memory bank. The source was
    not at hand: that the student's vector (B, u) is the anchor and that the other rows' teacher vectors (B, u) are the
    negatives, without a bank of earlier ones, is reconstructed. The loss of a single row is 0.
    """
    with torch.autocast(student.device.type, enabled=False):
        similarity = F.normalize(exact(student), dim=-1) @ F.normalize(exact(teacher), dim=-1).T
    return F.cross_entropy(similarity / temperature, torch.arange(len(student), device=student.device))
