"""Loss terms as pure tensor functions. Means run over positions that hold a token, never over padding.

Shapes: B batch, n tokens, d width, h heads, C outputs; mask is (B, n), 1 where there is a token.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def hidden_mse(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """MSE of hidden states (B, n, d), the student's already projected to d (TinyBERT, equations 8 and 9)."""
    squared = (student.float() - teacher.float()).square().mean(-1)
    return (squared * mask).sum() / mask.sum()


def attention_score_mse(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """MSE of attention scores before the softmax, (B, h, n, n) (TinyBERT, equation 7).

    Where the numbers of heads differ both are averaged over heads.
    """
    if student.shape[1] != teacher.shape[1]:
        student, teacher = student.mean(1, keepdim=True), teacher.mean(1, keepdim=True)
    valid = (mask[:, :, None] * mask[:, None, :]).unsqueeze(1).to(student.dtype)
    return ((student - teacher).square() * valid).sum() / (valid.sum() * student.shape[1])


def soft_cross_entropy(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """-sum_c p_T(c) log p_S(c) of logits (B, C) at a temperature, mean over rows (TinyBERT, equation 10).

    Multiplied by temperature^2, so that the gradient's size does not depend on it (Hinton et al. 2015, section 2).
    With C = 1 (regression) it is the MSE of the outputs.
    """
    if student.shape[-1] == 1:
        return F.mse_loss(student, teacher)
    targets = torch.softmax(teacher / temperature, dim=-1)
    return -(targets * torch.log_softmax(student / temperature, dim=-1)).sum(-1).mean() * temperature**2


def hard(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy with labels (B,) int64, or MSE with values (B,) float."""
    if targets.is_floating_point():
        return F.mse_loss(logits[:, 0], targets)
    return F.cross_entropy(logits, targets)
