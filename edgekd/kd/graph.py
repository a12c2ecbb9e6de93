"""An encoder as a plain graph for exporters: token ids and mask in, logits out, nothing but standard operators."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from edgekd.kd.encoder import input_names, load_classifier
from edgekd.kd.lean import lean


class Graph(nn.Module):
    """logits (B, C), or (B, n, C) of a head for tokens, from input_ids, attention_mask and, where the encoder has a
    second type, token_type_ids (B, n); and from dictionary (B, n, bits), for a model that reads one.

    Attention is written out under an additive mask made here: a model's own mask code exports as range, gather and
    is-NaN operators that old runtimes lack and none needs. -1e4 and not -inf: its exponential is 0 (nearer to zero it
    would be a denormal, which is slow), and a range that holds it can still be quantized.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.inner = model
        self.names = input_names(model)
        self.bits = model.bits if "dictionary" in self.names else 0
        self.attends = bool(getattr(model, "attends", True))

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        return self._logits(input_ids, attention_mask, {"token_type_ids": token_type_ids})

    def _logits(self, input_ids: Tensor, attention_mask: Tensor, more: dict[str, Tensor | None]) -> Tensor:
        mask = (attention_mask[:, None, None, :].to(torch.float32) - 1.0) * 1e4 if self.attends else attention_mask
        given = {name: value for name, value in more.items() if value is not None}
        logits: Tensor = self.inner(input_ids=input_ids, attention_mask=mask, **given).logits
        return logits

    def example(self, rows: int = 2, length: int = 7, dtype: torch.dtype = torch.int64) -> tuple[Tensor, ...]:
        """Inputs to trace with: a row with a masked end, since a constant mask would be folded away."""
        ids = torch.ones((rows, length), dtype=dtype)
        mask = ids.clone()
        mask[-1, length * 2 // 3 :] = 0
        known = {"input_ids": ids, "attention_mask": mask, "token_type_ids": torch.zeros_like(ids)}
        known["dictionary"] = torch.zeros((rows, length, self.bits))
        return tuple(known[name] for name in self.names)


# Exporters take inputs by their place, and name them after the parameters: there is a class for each list of inputs.
class _Reading(Graph):
    def forward(  # type: ignore[override]
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor, dictionary: Tensor
    ) -> Tensor:
        return self._logits(input_ids, attention_mask, {"token_type_ids": token_type_ids, "dictionary": dictionary})


class _ReadingUntyped(Graph):
    def forward(  # type: ignore[override]
        self, input_ids: Tensor, attention_mask: Tensor, dictionary: Tensor
    ) -> Tensor:
        return self._logits(input_ids, attention_mask, {"dictionary": dictionary})


def graph_of(folder: Path) -> Graph:
    """The graph of a trained folder, in fp32 and ready to export."""
    model = lean(load_classifier(folder, attn_implementation="eager").eval())
    names = input_names(model)
    kind = Graph if "dictionary" not in names else _Reading if "token_type_ids" in names else _ReadingUntyped
    return kind(model).eval()
