"""An encoder without what its answer does not need: the same numbers for less work, before it is exported.

Of a model that answers for a whole row, nothing after the last layer reads more than the first token. So that layer
asks for the first token alone: it makes keys and values of all tokens, and one row of everything else. Of a layer of
BERT's shape that leaves 2 of 12 parts of the products with weights.
"""

from typing import Any

import torch
from torch import Tensor, nn

from edgekd.kd.encoder import per_token, stack

# Whose layers are BERT's: attention.self, attention.output, intermediate, output; each sum is normalised after.
_FAMILIES = ("bert", "camembert", "electra", "roberta", "xlm-roberta")


def lean(model: Any) -> Any:
    """A classifier or regressor (B, C), in place: the same logits by fewer operations. Others stay as they are."""
    if model.config.model_type in _FAMILIES and not per_token(model):
        layers = stack(model)
        layers[-1] = _OfFirst(layers[-1])
    return model


class _OfFirst(nn.Module):
    """A layer's states of the first token, (B, n, d) -> (B, 1, d).

    Its modules keep their names: a file's weights are called what they are called in the model.
    """

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.attention, self.intermediate, self.output = layer.attention, layer.intermediate, layer.output

    def forward(self, states: Tensor, mask: Tensor, *_: Any, **__: Any) -> Tensor:
        """`mask`: (B, 1, 1, n), added to the scores."""
        own, first = self.attention.self, states[:, :1]

        def heads(flat: Tensor) -> Tensor:
            return flat.reshape(*flat.shape[:2], own.num_attention_heads, -1).transpose(1, 2)

        queries, keys, values = heads(own.query(first)), heads(own.key(states)), heads(own.value(states))
        weights = torch.softmax(queries @ keys.transpose(2, 3) * own.scaling + mask, dim=-1)
        found = self.attention.output((weights @ values).transpose(1, 2).flatten(2), first)
        answer: Tensor = self.output(self.intermediate(found), found)
        return answer
