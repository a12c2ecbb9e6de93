"""A smaller vocabulary for a WordPiece tokenizer: which tokens are kept, and a tokenizer.json of them alone."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from edgekd.errors import EdgekdError


@dataclass(frozen=True)
class Trimmed:
    """`kept` are the old ids in the order of the new ones; `tokenizer` is the text of the new tokenizer.json."""

    kept: tuple[int, ...]
    tokenizer: str

    @property
    def renumbered(self) -> dict[int, int]:
        return {old: new for new, old in enumerate(self.kept)}


def used(tokenizer: Any, texts: Iterable[str]) -> Counter[int]:
    """How often each token id stands in the texts."""
    counts: Counter[int] = Counter()
    for row in tokenizer.encode_batch(list(texts), add_special_tokens=False):
        counts.update(row.ids)
    return counts


def trim(source: str, counts: Mapping[int, int], characters: Iterable[str], fewest: int, most: int | None) -> Trimmed:
    """Keep the special tokens, one piece for each of `characters`, and tokens that occur `fewest` times at least.

    With `most`, the rarest go until as many are left. A word whose pieces went is cut into those that stayed, down to
    its characters. Raises EdgekdError for a tokenizer that is not WordPiece, or where `most` is too small.
    """
    spec = json.loads(source)
    model = spec["model"]
    if model.get("type") != "WordPiece":
        raise EdgekdError(
            f"a {model.get('type')} tokenizer cannot be trimmed: its tokens build on each other",
            "Trim encoders with a WordPiece tokenizer, such as BERT's.",
        )
    vocabulary: dict[str, int] = model["vocab"]
    prefix = model["continuing_subword_prefix"]
    special = {model["unk_token"], *(token["content"] for token in spec["added_tokens"])}
    pieces = {piece for character in characters for piece in (character, prefix + character)}
    always = {vocabulary[token] for token in (special | pieces) & vocabulary.keys()}
    ranked = sorted((token for token in counts if token not in always), key=lambda token: (-counts[token], token))
    ranked = [token for token in ranked if counts[token] >= fewest]
    if most is not None:
        if most < len(always):
            raise EdgekdError(
                f"max_tokens: {most} is too few, special tokens and characters alone are {len(always)}",
                f"Set max_tokens to {len(always)} or more.",
            )
        ranked = ranked[: most - len(always)]
    kept = tuple(sorted(always | set(ranked)))
    return Trimmed(kept, json.dumps(_rewritten(spec, kept), ensure_ascii=False))


def _rewritten(spec: dict[str, Any], kept: tuple[int, ...]) -> dict[str, Any]:
    """The tokenizer with new ids wherever it holds one: vocabulary, added tokens, and what wraps a sentence."""
    new = {old: number for number, old in enumerate(kept)}
    vocabulary = spec["model"]["vocab"]
    spec["model"]["vocab"] = {token: new[old] for token, old in vocabulary.items() if old in new}
    for token in spec["added_tokens"]:
        token["id"] = new[token["id"]]
    wrap = spec.get("post_processor") or {}
    for entry in (wrap.get("special_tokens") or {}).values():  # TemplateProcessing
        entry["ids"] = [new[old] for old in entry["ids"]]
    for name in ("sep", "cls"):  # BertProcessing, RobertaProcessing
        if isinstance(wrap.get(name), list):
            wrap[name] = [wrap[name][0], new[wrap[name][1]]]
    return spec


@dataclass(frozen=True)
class Coverage:
    """How a trimmed tokenizer reads texts, beside the whole one. Shares in [0, 1]."""

    texts: int
    same: float  # texts that are cut into the same tokens
    tokens: float  # length of the texts in tokens, in multiples of what it was
    unknown: float  # share of tokens that are unknown, now
    unknown_before: float


def coverage(whole: Any, trimmed: Any, texts: list[str]) -> Coverage:
    """Compare two tokenizers on texts, of which there must be one with a token."""
    before, after = (tokenizer.encode_batch(texts, add_special_tokens=False) for tokenizer in (whole, trimmed))
    unknown = json.loads(whole.to_str())["model"]["unk_token"]
    same = sum(old.tokens == new.tokens for old, new in zip(before, after, strict=True))
    old_count, new_count = (sum(len(row.tokens) for row in rows) for rows in (before, after))
    old_unknown, new_unknown = (sum(row.tokens.count(unknown) for row in rows) for rows in (before, after))
    return Coverage(
        len(texts), same / len(texts), new_count / old_count, new_unknown / new_count, old_unknown / old_count
    )
