"""What one encoder makes of another's insides: attention that is exchanged, or inputs of layers.

Source: US11341326B2, claim 3, has a self-attention-cross objective, with the relative entropy of attention
distributions (the term `attention` with `attention_loss: kl`). Reconstructed: what is crossed. By attention: the
student runs with the teacher's distributions in some layers, an auxiliary pass of the teacher with the student's in all
that are mapped. By modules, the other reading: Cross Distillation (Bai et al., AAAI 2020, with its code).
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from edgekd.kd.blocks import run
from edgekd.kd.encoder import stack
from edgekd.kd.losses import hidden, log_rows
from edgekd.kd.tap import Tap
from edgekd.kd.trace import Needs, Trace


def distribution(trace: Trace, layer: int, heads: int) -> Tensor:
    """A layer's attention (B, heads, n, n), or the mean of its heads (B, 1, n, n) for a model with others."""
    chances = log_rows(trace.scores[layer], trace.mask).exp()
    return chances if trace.heads == heads else chances.mean(1, keepdim=True)


def by_attention(
    tap: Tap, batch: Mapping[str, Tensor], ours: Trace, theirs: Trace, pairs: Mapping[int, int]
) -> dict[int, Tensor]:
    """MSE(H_T(A_S), H_T(A_T)) of each student layer, by its number; the gradient goes to the student's attention alone.

    `pairs` are the student's layers and those of the teacher that they are mapped to.
    """
    lent = {other: distribution(ours, mine, theirs.heads) for mine, other in pairs.items()}
    crossed = tap.trace(batch, Needs(hidden=frozenset(lent)), lent=lent)
    return {mine: hidden.mse(crossed.hidden[other], theirs.hidden[other], theirs.mask) for mine, other in pairs.items()}


def by_modules(
    student: Any, teacher: Any, ours: Trace, theirs: Trace, pairs: Mapping[int, int], share: float
) -> dict[int, Tensor]:
    """share MSE(f_S(X_T), f_T(X_T)) + (1 - share) MSE(f_T(X_S), f_S(X_S)) of each student layer f_S, by its number.

    f_T are the teacher's layers above that of the student's layer before, up to its own; X is what they read.
    """
    own, others = stack(student), stack(teacher)
    found, start = {}, 0
    for mine, end in sorted(pairs.items()):
        of_theirs = run([own[mine - 1]], theirs.hidden[start], ours.mask)
        of_ours = run(list(others[start:end]), ours.hidden[mine - 1], ours.mask)
        found[mine] = torch.lerp(
            hidden.mse(of_ours, ours.hidden[mine], ours.mask),
            hidden.mse(of_theirs, theirs.hidden[end], ours.mask),
            share,
        )
        start = end
    return found
