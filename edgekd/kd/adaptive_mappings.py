"""Layer mappings whose weights come from the data: M student layers, N teacher layers, B rows."""

import torch
from scipy.optimize import linprog
from torch import Tensor

from edgekd.kd.losses import exact


def alp(student: Tensor, teacher: Tensor) -> Tensor:
    """ALP-KD's weights (B, M, N): softmax over teacher layers of the inner products of [CLS] states.

    States (B, M, d) and (B, N, d), the student's projected where widths differ (Passban et al. 2021). Student layer m
    then learns from the teacher's layers weighted by row m; the gradient flows through the weights too.
    """
    with torch.autocast(student.device.type, enabled=False):
        return torch.softmax(torch.einsum("bmd,bnd->bmn", exact(student), exact(teacher)), dim=-1)


@torch.no_grad()
def emd_flow(costs: Tensor, student: Tensor, teacher: Tensor) -> Tensor:
    """The flow (M, N) of least total cost whose rows sum to the student's weights (M,), columns to the teacher's (N,).

    costs (M, N) are the layers' distances, and the weights of each side sum to 1. The loss is the sum of flow times
    costs: the gradient flows through the costs alone (BERT-EMD, Li et al. 2020).
    """
    # In float32 the two sums would differ by more than the solver allows.
    out, into = (weights.double().cpu() / weights.double().cpu().sum() for weights in (student, teacher))
    # A loss that is no number must reach whoever watches the loss, not stop the solver.
    if not costs.isfinite().all():
        return torch.outer(out, into).to(costs)
    layers, others = costs.shape
    sums = torch.cat([torch.eye(layers).repeat_interleave(others, 1), torch.eye(others).repeat(1, layers)])
    solved = linprog(
        costs.double().cpu().flatten().numpy(),
        A_eq=sums.numpy(),
        b_eq=torch.cat([out, into]).numpy(),
        method="highs",
    )
    return torch.from_numpy(solved.x).to(costs).view_as(costs)


@torch.no_grad()
def emd_weights(flow: Tensor, costs: Tensor, student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """New weights (M,) and (N,) after a step: the inverse of what a unit of each layer's weight cost, summing to 1.

    BERT-EMD (Li et al. 2020) averages those of hidden states and of attention before the next step. A layer that cost
    nothing gets no weight, as in its code; where no layer cost anything the weights stay.
    """
    spent = flow * costs
    return _inverse(spent.sum(1), student), _inverse(spent.sum(0), teacher)


def _inverse(spent: Tensor, weights: Tensor) -> Tensor:
    inverse = torch.where(spent > 0, weights / spent, 0.0)
    return inverse / inverse.sum() if inverse.any() else weights
