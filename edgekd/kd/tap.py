"""Reading an encoder's insides during a forward pass: by hooks, so that no model is patched.

Attention scores are computed from what the query and key projections put out, so the model itself keeps its fast
attention kernel and nothing is computed for layers that no objective reads.
"""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from edgekd.errors import EdgekdError
from edgekd.kd.encoder import depth, input_names
from edgekd.kd.trace import Needs, Trace

# How BERT, RoBERTa, ELECTRA and ALBERT, and DistilBERT, call the projections of an attention layer.
_PROJECTIONS = {"queries": ("query", "q_lin"), "keys": ("key", "k_lin"), "values": ("value", "v_lin")}


@dataclass(frozen=True)
class Mix:
    """Rows (k,) of a batch whose embedding outputs take in a share (k,) of those of partners (k,).

    A mixed row is as long as its host; where its partner is shorter the host's embeddings stand alone.
    """

    hosts: Tensor
    partners: Tensor
    share: Tensor


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

    def trace(self, batch: Mapping[str, Tensor], needs: Needs, mix: Mix | None = None) -> Trace:
        """Of a batch's rows, or of those that a mix makes of them."""
        self._forget()
        inputs = {name: batch[name] for name in input_names(self.model)}
        with self._mixed(inputs, mix) if mix is not None else nullcontext(inputs) as given:
            out = self.model(**given, output_hidden_states=bool(needs.hidden))
        config: Any = self.model.config
        heads = config.num_attention_heads
        seen = {kind: list(states) for kind, states in self._seen.items()}
        self._forget()
        return Trace(
            out.logits.float(),
            given["attention_mask"],
            depth(self.model),
            heads,
            {layer: out.hidden_states[layer] for layer in needs.hidden},
            {layer: _scores(seen["queries"][layer - 1], seen["keys"][layer - 1], heads) for layer in needs.scores},
            **{kind: {layer: states[layer - 1] for layer in needs.projections} for kind, states in seen.items()},
        )

    @contextmanager
    def _mixed(self, inputs: Mapping[str, Tensor], mix: Mix) -> Iterator[Mapping[str, Tensor]]:
        """The hosts' inputs; meanwhile the embeddings put out the mix."""
        embeddings: Any = self.model.base_model.embeddings  # type: ignore[union-attr]
        hosts, partners = (
            {name: tensor[rows] for name, tensor in inputs.items()} for rows in (mix.hosts, mix.partners)
        )
        other = embeddings(**{name: tensor for name, tensor in partners.items() if name != "attention_mask"})
        share = mix.share[:, None, None] * partners["attention_mask"][:, :, None]
        hook = embeddings.register_forward_hook(lambda module, given, output: output + share * (other - output))
        try:
            yield hosts
        finally:
            hook.remove()

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
