"""What an encoder shows of its insides during a forward pass, by layer."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from edgekd.kd.encoder import depth
from edgekd.kd.losses.crf import Potentials


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

    def rows(self, chosen: Tensor) -> "Trace":
        """Of these rows of the batch alone."""
        insides: dict[str, Any] = {
            name: {layer: states[chosen] for layer, states in getattr(self, name).items()}
            for name in ("hidden", "scores", "queries", "keys", "values")
        }
        return Trace(self.logits[chosen], self.mask[chosen], self.depth, self.heads, **insides)
