"""Sentences as token ids: the Rust tokenizer of an artifact, ragged rows, padded batches, batches of similar length."""

import math
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekd.artifact import TOKENIZER
from edgekd.dictionary import Matcher, features
from edgekd.errors import EdgekdError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgekd.dictionary import Matches
    from edgekd.words import Span

    Cut = Callable[[str], "list[Span] | None"]


@dataclass(frozen=True)
class Encoded:
    """Token ids of a split's rows, ragged; `types` are 0 for the first sentence of a pair, 1 for the second.

    `places`, for tasks with an answer a word: the token with which each word of a row begins, -1 where there is none
    (the row was cut before it). `matches`, for models that read a dictionary of so many `kinds`: where its entries
    stand in each row. `cut`: whether a row is longer than the tokenizer gives.
    """

    ids: "list[NDArray[np.int64]]"
    types: "list[NDArray[np.int64]]"
    places: "list[NDArray[np.int64]] | None" = None
    matches: "list[Matches] | None" = None
    kinds: int = 0
    cut: "list[bool] | None" = None

    @property
    def lengths(self) -> "NDArray[np.int64]":
        import numpy as np

        return np.array([len(row) for row in self.ids], dtype=np.int64)

    def features(self, row: int) -> "NDArray[np.uint8]":
        """What the dictionary says of a row's tokens, (length, 4 kinds)."""
        assert self.places is not None and self.matches is not None
        return features(self.matches[row], self.places[row], len(self.ids[row]), self.kinds)

    def pad(self, rows: Sequence[int], pad_id: int = 0) -> "dict[str, NDArray[Any]]":
        """input_ids, attention_mask, token_type_ids of shape (len(rows), longest of them), int64; and `dictionary`,
        float32 (len(rows), longest, 4 kinds), where there is one.
        """
        import numpy as np

        batch: dict[str, NDArray[Any]] = dict(pad_rows(self.ids, self.types, rows, pad_id))
        if self.kinds:
            longest = batch["input_ids"].shape[1]
            own = [self.features(row) for row in rows]
            filled = [np.pad(each, ((0, longest - len(each)), (0, 0))) for each in own]
            batch["dictionary"] = np.stack(filled).astype(np.float32)
        return batch

    def take(self, rows: Sequence[int]) -> "Encoded":
        """Some of the rows."""

        def some(each: Any) -> Any:
            return None if each is None else [each[row] for row in rows]

        return Encoded(
            some(self.ids), some(self.types), some(self.places), some(self.matches), self.kinds, some(self.cut)
        )


def pad_rows(ids: Any, types: Any, rows: Sequence[int], pad_id: int = 0) -> "dict[str, NDArray[np.int64]]":
    """Stack ragged rows to arrays (rows, longest), padded on the right."""
    import numpy as np

    if len(rows) == 1:  # as it is served: nothing to fill
        row = rows[0]
        alone = {"attention_mask": np.ones_like(ids[row]), "token_type_ids": types[row], "input_ids": ids[row]}
        return {name: values.reshape(1, -1) for name, values in alone.items()}
    width = max(len(ids[row]) for row in rows)
    batch = {name: np.zeros((len(rows), width), dtype=np.int64) for name in ("attention_mask", "token_type_ids")}
    batch["input_ids"] = np.full((len(rows), width), pad_id, dtype=np.int64)
    for position, row in enumerate(rows):
        length = len(ids[row])
        batch["input_ids"][position, :length] = ids[row]
        batch["attention_mask"][position, :length] = 1
        batch["token_type_ids"][position, :length] = types[row]
    return batch


def load_tokenizer(path: Path, max_length: int) -> Any:
    """The Rust tokenizer of a tokenizer.json, set to cut and not to pad. Raises EdgekdError where it is none."""
    from tokenizers import Tokenizer

    file = path / TOKENIZER if path.is_dir() else path
    with _sound(f"{file} cannot be read"):
        tokenizer = Tokenizer.from_file(str(file))
        tokenizer.enable_truncation(max_length)
        tokenizer.no_padding()
    return tokenizer


_ITS_OWN = "Is it the tokenizer.json that came with the model?"


@contextmanager
def _sound(problem: str) -> Iterator[None]:
    """What the library raises for a broken file, a panic of Rust's included, which is no Exception."""
    try:
        yield
    except BaseException as error:
        if isinstance(error, Exception) or type(error).__name__ == "PanicException":
            raise EdgekdError(f"{problem}: {error}", _ITS_OWN) from None
        raise


def encode(
    tokenizer: Any, texts: Sequence[Sequence[str]], cut: "Cut | None" = None, matcher: Matcher | None = None
) -> Encoded:
    """Texts, or pairs of them, as tokens; `cut` gives the words of a text whose places are wanted, if any are.

    `matcher` finds the dictionary's entries among the words.
    """
    import numpy as np

    with _sound("the tokenizer is broken"):
        # Where tokens stand in the text is asked for with words alone: without, it takes a tenth less.
        read = tokenizer.encode_batch if cut else tokenizer.encode_batch_fast
        rows = read([row[0] if len(row) == 1 else tuple(row) for row in texts])
    most, longest = (tokenizer.truncation or {}).get("max_length", math.inf), max((len(row) for row in rows), default=0)
    if longest > most:
        raise EdgekdError(f"the tokenizer is broken: it cuts at {most} tokens and gives {longest}", _ITS_OWN)
    firsts = [text[0] for text in texts]
    words = [spans for spans in map(cut, firsts) if spans is not None] if cut else []
    places = [_places(*row) for row in zip(rows, firsts, words, strict=True)] if words else []
    matches = [_matches(matcher, *row) for row in zip(firsts, words, places, strict=True)] if matcher else None
    return Encoded(
        [np.array(row.ids, dtype=np.int64) for row in rows],
        [np.array(row.type_ids, dtype=np.int64) for row in rows],
        [np.array(row, dtype=np.int64) for row in places] if places else None,
        matches,
        len(matcher.kinds) if matcher else 0,
        # Asked of the longest alone: what was cut off is copied to be told.
        [len(row) == most and bool(row.overflowing) for row in rows],
    )


def _matches(matcher: Matcher, text: str, words: "list[Span]", places: list[int]) -> "Matches":
    """Those of the words that the model reads: nobody waits for what stands where a long text was cut."""
    ends = [end for (_, end), token in zip(words, places, strict=True) if token >= 0]
    end = ends[-1] + matcher.reach if ends else 0
    return matcher(text[:end], [span for span in words if span[1] <= end])


def _places(row: Any, text: str, words: "list[Span]") -> list[int]:
    """The token with which each word begins. Of tokens that hold a space before their word, the word counts."""
    found = [-1] * len(words)
    starts = [start for start, _ in words]
    for token, (start, end) in enumerate(row.offsets):
        held = text[start:end]
        word = bisect_right(starts, start + len(held) - len(held.lstrip())) - 1
        if held.strip() and word >= 0 and found[word] < 0:
            found[word] = token
    return found


def batches(lengths: "NDArray[np.int64]", size: int, seed: int, bucket: int = 50) -> "Iterator[NDArray[np.int64]]":
    """One epoch of shuffled batches of row numbers, each of rows of similar length, so that little is padding.

    Rows are shuffled, cut into buckets of `bucket` batches and sorted by length inside them; then batches are shuffled.
    """
    import numpy as np

    draw = np.random.default_rng(seed)
    order = draw.permutation(len(lengths))
    span = size * bucket
    parts = []
    for start in range(0, len(order), span):
        rows = order[start : start + span]
        rows = rows[np.argsort(lengths[rows], kind="stable")]
        parts += [rows[cut : cut + size] for cut in range(0, len(rows), size)]
    for position in draw.permutation(len(parts)):
        yield parts[position]
