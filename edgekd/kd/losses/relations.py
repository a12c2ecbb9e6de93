"""Losses between how tokens relate inside one layer: softmax(X X^T / sqrt(d_r)) of its queries, keys or values X.

A relation is (n, n) whatever the width, so that no projection is needed. X are (B, n, d) as the model's projections
put them out, all heads side by side, and are split anew into as many relation heads as asked for.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from edgekd.errors import EdgekdError
from edgekd.kd.losses import exact, log_rows, row_kl


def relation_kl(student: Tensor, teacher: Tensor, heads: int, mask: Tensor) -> Tensor:
    """KL(teacher || student) of the relations' rows, mean over rows and relation heads.

    MiniLM's value relation with the models' heads (Wang et al. 2020, section 3.2), and a term of MiniLMv2 with
    relation heads (Wang et al. 2021, section 3.1).
    """
    return row_kl(log_rows(_relation(student, heads), mask), log_rows(_relation(teacher, heads), mask), mask)


def minilm(
    student_scores: Tensor,
    teacher_scores: Tensor,
    student_values: Tensor,
    teacher_values: Tensor,
    heads: int,
    mask: Tensor,
) -> Tensor:
    """MiniLM (Wang et al. 2020, section 3): KL of attention, of scores (B, heads, n, n), plus KL of value relations.

    The paper takes the last layer of both, which must have equally many heads.
    """
    attention = row_kl(log_rows(student_scores, mask), log_rows(teacher_scores, mask), mask)
    return attention + relation_kl(student_values, teacher_values, heads, mask)


def minilmv2(student: Sequence[Tensor], teacher: Sequence[Tensor], heads: int, mask: Tensor) -> Tensor:
    """MiniLMv2 (Wang et al. 2021, section 3.1): the sum of the Q-Q, K-K and V-V relations' KL.

    Each side is its (Q, K, V). The paper takes the last layer of the student and of a base-size teacher, and 48
    relation heads.
    """
    return torch.stack([relation_kl(*pair, heads, mask) for pair in zip(student, teacher, strict=True)]).sum()


def check_heads(student: int, teacher: int, heads: int) -> None:
    """Raises EdgekdError where so many relation heads do not divide the widths of both."""
    if student % heads or teacher % heads:
        common = math.gcd(student, teacher)
        fit = [str(number) for number in range(1, common + 1) if common % number == 0]
        raise EdgekdError(
            f"{heads} relation heads do not divide the widths {student} of the student and {teacher} of the teacher",
            f"Numbers that divide both: {', '.join(fit)}.",
        )


def _relation(states: Tensor, heads: int) -> Tensor:
    """X X^T / sqrt(d_r) of each relation head, (B, n, d) to (B, heads, n, n)."""
    rows, length, width = states.shape
    split = exact(states).reshape(rows, length, heads, width // heads).transpose(1, 2)
    # Under autocast the products would be rounded to half precision.
    with torch.autocast(states.device.type, enabled=False):
        return torch.matmul(split, split.transpose(-1, -2)) / math.sqrt(split.shape[-1])
