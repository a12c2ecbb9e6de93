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

# How BERT, RoBERTa, ELECTRA and ALBERT, and DistilBERT, call the projections of an attention layer, and its output's.
_PROJECTIONS = {"queries": ("query", "q_lin"), "keys": ("key", "k_lin"), "values": ("value", "v_lin")}
_OUTPUTS = ("attention.output.dense", "attention.dense", "attention.out_lin")


@dataclass(frozen=True)
class Mix:
    """Rows (k,) of a batch whose embedding outputs take in a share (k,) of those of partners (k,).

    A mixed row is as long as its host; where its partner is shorter the host's embeddings stand alone.
    """

    hosts: Tensor
    partners: Tensor
    share: Tensor


class Tap:
    """Hooks on an encoder's attention; `trace` runs it and returns what they saw.

    Raises EdgekdError where `insides` are wanted of an encoder whose attention cannot be read.
    """

    def __init__(self, model: nn.Module, insides: bool = True) -> None:
        self.model = model
        self._seen: dict[str, list[Tensor]] = {kind: [] for kind in _PROJECTIONS}
        self._lent: Mapping[int, Tensor] = {}
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
        for name, module in model.named_modules() if insides else ():
            if name.endswith(_OUTPUTS):
                module.register_forward_pre_hook(self._lend)

    def trace(
        self,
        batch: Mapping[str, Tensor],
        needs: Needs,
        mix: Mix | None = None,
        lent: Mapping[int, Tensor] | None = None,
    ) -> Trace:
        """Of a batch's rows, or of those that a mix makes of them.

        `lent` are attention distributions (B, heads, n, n), or (B, 1, n, n) for all heads, that layers use for theirs.
        """
        self._forget()
        self._lent = lent or {}
        inputs = {name: batch[name] for name in input_names(self.model)}
        with self._mixed(inputs, mix) if mix is not None else nullcontext(inputs) as given:
            out = self.model(**given, output_hidden_states=bool(needs.hidden))
        config: Any = self.model.config
        heads = config.num_attention_heads
        self._lent = {}
        seen = {kind: list(states) for kind, states in self._seen.items()}
        self._forget()
        projected: dict[str, Any] = {
            kind: {layer: states[layer - 1] for layer in needs.projections} for kind, states in seen.items()
        }
        return Trace(
            out.logits.float(),
            given["attention_mask"],
            depth(self.model),
            heads,
            {layer: out.hidden_states[layer] for layer in needs.hidden},
            {layer: _scores(seen["queries"][layer - 1], seen["keys"][layer - 1], heads) for layer in needs.scores},
            **projected,
        )

    def _lend(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        """What the output projection reads, made of the layer's own values by a lent distribution."""
        values = self._seen["values"]
        if (chances := self._lent.get(len(values))) is None:
            return None
        config: Any = self.model.config
        mixed = torch.matmul(chances, _split(values[-1], config.num_attention_heads))
        return (mixed.transpose(1, 2).flatten(2).to(values[-1].dtype), *inputs[1:])

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
    # Scores differ by little from layer to layer of training: half precision would round the difference away.
    with torch.autocast(queries.device.type, enabled=False):
        return torch.matmul(_split(queries, heads), _split(keys, heads).transpose(-1, -2)) / math.sqrt(
            queries.shape[-1] // heads
        )


def _split(states: Tensor, heads: int) -> Tensor:
    """(B, n, d) to float32 (B, heads, n, d / heads)."""
    rows, length, width = states.shape
    return states.float().view(rows, length, heads, width // heads).transpose(1, 2)


def _keeper(kept: list[Tensor]) -> Any:
    def keep(module: nn.Module, inputs: Any, output: Tensor) -> None:
        kept.append(output)

    return keep
