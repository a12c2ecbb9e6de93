"""How unsure a student is of each row, and which of a batch's rows the teacher is asked about for that.

Source: Li et al., "Dynamic Knowledge Distillation for Pre-trained Language Models", EMNLP 2021, with its code: the
entropy of the student's answer, its least confidence or its margin; the teacher runs on the rows with the most, and the
labels of all rows count. Xu et al., "Computation-Efficient Knowledge Distillation via Uncertainty-Aware Mixup", 2020
(UNIX), on images: the order of rows, their mix, and how many of them are kept.

Reconstructed: no gradient goes through a row's uncertainty (in the code of the first it does); passes with dropout as a
measure beside those; that embedding outputs are mixed, and labels as these are.
"""

import math

import torch
from torch import Tensor

from edgekd.kd.phase import SAMPLED, RowUncertainty
from edgekd.kd.tap import Mix

_SHARPNESS = 1000.0  # w of UNIX


def unsure(logits: Tensor, by: RowUncertainty) -> Tensor:
    """(passes, B, C) logits -> (B,), the larger the less sure; all but the variance lie in [0, 1].

    entropy and mc_entropy: of the mean of the passes' probabilities, as a share of ln C. bald: the part of that which
    the passes do not have each by itself. least_confidence: 1 - the largest probability, as a share of 1 - 1 / C.
    margin: 1 - the largest's lead over the second. variance: of the passes' probabilities, or values where C is 1.
    """
    classes = logits.shape[-1]
    if by == "variance":
        answers = logits.softmax(-1) if classes > 1 else logits
        return answers.var(0, unbiased=False).sum(-1)
    each = logits.softmax(-1)
    mean = each.mean(0)
    match by:
        case "least_confidence":
            return (1 - mean.amax(-1)) * classes / (classes - 1)
        case "margin":
            first, second = mean.topk(2).values.unbind(-1)
            return 1 - (first - second)
        case "bald":
            return (_entropy(mean) - _entropy(each).mean(0)) / math.log(classes)
        case "entropy" | "mc_entropy":
            return _entropy(mean) / math.log(classes)


@torch.no_grad()
def asked(model: torch.nn.Module, inputs: dict[str, Tensor], by: RowUncertainty, passes: int) -> Tensor:
    """A student's uncertainty (B,) of rows, by passes with dropout where the measure needs them."""
    training = model.training
    model.train(by in SAMPLED)
    answers = [model(**inputs).logits.float() for _ in range(passes)]
    model.train(training)
    return unsure(torch.stack(answers), by)


def most_unsure(uncertainty: Tensor, share: float) -> Tensor:
    """The numbers, in order, of the share of rows (B,) with the largest values; at least one."""
    return uncertainty.topk(max(1, int(len(uncertainty) * share))).indices.sort().values


def mixture(uncertainty: Tensor, plain: float, kept: float) -> Mix:
    """UNIX: the surer a student is of a row (B,), the more of another it takes in; the share `kept` of all is kept.

    Row i in the order of uncertainty takes in lambda c_i of a partner, c_i = sigmoid(w (i / B - (2 b - 1) / (2 B)))
    with b = plain B, so that the first b stay nearly as they are; one lambda of Beta(1, 1) for the batch.
    """
    size = len(uncertainty)
    count, at = max(1, int(size * kept)), torch.arange(size, device=uncertainty.device)
    edge = (2 * round(plain * size) - 1) / (2 * size)
    share = torch.rand((), device=at.device) * torch.sigmoid(_SHARPNESS * (at / size - edge))
    hosts, partners = uncertainty.argsort(descending=True), torch.randperm(size, device=at.device)
    return Mix(hosts[:count], partners[:count], share[:count])


def mixed_labels(labels: Tensor, mix: Mix, classes: int) -> Tensor:
    """Values (k,), or chances of classes (k, C): the partner's by its share."""
    values = labels if labels.is_floating_point() else torch.nn.functional.one_hot(labels, classes).float()
    share = mix.share.view(-1, *[1] * (values.ndim - 1))
    return torch.lerp(values[mix.hosts], values[mix.partners], share)


def _entropy(chances: Tensor) -> Tensor:
    entropy: Tensor = torch.special.entr(chances).sum(-1)
    return entropy
