"""What an encoder shows of its insides during a forward pass: read by hooks, so that no model is patched.

Attention scores are computed from what the query and key projections put out, so the model itself keeps its fast
attention kernel and nothing is computed for layers that no objective reads.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from edgekd.errors import EdgekdError
from edgekd.kd.encoder import depth, input_names
from edgekd.kd.losses.crf import Potentials

# How BERT, RoBERTa, ELECTRA and ALBERT, and DistilBERT, call the projections of an attention layer.
_PROJECTIONS = {"queries": ("query", "q_lin"), "keys": ("key", "k_lin"), "values": ("value", "v_lin")}


@dataclass(frozen=True)
class Needs:
    """The layers whose insides are read: 0..N of hidden states (0 is the embedding output), 1..N of the others."""

    hidden: frozenset[int] = frozenset()
    scores: frozenset[int] = frozenset()
    projections: frozenset[int] = frozenset()

    def __or__(self, other: "Needs") -> "Needs":
        return Needs(self.hidden | other.hidden, self.scores | other.scores, self.projections | other.projections)

    def __bool__(self) -> bool:
        return bool(self.hidden or self.scores or self.projections)


@dataclass(frozen=True)
class Trace:
    """What one forward pass of an encoder of N layers showed, by layer.

    logits (B, C), or (B, n, C) of a head for tokens; mask (B, n), 1 where there is a token; hidden, queries, keys and
    values (B, n, d) a layer; scores, QK^T / sqrt(d_k) before the softmax, (B, heads, n, n) a layer. Of a tagger whose
    tags are a chain, chain holds its scores of the words, and words (B, W) is their mask.
    """

    logits: Tensor
    mask: Tensor
    depth: int
    heads: int
    hidden: Mapping[int, Tensor] = field(default_factory=dict)
    scores: Mapping[int, Tensor] = field(default_factory=dict)
    queries: Mapping[int, Tensor] = field(default_factory=dict)
    keys: Mapping[int, Tensor] = field(default_factory=dict)
    values: Mapping[int, Tensor] = field(default_factory=dict)
    chain: Potentials | None = None
    words: Tensor | None = None

    @classmethod
    def kept(cls, found: Mapping[str, Any], mask: Tensor, model: Any) -> "Trace":
        """Of a model's outputs that were kept: logits, and insides by name and layer, of any type of float."""
        insides: dict[str, Any] = {
            name: {layer: states.float() for layer, states in by_layer.items()}
            for name, by_layer in found.items()
            if name != "logits"
        }
        return cls(found["logits"], mask, depth(model), model.config.num_attention_heads, **insides)


class Tap:
    """Hooks on an encoder's attention projections; `trace` runs it and returns what they saw.

    Raises EdgekdError where `insides` are wanted of an encoder whose attention cannot be read.
    """

    def __init__(self, model: nn.Module, insides: bool = True) -> None:
        self.model = model
        self._seen: dict[str, list[Tensor]] = {kind: [] for kind in _PROJECTIONS}
        for kind, names in _PROJECTIONS.items() if insides else ():
            found = [module for name, module in model.named_modules() if name.rpartition(".")[2] in names]
            if not found:
                family = getattr(model.config, "model_type", type(model).__name__)
                raise EdgekdError(
                    f"a {family} encoder's attention cannot be read: no projection is called {' or '.join(names)}",
                    "Use a BERT, RoBERTa, ALBERT, ELECTRA or DistilBERT encoder, or a method that reads logits alone.",
                )
            for module in found:  # a layer that is shared is called, and seen, once for each time it is used
                module.register_forward_hook(_keeper(self._seen[kind]))

    def trace(self, batch: Mapping[str, Tensor], needs: Needs) -> Trace:
        self._forget()
        inputs = {name: batch[name] for name in input_names(self.model)}
        out = self.model(**inputs, output_hidden_states=bool(needs.hidden))
        config: Any = self.model.config
        heads = config.num_attention_heads
        seen = {kind: list(states) for kind, states in self._seen.items()}
        self._forget()
        projected: dict[str, Any] = {
            kind: {layer: states[layer - 1] for layer in needs.projections} for kind, states in seen.items()
        }
        return Trace(
            out.logits.float(),
            batch["attention_mask"],
            depth(self.model),
            heads,
            {layer: out.hidden_states[layer] for layer in needs.hidden},
            {layer: _scores(seen["queries"][layer - 1], seen["keys"][layer - 1], heads) for layer in needs.scores},
            **projected,
        )

    def _forget(self) -> None:
        for seen in self._seen.values():
            seen.clear()


def _scores(queries: Tensor, keys: Tensor, heads: int) -> Tensor:
    """QK^T / sqrt(d_k), float32 (B, heads, n, n)."""

    def split(states: Tensor) -> Tensor:
        rows, length, width = states.shape
        return states.float().view(rows, length, heads, width // heads).transpose(1, 2)

    # Scores differ by little from layer to layer of training: half precision would round the difference away.
    with torch.autocast(queries.device.type, enabled=False):
        return torch.matmul(split(queries), split(keys).transpose(-1, -2)) / math.sqrt(queries.shape[-1] // heads)


def _keeper(kept: list[Tensor]) -> Any:
    def keep(module: nn.Module, inputs: Any, output: Tensor) -> None:
        kept.append(output)

    return keep
