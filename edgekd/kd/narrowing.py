"""A narrower encoder that starts from a wider one's weights, projected.

The hidden space is cut to the principal directions of the token table (PCA). Inside each attention head, queries and
keys, and values and their output, only act as products: each product's best low-rank form (SVD; Eckart and Young 1936)
gives the narrower head. Of the inner neurons those with the largest weights stay.
"""

import copy
import math
from typing import Any

import torch
from torch import Tensor, nn

from edgekd.errors import EdgekdError
from edgekd.kd.coded import CodedTable, install
from edgekd.kd.tagger import Tagger, renewed


def narrowed(model: Any, width: int, inner: int | None = None) -> Any:
    """A copy of a BERT or ELECTRA encoder, `width` wide with as many heads; `inner` neurons, default: in proportion.
    A tagger keeps what it makes of its dictionary, and its transitions.

    Raises EdgekdError for another family, a width that its heads do not divide, or one that is no narrower.
    """
    config = copy.deepcopy(model.config)
    if config.model_type not in ("bert", "electra"):
        kind = f"a {config.model_type} encoder" if config.model_type else "a BiLSTM"
        raise EdgekdError(f"{kind} cannot be narrowed", "Narrow a BERT or ELECTRA encoder.")
    heads, old = config.num_attention_heads, config.hidden_size
    if not 0 < width <= old or width % heads:
        raise EdgekdError(
            f"width {width} is not a multiple of the {heads} heads up to {old}",
            f"Such as width: {old // 2 // heads * heads}.",
        )
    config.hidden_size, config.intermediate_size = width, inner or config.intermediate_size * width // old
    if hasattr(config, "embedding_size"):
        config.embedding_size = width
    if config.intermediate_size > model.config.intermediate_size:
        raise EdgekdError(f"inner {inner} is more than the {model.config.intermediate_size} there are", "Set less.")
    if isinstance(model.get_input_embeddings(), CodedTable) and width < old:
        raise EdgekdError(
            "a coded token table cannot be narrowed",
            "Leave width out (layers and inner may stay), or code the tokens after it.",
        )
    with torch.no_grad():
        # Normalisation is of the directions as they are: no other basis where there are to be as many.
        basis = torch.eye(old) if width == old else principal(model.get_input_embeddings().weight, width)
        if isinstance(model, Tagger):
            told = renewed(model, config)
            _project(model.body, told.body, basis, heads)
            _tags(model, told, basis)
            return told
        student = install(type(model)._from_config(config)).float()
        _project(model, student, basis, heads)
    return student


def principal(table: Tensor, width: int) -> Tensor:
    """(d, width), orthonormal columns: the directions in which the rows (V, d) of a table are largest."""
    values = table.double()
    _, vectors = torch.linalg.eigh(values.T @ values)
    found: Tensor = vectors[:, -width:].flip(1).float()
    return found


def low_rank(left: Tensor, right: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """The (rank, a) and (rank, b) whose product, first transposed, is nearest to leftᵀ right of (h, a) and (h, b)."""
    u, s, v = torch.linalg.svd(left.double().T @ right.double(), full_matrices=False)
    root = s[:rank].sqrt()[:, None]
    return (root * u.T[:rank]).float(), (root * v[:rank]).float()


def _project(old: Any, new: Any, basis: Tensor, heads: int) -> None:
    ours, theirs = new.base_model, old.base_model
    if isinstance(table := theirs.embeddings.word_embeddings, CodedTable):
        ours.embeddings.word_embeddings.load_state_dict(table.state_dict())
    else:
        ours.embeddings.word_embeddings.weight.copy_(table.weight @ basis)
    for name in ("position_embeddings", "token_type_embeddings"):
        getattr(ours.embeddings, name).weight.copy_(getattr(theirs.embeddings, name).weight @ basis)
    _norm(theirs.embeddings.LayerNorm, ours.embeddings.LayerNorm, basis)
    for mine, other in zip(ours.encoder.layer, theirs.encoder.layer, strict=True):
        _attention(other.attention, mine.attention, basis, heads)
        _inner(other, mine, basis)
    for head in ("pooler", "classifier"):
        source = getattr(theirs, head, None) if head == "pooler" else getattr(old, head, None)
        target = getattr(ours, head, None) if head == "pooler" else getattr(new, head, None)
        if source is not None:
            _head(source, target, basis)


def _attention(other: Any, mine: Any, basis: Tensor, heads: int) -> None:
    size = mine.self.query.out_features // heads
    # A bias is one more column, so that the low-rank form holds it too.
    query, key, value = (_with_bias(getattr(other.self, name), basis) for name in ("query", "key", "value"))
    out = basis.T @ other.output.dense.weight
    # Scores are divided by the root of the head's size, which changes.
    scale = (size / (query.shape[0] // heads)) ** 0.25
    outs = []
    for head in range(heads):
        was = slice(head * query.shape[0] // heads, (head + 1) * query.shape[0] // heads)
        now = slice(head * size, (head + 1) * size)
        narrow_query, narrow_key = low_rank(query[was], key[was], size)
        narrow_out, narrow_value = low_rank(out[:, was].T, value[was], size)
        for name, found in (("query", scale * narrow_query), ("key", scale * narrow_key), ("value", narrow_value)):
            layer = getattr(mine.self, name)
            layer.weight[now], layer.bias[now] = found[:, :-1], found[:, -1]
        outs.append(narrow_out.T)
    mine.output.dense.weight.copy_(torch.cat(outs, dim=1))
    mine.output.dense.bias.copy_(other.output.dense.bias @ basis)
    _norm(other.output.LayerNorm, mine.output.LayerNorm, basis)


def _with_bias(layer: nn.Linear, basis: Tensor) -> Tensor:
    return torch.cat([layer.weight @ basis, layer.bias[:, None]], dim=1)


def _inner(other: Any, mine: Any, basis: Tensor) -> None:
    into, back = other.intermediate.dense, other.output.dense
    kept = (into.weight.norm(dim=1) * back.weight.norm(dim=0)).topk(mine.intermediate.dense.out_features).indices
    kept = kept.sort().values
    mine.intermediate.dense.weight.copy_((into.weight @ basis)[kept])
    mine.intermediate.dense.bias.copy_(into.bias[kept])
    mine.output.dense.weight.copy_((basis.T @ back.weight)[:, kept])
    mine.output.dense.bias.copy_(back.bias @ basis)
    _norm(other.output.LayerNorm, mine.output.LayerNorm, basis)


def _norm(other: nn.LayerNorm, mine: nn.LayerNorm, basis: Tensor) -> None:
    """The gain's diagonal in the new basis; a variance over fewer directions is as many times smaller."""
    mine.weight.copy_((basis**2).T @ other.weight * math.sqrt(mine.weight.numel() / other.weight.numel()))
    mine.bias.copy_(other.bias @ basis)


def _tags(other: Tagger, mine: Tagger, basis: Tensor) -> None:
    """A tagger's other parts: of its classifier's inputs the first are the hidden space's."""
    mine.dictionary.load_state_dict(other.dictionary.state_dict())
    mine.chain.load_state_dict(other.chain.state_dict())
    weight, width = other.classifier.weight, basis.shape[0]
    mine.classifier.weight.copy_(torch.cat([weight[:, :width] @ basis, weight[:, width:]], dim=1))
    mine.classifier.bias.copy_(other.classifier.bias)


def _head(other: Any, mine: Any, basis: Tensor) -> None:
    """Linear layers of a head: inputs from the hidden space, and outputs back to it where they are as wide."""
    for name, layer in other.named_modules():
        if isinstance(layer, nn.Linear):
            target = mine.get_submodule(name)
            weight: Tensor = layer.weight @ basis
            bias: Tensor = layer.bias
            if layer.out_features == basis.shape[0]:
                weight, bias = basis.T @ weight, bias @ basis
            target.weight.copy_(weight)
            target.bias.copy_(bias)
