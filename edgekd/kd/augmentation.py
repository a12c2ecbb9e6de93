"""Data augmentation: copies of the train rows in which words are replaced by candidates for their places.

Jiao et al. 2020, "TinyBERT: Distilling BERT for Natural Language Understanding", algorithm 1: a masked language model
proposes words for a word of one token, nearest neighbours in an embedding table for one of several. Here the neighbours
serve every word where there is no masked language model, stop words are no candidates either, and both sentences of a
pair are drawn anew for each copy. A copy has its row's target, which may no longer be true of it: its soft label is the
teacher's to give.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgekd import hub
from edgekd.augmentation_options import Augmentation
from edgekd.data import Split
from edgekd.kd.masked_lm import MaskedLM, UntrainedError
from edgekd.kd.neighbours import read_vectors, token_neighbours
from edgekd.kd.words import Replaceable, replaceable, words
from edgekd.tokens import load_tokenizer

_SENTENCES = 4096  # whose candidates are found at once


@dataclass(frozen=True)
class Slot:
    """A word at [start, end) of a sentence, and what may stand there: nothing else, where it has no candidates."""

    start: int
    end: int
    candidates: tuple[str, ...]


def augmented(
    split: Split, options: Augmentation, teacher: Path, seed: int, progress: Callable[[str, float, float], None]
) -> tuple[Split, dict[str, Any]]:
    """The rows of a split, then their copies; and facts: where candidates are from, the share of words with any.

    `teacher` is a folder with an encoder and its tokenizer.json. A copy is a function of (seed, number of its row,
    number of the copy); one that equals its row, or an earlier copy of it, is left out. A model without a trained
    masked-LM head is left out too, and the facts say so. Raises EdgekdError where a model or a file cannot be read.
    """
    source = _Source(options, teacher)
    sentences = list(dict.fromkeys(sentence for row in split.texts for sentence in row))
    slots: dict[str, list[Slot]] = {}

    def report(done: float) -> None:
        progress("augmentation", len(slots) + done, len(sentences))

    for start in range(0, len(sentences), _SENTENCES):
        slots |= source.slots(sentences[start : start + _SENTENCES], report)
    report(0)
    texts, rows = list(split.texts), list(range(len(split)))
    for number, row in enumerate(split.texts):
        copies = _copies(row, [slots[sentence] for sentence in row], options, seed, number)
        texts += copies
        rows += [number] * len(copies)
    served = [bool(slot.candidates) for sentence in sentences for slot in slots[sentence]]
    facts = {
        "candidates": source.name,
        "words_with_candidates": sum(served) / max(len(served), 1),
        "rows": len(split),
        "copies": len(texts) - len(split),
    }
    return Split(tuple(texts), split.targets[rows]), facts


class _Source:
    """Where candidates are from: the masked language model where there is one, and neighbours."""

    def __init__(self, options: Augmentation, teacher: Path) -> None:
        self._options = options
        self._nearest: dict[str, tuple[str, ...]] = {}
        self._allowed: Replaceable = replaceable(options.stop_words, options.min_length)
        self._neighbours = (
            read_vectors(Path(options.vectors), options.max_vectors, self._allowed)
            if options.vectors
            else token_neighbours(teacher, self._allowed)
        )
        self._tokenizer = load_tokenizer(teacher, 1)
        self._tokenizer.no_truncation()
        self._model: MaskedLM | None = None
        self.name = f"nearest neighbours in {self._neighbours.name}"
        if options.model:
            spoken = Path(options.model).name if hub.is_local(options.model) else options.model
            try:
                self._model = MaskedLM(hub.fetch(options.model), self._allowed)
                self.name = f"masked language model {spoken}, {self.name} for words of several tokens"
            except UntrainedError as error:
                self.name += f" ({spoken} is no masked language model: {error.problem})"

    def slots(self, sentences: Sequence[str], progress: Callable[[float], None]) -> dict[str, list[Slot]]:
        """The slots of each sentence; progress is in sentences."""
        model = self._model
        encodings = model.pairs(sentences) if model else self._tokenizer.encode_batch(list(sentences))
        places = [
            (sentence, encoding, word)
            for sentence, encoding in zip(sentences, encodings, strict=True)
            for word in words(sentence, encoding)
            if self._allowed(word.text)
        ]
        filled: dict[int, tuple[str, ...]] = {}
        if model:
            blanks = {
                number: (encoding, word)
                for number, (_, encoding, word) in enumerate(places)
                if len(word.tokens) == 1 and len(encoding.ids) <= model.longest
            }
            each = len(sentences) / max(len(blanks), 1)
            found = model.fill(list(blanks.values()), self._options.candidates, lambda done: progress(done * each))
            filled = dict(zip(blanks, found, strict=True))
        asked = {word.text for number, (_, _, word) in enumerate(places) if number not in filled} - self._nearest.keys()
        self._nearest |= self._neighbours.nearest(asked, self._options.candidates, self._options.min_cosine)
        slots: dict[str, list[Slot]] = {sentence: [] for sentence in sentences}
        for number, (sentence, _, word) in enumerate(places):
            candidates = filled.get(number) or self._nearest.get(word.text, ())
            slots[sentence].append(Slot(word.start, word.end, candidates))
        return slots


def _copies(
    row: tuple[str, ...], slots: Sequence[Sequence[Slot]], options: Augmentation, seed: int, number: int
) -> list[tuple[str, ...]]:
    """The distinct copies of one row. What is drawn for a copy does not depend on how many follow it."""
    draws = np.random.default_rng((seed, number)).random((options.copies, sum(map(len, slots)), 2)).tolist()
    found = {row: None}
    for draw in draws:
        rest = iter(draw)
        found[tuple(_drawn(*own, rest, options.probability) for own in zip(row, slots, strict=True))] = None
    return list(found)[1:]


def _drawn(sentence: str, slots: Sequence[Slot], draws: Iterator[list[float]], probability: float) -> str:
    """A sentence in which each slot takes the next two draws: whether it is replaced, and by which candidate."""
    parts, end = [], 0
    for slot in slots:
        chance, place = next(draws)
        if slot.candidates and chance < probability:
            parts += [sentence[end : slot.start], slot.candidates[int(place * len(slot.candidates))]]
            end = slot.end
    return "".join([*parts, sentence[end:]])
