"""An encoder as a plain graph for exporters: token ids and mask in, logits out, nothing but standard operators."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from edgekd.kd.encoder import input_names, load_classifier


class Graph(nn.Module):
    """logits (B, C), or (B, n, C) of a head for tokens, from input_ids, attention_mask and, where the encoder has a
    second type, token_type_ids (B, n).

    Attention is written out under an additive mask made here: a model's own mask code exports as range, gather and
    is-NaN operators that old runtimes lack and none needs. -1e4 and not -inf: its exponential is 0 (nearer to zero it
    would be a denormal, which is slow), and a range that holds it can still be quantized.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.inner = model
        self.names = input_names(model)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        mask = (attention_mask[:, None, None, :].to(torch.float32) - 1.0) * 1e4
        types = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        logits: Tensor = self.inner(input_ids=input_ids, attention_mask=mask, **types).logits
        return logits

    def example(self, rows: int = 2, length: int = 7, dtype: torch.dtype = torch.int64) -> tuple[Tensor, ...]:
        """Inputs to trace with: a row with a masked end, since a constant mask would be folded away."""
        ids = torch.ones((rows, length), dtype=dtype)
        mask = ids.clone()
        mask[-1, length * 2 // 3 :] = 0
        return (ids, mask, torch.zeros_like(ids))[: len(self.names)]


def graph_of(folder: Path) -> Graph:
    """The graph of a trained folder, in fp32 and ready to export."""
    return Graph(load_classifier(folder, attn_implementation="eager").eval()).eval()


def parameters(graph: nn.Module) -> int:
    return sum(parameter.numel() for parameter in graph.parameters())
