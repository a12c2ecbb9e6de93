"""Losses between the outputs of a student and a teacher, (B, C), at a temperature T; and the loss of the labels.

Of models that answer for each token, B are the words of all rows: `at_words` takes their outputs.

Those that compare softmaxes are multiplied by T^2, so that the gradient's size does not depend on it (Hinton et al.
2015, section 2). `degenerate` says which of them are dead with few outputs.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from edgekd.kd.losses import MASKED


def at_words(logits: Tensor, places: Tensor, chosen: Tensor) -> Tensor:
    """Of logits (B, n, C), those at the tokens `places` (B, W) of the words that are `chosen` (B, W): (words, C)."""
    rows = torch.arange(len(logits), device=logits.device).unsqueeze(-1).expand_as(places)
    return logits[rows[chosen], places[chosen]]


def hard(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy with labels (B,) int64 or chances of classes (B, C), or MSE with values (B,) float."""
    if targets.is_floating_point() and targets.ndim == 1:
        return F.mse_loss(logits[:, 0], targets)
    return F.cross_entropy(logits, targets)


def cross_entropy(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """-sum_c p_T(c) log p_S(c), mean over rows, times T^2 (TinyBERT, Jiao et al. 2020, equation 10).

    With C = 1 (regression) it is the MSE of the outputs. The paper's code takes the mean over classes too, and has
    no T^2.
    """
    if student.shape[-1] == 1:
        return F.mse_loss(student, teacher)
    targets = torch.softmax(teacher / temperature, dim=-1)
    return -(targets * torch.log_softmax(student / temperature, dim=-1)).sum(-1).mean() * temperature**2


def kl(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """KL(p_T || p_S) times T^2, mean over rows (Hinton et al. 2015): `cross_entropy` less the teacher's entropy.

    With C = 1 (regression) it is the MSE of the outputs.
    """
    if student.shape[-1] == 1:
        return F.mse_loss(student, teacher)
    return _kl(_log_softmax(student, temperature), _log_softmax(teacher, temperature)).mean() * temperature**2


def mse(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """MSE of the logits, without softmax or temperature (Ba and Caruana 2014)."""
    return F.mse_loss(student, teacher)


def dkd(
    student: Tensor, teacher: Tensor, temperature: float, targets: Tensor, alpha: float = 1.0, beta: float = 8.0
) -> Tensor:
    """Decoupled distillation, T^2 (alpha TCKD + beta NCKD), mean over rows (Zhao et al. 2022, section 3.3).

    TCKD is the KL between (target class, all others), NCKD between the others among themselves; targets (B,) int64.
    The defaults are those of the paper's code.
    """
    ours, theirs = _log_softmax(student, temperature), _log_softmax(teacher, temperature)
    target = F.one_hot(targets, student.shape[-1]).bool()
    binary, others = [], []
    for logs in (ours, theirs):
        rest = logs.masked_fill(target, MASKED)
        total = rest.logsumexp(-1, keepdim=True)
        binary.append(torch.cat([logs[target].unsqueeze(-1), total], dim=-1))
        others.append(rest - total)
    return (alpha * _kl(*binary) + beta * _kl(*others)).mean() * temperature**2


def dist(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """T^2 (1 - Pearson of each row + 1 - Pearson of each column) of the softmaxes (DIST, Huang et al. 2022, section 4).

    Rows are relations between classes, columns between the batch's examples. T^2 is from the paper's code.
    """
    return _uncorrelated(student, teacher, temperature, -1) + dist_columns(student, teacher, temperature)


def dist_columns(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """DIST's column term alone, which is alive with two classes too."""
    return _uncorrelated(student, teacher, temperature, 0)


def standardized(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """`kl` of logits less their mean, over their standard deviation (Sun et al. 2024)."""
    return kl(_standardized(student), _standardized(teacher), temperature)


def degenerate(name: str, outputs: int) -> str | None:
    """Why this loss, or a part of it, carries no gradient with so many outputs; None where all of it does."""
    if outputs == 1 and name not in ("cross_entropy", "kl", "mse"):
        return f"{name} compares classes, and one output has none"
    if outputs == 2:
        return {
            "dkd": "with two classes only one is not the target, so NCKD is 0 and dkd is alpha TCKD",
            "dist": "with two classes the rows' correlation is 1 or -1, so only dist_columns is left of dist",
            "standardized": "with two classes standardized logits are always 0.707 and -0.707",
        }.get(name)
    return None


def _log_softmax(logits: Tensor, temperature: float) -> Tensor:
    return torch.log_softmax(logits / temperature, dim=-1)


def _kl(student: Tensor, teacher: Tensor) -> Tensor:
    return (teacher.exp() * (teacher - student)).sum(-1)


def _uncorrelated(student: Tensor, teacher: Tensor, temperature: float, dim: int) -> Tensor:
    """T^2 (1 - Pearson's correlation of the softmaxes along a dimension), mean over the other."""
    shares = (torch.softmax(logits / temperature, dim=-1) for logits in (student, teacher))
    ours, theirs = (share - share.mean(dim, keepdim=True) for share in shares)
    return (1 - F.cosine_similarity(ours, theirs, dim=dim).mean()) * temperature**2


def _standardized(logits: Tensor) -> Tensor:
    # The addend of the paper's code, for rows of equal logits.
    return (logits - logits.mean(-1, keepdim=True)) / (logits.std(-1, keepdim=True) + 1e-7)


LOGITS: dict[str, Callable[..., Tensor]] = {
    "cross_entropy": cross_entropy,
    "kl": kl,
    "mse": mse,
    "dkd": dkd,
    "dist": dist,
    "dist_columns": dist_columns,
    "standardized": standardized,
}
# Those that take the labels too, as `targets`.
NEEDS_TARGETS: frozenset[str] = frozenset({"dkd"})
