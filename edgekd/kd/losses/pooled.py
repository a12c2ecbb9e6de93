"""Losses between one vector a row: the first token's state, or the mean over tokens."""

from collections.abc import Callable, Sequence

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


def rail(
    student: Sequence[Tensor],
    teacher: Sequence[Tensor],
    mask: Tensor,
    project_student: Callable[[Tensor], Tensor],
    project_teacher: Callable[[Tensor], Tensor],
) -> Tensor:
    """RAIL-KD (Haidar et al. 2022), the concatenated form: layers mean-pooled, joined, projected, as in `pkd` compared.

    M' layers (B, n, d) of each, projections from M' d to u (128 in the paper's code). Where both projections are
    trained, constants are a minimum: edgekd's reconstruction leaves it to the caller to hold the teacher's fixed.
    """
    ours, theirs = (torch.cat([mean_pooled(layer, mask) for layer in layers], dim=-1) for layers in (student, teacher))
    return pkd(project_student(ours), project_teacher(theirs))


def codir(student: Tensor, teacher: Tensor, temperature: float, bank: Tensor | None = None) -> Tensor:
    """-log of the share exp(cos / temperature) of a row's own teacher vector among all in the batch and the bank.

    CoDIR (Sun et al. 2020) contrasts mean-pooled layers by InfoNCE with negatives from a memory bank. The source was
    not at hand: that the student's vector (B, u) is the anchor, that the other rows' teacher vectors (B, u) count as
    negatives, and that the bank (K, u) holds teacher vectors of earlier batches is reconstructed. One row without a
    bank has no negatives and its loss is 0.
    """
    keys = exact(teacher) if bank is None else torch.cat([exact(teacher), exact(bank)])
    with torch.autocast(student.device.type, enabled=False):
        similarity = F.normalize(exact(student), dim=-1) @ F.normalize(keys, dim=-1).T
    return F.cross_entropy(similarity / temperature, torch.arange(len(student), device=student.device))
