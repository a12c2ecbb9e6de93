"""A user's dictionary and a text, compared with a plain search for each entry."""

from functools import cache
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import numpy as np

from edgekd import words
from edgekd.dictionary import Dictionary, Matcher, _folded, features
from edgekd.tokens import encode, load_tokenizer
from tests.fuzz.mutators import raw
from tests.fuzz.target import Target
from tests.fuzz.targets.tokenizer import TOKENIZER

KINDS = ("LOC", "ORG", "PER")
_PLAIN = 400  # characters of text and entries, beyond which the plain search takes too long
SEEDS = (
    b"New York\tLOC\nnew york times\tORG\nYork\tLOC\nAda  Lovelace\tPER\n\0Ada left New York (New York Times).",
    "北京\tLOC\nİstanbul\tLOC\nΑΣ\tORG\n\0北京 is not İSTANBUL, ΑΣ.".encode(),
    b"a\tLOC\na a\tORG\na a a\tPER\n\0" + b"a " * 50,
    b"a  b\tLOC\nU.S.\tORG\na.\tPER\n\0In the U.S.) a \t b (a.)?",
)
WORDS = (
    "\t",
    "\n",
    "\tLOC\n",
    "\tORG\n",
    "\0",
    "a ",
    "a\tLOC\n",
    "İ",
    "Σ",
    "ς",
    "ß",
    "ﬁ",
    "\u2028",
    "\x0b",
    "\x1c",
    "\x85",
    "\u3000",
    "北",
    ".",
    "(",
    "\ufeff",
)


@cache
def _tokenizer() -> Any:
    with NamedTemporaryFile(suffix=".json") as file:
        file.write(TOKENIZER)
        file.flush()
        return load_tokenizer(Path(file.name), 512)


_tokenizer()


def check(data: bytes, folder: Path) -> None:
    told, _, rest = data.partition(b"\0")
    text = rest.decode(errors="replace")
    (folder / "entries.tsv").write_bytes(told)
    dictionary = Dictionary.read(folder / "entries.tsv")
    dictionary.write(folder / "again.tsv")
    spaced = Dictionary(tuple((" ".join(entry.split()), kind) for entry, kind in dictionary.entries))
    assert Dictionary.read(folder / "again.tsv") == spaced, "a dictionary is not what was written"
    spans = words.spans(text)
    for longest in (False, True):
        matcher = Matcher(dictionary, KINDS, longest)
        read = encode(_tokenizer(), [(text,)], words.spans, matcher)
        read.features(0)
        if len(data) < _PLAIN:
            found = matcher(text, spans)
            bits = features(found, np.arange(len(spans)), len(spans), len(KINDS))
            assert bits.any() == bool(len(found))
            assert {tuple(row) for row in found.tolist()} == _plainly(dictionary, text, spans, longest)


def _plainly(dictionary: Dictionary, text: str, spans: list[words.Span], longest: bool) -> set[tuple[int, ...]]:
    folded = _folded(text)
    alike: dict[tuple[str, str], int] = {}
    for number, (entry, kind) in enumerate(dictionary.entries):
        alike.setdefault((_folded(" ".join(entry.split())), kind), number)
    found = {
        (first, last, KINDS.index(kind), number)
        for (entry, kind), number in alike.items()
        for first, (start, _) in enumerate(spans)
        for last, word in enumerate(spans[first:], first)
        if any(" ".join(folded[start:end].split()) == entry for end in _ends(text, *word))
    }
    if not longest:
        return found
    return {
        own
        for own in found
        if not any(other[0] <= own[0] and own[1] <= other[1] and other[:2] != own[:2] for other in found)
    }


def _ends(text: str, start: int, end: int) -> range:
    """Where an entry may end with this word: behind it, and behind each of the marks that it is made of."""
    marks = all(character in words.CLOSE for character in text[start:end])
    return range(start + 1 if marks else end, end + 1)


TARGET = Target("dictionary matcher", check, SEEDS, raw(WORDS), share=5.5)
