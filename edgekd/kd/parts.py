"""The parts of an encoder by the names of its parameters: what a phase may freeze, what of a layer is attention."""

from collections.abc import Sequence
from fnmatch import fnmatch
from typing import Any, Literal, get_args

Part = Literal["embeddings", "attention", "feed_forward", "head"]
PARTS: tuple[Part, ...] = get_args(Part)

# Projections, output and normalisation: all of it in BERT and its kin, with the normalisation beside it in DistilBERT.
_ATTENTION = ("attention", "sa_layer_norm")


def in_attention(name: str) -> bool:
    """Whether a parameter of a layer, or of a model, belongs to a layer's attention; else it is feed-forward's."""
    return any(piece in _ATTENTION for piece in name.split("."))


def part(model: Any, name: str) -> Part:
    """The part that a parameter belongs to. Poolers belong to the head."""
    pieces = name.split(".")
    if any(piece.startswith("embedding") for piece in pieces):
        return "embeddings"
    if in_attention(name):
        return "attention"
    return "head" if pieces[0] != model.base_model_prefix or "pooler" in pieces else "feed_forward"


def named(model: Any, names: Sequence[str], pattern: str) -> set[str]:
    """Those of a model's parameters that a pattern means: a part's name, or a name with * for anything."""
    if pattern in PARTS:
        return {name for name in names if part(model, name) == pattern}
    return {name for name in names if fnmatch(name, pattern)}
