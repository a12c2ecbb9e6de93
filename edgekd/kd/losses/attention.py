"""Losses between attention scores QK^T / sqrt(d_k) before the softmax, (B, h, n, n): scalars.

Padded rows and columns do not count: a softmax runs over the columns that are tokens. Where the numbers of heads
differ, both are averaged over heads, scores as scores and probabilities as probabilities.
"""

import math
from collections.abc import Callable

from torch import Tensor

from edgekd.kd.losses import AttentionLoss, exact, log_rows, pair_mean, row_kl


def score_mse(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """MSE of scores (TinyBERT, Jiao et al. 2020, equation 7).

    The paper's code sets masked scores to 0 on both sides and divides by all positions; here they are left out, so
    that the loss of a row does not depend on the batch it is padded in.
    """
    student, teacher = exact(student), exact(teacher)
    if student.shape[1] != teacher.shape[1]:
        student, teacher = student.mean(1, keepdim=True), teacher.mean(1, keepdim=True)
    return pair_mean((student - teacher).square(), mask)


def probability_mse(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """MSE of attention probabilities, which TinyBERT's authors tried before the scores (section 3.1)."""
    ours, theirs = _log_probabilities(student, teacher, mask)
    return pair_mean((ours.exp() - theirs.exp()).square(), mask)


def kl(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """KL(teacher || student) of each row, mean over rows and heads (MiniLM, Wang et al. 2020, section 3.1)."""
    return row_kl(*_log_probabilities(student, teacher, mask), mask)


def _log_probabilities(student: Tensor, teacher: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    ours, theirs = log_rows(student, mask), log_rows(teacher, mask)
    if ours.shape[1] == theirs.shape[1]:
        return ours, theirs
    return _over_heads(ours), _over_heads(theirs)


def _over_heads(logs: Tensor) -> Tensor:
    return logs.logsumexp(1, keepdim=True) - math.log(logs.shape[1])


ATTENTION: dict[AttentionLoss, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "score_mse": score_mse,
    "probability_mse": probability_mse,
    "kl": kl,
}
