"""Loss terms as pure tensor functions, one family a file; here what the families share, and the terms' names.

Shapes: B batch, n tokens, d width, h heads, C outputs; mask is (B, n), 1 where there is a token. Means run over
positions that hold a token, never over padding. What is under float32 is computed in float32. Torch is not imported
here, so that a recipe's names can be checked without it.
"""

from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from torch import Tensor

HiddenLoss = Literal["mse", "cosine", "normalized_mse", "gram"]
AttentionLoss = Literal["score_mse", "probability_mse", "kl"]
UncertaintyLoss = Literal["laplace", "gaussian", "weighted"]
LogitLoss = Literal["cross_entropy", "kl", "mse", "dkd", "dist", "dist_columns", "standardized"]
ChainLoss = Literal["posterior", "top_k", "top_wk"]
CHAINS = frozenset(get_args(ChainLoss))

# Stands for minus infinity, which would make 0 * infinity of a masked column.
MASKED = -1e9


def exact(values: "Tensor") -> "Tensor":
    """The values in float32, or in float64 where they were."""
    return values if values.dtype.itemsize >= 4 else values.float()


def token_mean(values: "Tensor", mask: "Tensor") -> "Tensor":
    """Mean of (B, n) over tokens."""
    return (values * mask).sum() / mask.sum()


def pair_mean(values: "Tensor", mask: "Tensor") -> "Tensor":
    """Mean of (B, h, n, n) over heads and over pairs of tokens."""
    valid = (mask[:, :, None] * mask[:, None, :]).unsqueeze(1)
    return (values * valid).sum() / (valid.sum() * values.shape[1])


def log_rows(scores: "Tensor", mask: "Tensor") -> "Tensor":
    """Logarithms of the softmax of each row of scores (B, h, n, n), over the columns that are tokens."""
    return exact(scores).masked_fill(mask[:, None, None, :] == 0, MASKED).log_softmax(-1)


def row_kl(student: "Tensor", teacher: "Tensor", mask: "Tensor") -> "Tensor":
    """KL(teacher || student) of rows of log probabilities (B, h, n, n), mean over heads and over rows of tokens."""
    divergence = (teacher.exp() * (teacher - student)).sum(-1)
    return token_mean(divergence.mean(1), mask)
