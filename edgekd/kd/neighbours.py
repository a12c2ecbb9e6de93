"""Nearest neighbours of words in an embedding table: an encoder's token embeddings, or a file of word vectors."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from edgekd.errors import EdgekdError
from edgekd.kd.encoder import load_classifier
from edgekd.kd.words import Replaceable, choice, is_form, whole_words
from edgekd.tokens import load_tokenizer

_BLOCK = 512  # words compared with the table at once: 200 MB of cosines where it has 100,000


class Neighbours:
    """Words and their vectors (words, d), of which the allowed ones count. `name` says where they are from."""

    def __init__(self, words: Sequence[str], vectors: Tensor, name: str, allowed: Replaceable) -> None:
        rows = [row for row, word in enumerate(words) if allowed(word)]
        self.name, self.words = name, [words[row] for row in rows]
        self._row = {word: row for row, word in reversed(list(enumerate(self.words)))}
        self._device = torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
        self._vectors = F.normalize(vectors[rows].float().to(self._device), dim=1)

    def nearest(self, asked: Iterable[str], most: int, least: float = -1.0) -> dict[str, tuple[str, ...]]:
        """The `most` words of greatest cosine, `least` or more, with each word that the table has; nearest first.

        Forms of the word are left out: they are the nearest of all, and in its place only break the grammar.
        """
        rows = {word: self._row.get(word, self._row.get(word.lower())) for word in sorted(asked)}
        known = [(word, row) for word, row in rows.items() if row is not None]
        # Of the nearest some are forms of the word, or others in another case.
        width = min(2 * most + 10, len(self.words))
        found = {}
        for start in range(0, len(known), _BLOCK):
            block = known[start : start + _BLOCK]
            cosines = self._vectors[[row for _, row in block]] @ self._vectors.T
            values, ranked = cosines.topk(width)
            for (word, _), near, others in zip(block, values.tolist(), ranked.tolist(), strict=True):
                others = [self.words[row] for cosine, row in zip(near, others, strict=True) if cosine >= least]
                found[word] = choice((other for other in others if not is_form(word, other)), word, most)
        return found


def token_neighbours(folder: Path, allowed: Replaceable) -> Neighbours:
    """The whole words among an encoder's tokens; `folder` has config.json, model.safetensors and tokenizer.json."""
    table = load_classifier(folder).get_input_embeddings().weight.detach()
    known = whole_words(load_tokenizer(folder, len(table)))
    return Neighbours(list(known.values()), table[list(known)], "the teacher's token embeddings", allowed)


def read_vectors(file: Path, most: int, allowed: Replaceable) -> Neighbours:
    """The first `most` lines of a text file in GloVe's or word2vec's format: a word, then its numbers.

    Raises EdgekdError with file and line where one is not a word with as many numbers as the first.
    """
    words: list[str] = []
    vectors: list[Tensor] = []
    width = 0
    try:
        with file.open(encoding="utf-8", newline="\n") as lines:
            for number, line in enumerate(lines, 1):
                parts = line.split()
                if number == 1 and len(parts) == 2 and parts[0].isdecimal() and parts[1].isdecimal():
                    continue  # word2vec's first line: how many words, how many numbers
                if len(words) == most:
                    break
                width = width or len(parts) - 1
                # Some words of published files hold spaces.
                words.append(" ".join(parts[:-width]))
                vectors.append(_vector(parts, width, f"{file}:{number}"))
    except (OSError, UnicodeDecodeError) as error:
        raise EdgekdError(
            f"{file} cannot be read: {error}", "It is UTF-8 text: a word and its numbers a line."
        ) from None
    if not words:
        raise EdgekdError(f"{file} is empty", "Name a file with a word and its numbers a line.")
    return Neighbours(words, torch.stack(vectors), file.name, allowed)


def _vector(parts: Sequence[str], width: int, where: str) -> Tensor:
    try:
        if not 0 < width < len(parts):
            raise ValueError(f"{max(len(parts) - 1, 0)} numbers")
        vector = torch.tensor([float(part) for part in parts[-width:]])
        if not vector.isfinite().all():
            raise ValueError("a number is not finite")
    except ValueError as error:
        hint = (
            f"A line is a word and {width} numbers, as the first is."
            if width > 0
            else "A line is a word and its numbers."
        )
        raise EdgekdError(f"no word vector: {error}", hint, where) from None
    return vector
