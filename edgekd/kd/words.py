"""Words as a tokenizer sees them: where they stand in a text, and which of its tokens are whole words."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

Replaceable = Callable[[str], bool]

_LETTERS = re.compile(r"[^\W\d_]+")
# Letters beside these are part of something else: don't, cat's, 2nd.
_JOINING = re.compile(r"['’\d_]")


@dataclass(frozen=True)
class Word:
    """Letters at [start, end) of a text; `tokens` are the positions of its pieces in the encoding."""

    text: str
    start: int
    end: int
    tokens: tuple[int, ...]


def words(text: str, encoding: Any) -> Iterator[Word]:
    """The words of letters alone, in order. `encoding` is the Rust tokenizer's, of the text or of a pair it begins."""
    run = {place: number for number, found in enumerate(_LETTERS.finditer(text)) for place in range(*found.span())}
    spans = [_bare(text, *offsets) for offsets in encoding.offsets]
    first = [token for token, sequence in enumerate(encoding.sequence_ids) if sequence == 0]
    # A run of letters is several words where the tokenizer has it so (Chinese), and a tokenizer's word is more than
    # letters where it splits at spaces alone.
    for (_, letters), group in groupby(first, lambda token: (encoding.word_ids[token], run.get(spans[token][0]))):
        tokens = tuple(group)
        start, end = spans[tokens[0]][0], spans[tokens[-1]][1]
        beside = text[max(start - 1, 0) : start] + text[end : end + 1]
        if letters is not None and text[start:end].isalpha() and not _JOINING.search(beside):
            yield Word(text[start:end], start, end, tokens)


def whole_words(tokenizer: Any) -> dict[int, str]:
    """Token id -> word, for the tokens that the Rust tokenizer makes of their own text inside a sentence."""
    ids = sorted(tokenizer.get_vocab().values())
    texts = [text.strip() for text in tokenizer.decode_batch([[token] for token in ids])]
    before = tokenizer.encode("x", add_special_tokens=False).ids
    encoded = tokenizer.encode_batch([f"x {text}" for text in texts], add_special_tokens=False)
    return {
        token: text
        for token, text, found in zip(ids, texts, encoded, strict=True)
        if text.isalpha() and found.ids == [*before, token]
    }


def replaceable(stop_words: str | None, min_length: int) -> Replaceable:
    """Whether a word may be replaced, and may replace another."""
    stopped: frozenset[str] = frozenset()
    if stop_words == "english":
        from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

        # The list has other forms of these auxiliaries.
        stopped = ENGLISH_STOP_WORDS | {"did", "does", "doing", "having"}
    return lambda word: word.isalpha() and len(word) >= min_length and word.lower() not in stopped


def choice(ranked: Iterable[str], word: str, most: int) -> tuple[str, ...]:
    """The first `most` that differ from the word, and from each other, in more than case; capitalised as it is."""
    found: dict[str, str] = {}
    for candidate in ranked:
        if len(found) == most:
            break
        if candidate.casefold() != word.casefold():
            found.setdefault(candidate.casefold(), candidate)
    return tuple(other.capitalize() if word.istitle() and other.islower() else other for other in found.values())


def is_form(word: str, other: str) -> bool:
    """Whether two words look like forms of one: alike but for the last two letters of the shorter, and what follows."""
    stem = max(3, min(len(word), len(other)) - 2)
    return word[:stem].casefold() == other[:stem].casefold()


def _bare(text: str, start: int, end: int) -> tuple[int, int]:
    """A token's place without the space that some tokenizers count to it."""
    while start < end and text[start].isspace():
        start += 1
    return start, end
