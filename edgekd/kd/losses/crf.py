"""Losses of linear-chain conditional random fields, by sums and maxima over all taggings of a row.

Lafferty, McCallum and Pereira, "Conditional Random Fields" (2001); distillation as in Wang et al., "Structure-Level
Knowledge Distillation For Multilingual Sequence Labeling" (ACL 2020), section 3. Shapes: B rows, W words, Y tags.
Emissions are (B, W, Y), tags and mask (B, W), and a row's words are its first: score(x, y) = start[y_1] + end[y_W] +
sum_i E[i, y_i] + sum_i T[y_i-1, y_i]. Losses are sums over rows divided by the words of all, so that their size does
not depend on how long the rows are; the paper's are sums over a row.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Potentials(NamedTuple):
    """A chain's scores of a batch: emissions (B, W, Y), start (Y,), transitions (Y, Y) from row to column, end (Y,)."""

    emissions: Tensor
    start: Tensor
    transitions: Tensor
    end: Tensor


def packed(values: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
    """What is `chosen` (B, W) of values (B, W, ...), moved to the front of each row, and its mask (B, W')."""
    order = torch.argsort(~chosen, dim=1, stable=True)[:, : int(chosen.sum(1).max())]
    rows = torch.arange(len(values), device=values.device)[:, None]
    return values[rows, order], chosen[rows, order]


def score(chain: Potentials, tags: Tensor, mask: Tensor) -> Tensor:
    """Of one tagging a row, (B,)."""
    words = chain.emissions.gather(2, tags.unsqueeze(-1)).squeeze(-1)
    steps = chain.transitions[tags[:, :-1], tags[:, 1:]]
    last = tags.gather(1, mask.sum(1, keepdim=True) - 1).squeeze(1)
    return chain.start[tags[:, 0]] + (words * mask).sum(1) + (steps * mask[:, 1:]).sum(1) + chain.end[last]


def forward(chain: Potentials, mask: Tensor) -> Tensor:
    """log of the sum over the taggings up to a word that end in a tag, (B, W, Y); after a row's end it stays."""
    found = [chain.start + chain.emissions[:, 0]]
    for word in range(1, mask.shape[1]):
        sums = torch.logsumexp(found[-1].unsqueeze(2) + chain.transitions, dim=1) + chain.emissions[:, word]
        found.append(torch.where(mask[:, word, None], sums, found[-1]))
    return torch.stack(found, dim=1)


def backward(chain: Potentials, mask: Tensor) -> Tensor:
    """log of the sum over the taggings of what comes after a word that has a tag, (B, W, Y)."""
    found = [chain.end.expand_as(chain.emissions[:, 0])]
    for word in range(mask.shape[1] - 1, 0, -1):
        after = (chain.emissions[:, word] + found[-1]).unsqueeze(1)
        sums = torch.logsumexp(chain.transitions + after, dim=2)
        found.append(torch.where(mask[:, word, None], sums, found[-1]))
    return torch.stack(found[::-1], dim=1)


def log_partition(chain: Potentials, mask: Tensor) -> Tensor:
    """log Z: of all taggings of a row, (B,)."""
    return torch.logsumexp(forward(chain, mask)[:, -1] + chain.end, dim=1)


def likelihood(chain: Potentials, tags: Tensor, mask: Tensor) -> Tensor:
    """-log p(tags | row), a word."""
    return (log_partition(chain, mask) - score(chain, tags, mask)).sum() / mask.sum()


def log_posterior(chain: Potentials, mask: Tensor, temperature: float = 1.0) -> Tensor:
    """log of each word's distribution over tags, softmax((alpha + beta) / T), (B, W, Y) (section 3.2)."""
    return torch.log_softmax((forward(chain, mask) + backward(chain, mask)) / temperature, dim=-1)


def posterior(student: Potentials, teacher: Potentials, mask: Tensor, temperature: float) -> Tensor:
    """Cross-entropy of the words' posteriors, a word (section 3.2). With no T^2: the paper has none."""
    ours, theirs = (log_posterior(chain, mask, temperature) for chain in (student, teacher))
    return (-(theirs.exp() * ours).sum(-1) * mask).sum() / mask.sum()


def best(chain: Potentials, mask: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` best taggings (B, K, W) and their scores (B, K), best first; K is less where there are not so many.

    A tagging that a short row does not have is scored -inf. By Viterbi's recursion with the K best at every tag.
    """
    rows, words, width = chain.emissions.shape
    scores = (chain.start + chain.emissions[:, 0]).unsqueeze(-1)  # (B, Y, k): of the k best that end in a tag
    paths = torch.arange(width, device=scores.device).expand(rows, width)[:, :, None, None]  # (B, Y, k, words so far)
    for word in range(1, words):
        kept = scores.shape[-1]
        steps = scores.unsqueeze(-1) + chain.transitions[:, None, :]  # (B, from, k, to)
        steps = steps.reshape(rows, width * kept, width).transpose(1, 2)
        found, where = steps.topk(min(count, width * kept), dim=-1)  # (B, to, k')
        flat = paths.reshape(rows, width * kept, -1)
        taken = flat.gather(1, where.reshape(rows, -1, 1).expand(-1, -1, flat.shape[-1]))
        taken = taken.reshape(rows, width, where.shape[-1], -1)
        own = torch.arange(width, device=scores.device)[None, :, None, None].expand(*taken.shape[:3], 1)
        more = found.shape[-1] - kept
        held = torch.nn.functional.pad(scores, (0, more), value=-torch.inf)
        stay = torch.nn.functional.pad(paths, (0, 0, 0, more))
        live = mask[:, word, None, None]
        scores = torch.where(live, found + chain.emissions[:, word].unsqueeze(-1), held)
        paths = torch.cat([torch.where(live.unsqueeze(-1), taken, stay), own], dim=-1)
    ended = (scores + chain.end[:, None]).reshape(rows, -1)
    found, where = ended.topk(min(count, ended.shape[1]), dim=-1)
    flat = paths.reshape(rows, -1, words)
    return flat.gather(1, where.unsqueeze(-1).expand(-1, -1, words)), found


def imitation(
    name: str, student: Potentials, teacher: Potentials, mask: Tensor, temperature: float, count: int
) -> Tensor:
    """A loss by its name (ChainLoss); `temperature` is the posterior's, `count` the number of best taggings."""
    if name == "posterior":
        return posterior(student, teacher, mask, temperature)
    return top_k(student, teacher, mask, count, weighted=name == "top_wk")


def top_k(student: Potentials, teacher: Potentials, mask: Tensor, count: int, weighted: bool) -> Tensor:
    """-log p_student of the teacher's `count` best taggings, a word (section 3.1).

    Each counts the same (Top-K) or, `weighted` (Top-WK), by the teacher's probability among them.
    """
    with torch.no_grad():
        tags, scores = best(teacher, mask, count)
        there = torch.isfinite(scores)
        weights = torch.softmax(scores, dim=1) if weighted else there / there.sum(1, keepdim=True)
    logs = torch.stack([score(student, tags[:, number], mask) for number in range(tags.shape[1])], dim=1)
    each = (log_partition(student, mask).unsqueeze(1) - logs) * weights
    return each.masked_fill(~there, 0).sum() / mask.sum()
