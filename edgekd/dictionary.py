"""A user's dictionary, where its entries stand in a text, and what a model is told of that.

The encoding is reconstructed: of CN112699678A only the abstract was at hand, which says that dictionary features join
those of the language model. For each word there is a bit for each type of entry and place in it, begin, middle, end or
single. It says nothing of which entry stands there, so that the dictionary can be another one at run time.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from edgekd import embedded
from edgekd.decoding import decoded
from edgekd.errors import EdgekdError, nearest
from edgekd.words import CLOSE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgekd.words import Span

    # (matches, 4): first word, last word, type, entry.
    Matches = NDArray[np.int64]

_MOST_KINDS = 256
PLACES = 4  # begin, middle, end, single
_BEGIN, _MIDDLE, _END, _SINGLE = range(PLACES)


@dataclass(frozen=True)
class Dictionary:
    """Entries with their types; an entry may have several."""

    entries: tuple[tuple[str, str], ...]

    @classmethod
    def read(cls, source: str | Path) -> Self:
        """A file with an entry, a tab and its type a line, or what embedded/NAME has. It may be empty.

        Raises EdgekdError, with its line, where one is no entry.
        """
        if embedded.is_embedded(str(source)):
            return cls(tuple(embedded.module(str(source)).dictionary()))
        try:
            content = Path(source).read_bytes()
        except OSError as error:
            problem = f"dictionary {source} cannot be read: {error.strerror}"
            raise EdgekdError(problem, "Name a UTF-8 text file.") from None
        found = []
        # Marks of byte order, of files put together too, are no part of an entry.
        for number, line in enumerate(decoded(content, str(source)).replace("\ufeff", "").split("\n"), start=1):
            entry, _, kind = map(str.strip, line.partition("\t"))
            if not line.strip():
                continue
            if not entry or not kind or "\t" in kind:
                problem = f"{line.rstrip()!r:.200} is no entry"
                raise EdgekdError(problem, "Write the entry, a tab and its type.", f"{source}:{number}")
            found.append((entry, " ".join(kind.split())))
        made = cls(tuple(found))
        if len(made.kinds) > _MOST_KINDS:
            hint = f"Up to {_MOST_KINDS} are read. Is the entry first, then a tab and its type?"
            raise EdgekdError(f"{len(made.kinds):,} types of entries", hint, str(source))
        return made

    def write(self, file: Path) -> None:
        """As `read` takes it: an entry's white space is plain spaces, as the matcher takes it."""
        lines = (f"{' '.join(entry.split())}\t{kind}\n" for entry, kind in self.entries)
        file.write_text("".join(lines), encoding="utf-8")

    @property
    def kinds(self) -> tuple[str, ...]:
        return tuple(sorted({kind for _, kind in self.entries}))

    def of(self, kinds: Sequence[str]) -> Self:
        """The entries of these types. Raises EdgekdError for a type without one."""
        if absent := next((kind for kind in kinds if kind not in self.kinds), None):
            raise EdgekdError(f"no entry is of type '{absent}'", nearest(absent, self.kinds))
        return type(self)(tuple(entry for entry in self.entries if entry[1] in kinds))


class Matcher:
    """Finds a dictionary's entries in texts, in any case, by Aho and Corasick's automaton (CACM 1975).

    `kinds` are the types that the model knows; `longest` drops what lies inside a longer match. Raises EdgekdError for
    an entry of another type.
    """

    def __init__(self, dictionary: Dictionary, kinds: Sequence[str], longest: bool = False) -> None:
        self.kinds, self._longest = tuple(kinds), longest
        numbers = {kind: number for number, kind in enumerate(kinds)}
        found: dict[str, dict[int, int]] = {}
        for number, (entry, kind) in enumerate(dictionary.entries):
            if kind not in numbers:
                raise EdgekdError(f"the model knows no entries of type '{kind}' ('{entry}')", nearest(kind, numbers))
            # Of entries that are alike the first counts.
            found.setdefault(_folded(" ".join(entry.split())), {}).setdefault(numbers[kind], number)
        self.reach = max(map(len, found), default=0)  # characters that a match may have
        self._automaton = _automaton(found) if found else None

    def __call__(self, text: str, words: "Sequence[Span]") -> "Matches":
        """Where entries stand that begin with a word and end with one, or among the marks that end a sentence after
        their own ("U.S." in "the U.S.)"), (matches, 4).
        """
        import numpy as np

        starts = {start: number for number, (start, _) in enumerate(words)}
        ends = {end: number for number, (_, end) in enumerate(words)}
        for number, (start, end) in enumerate(words):
            if end - start > 1 and not text[start:end].strip(CLOSE):
                ends.update(dict.fromkeys(range(start + 1, end), number))
        folded, places = _spaced(_folded(text))
        found: list[tuple[int, int, int, int]] = []
        for last, (length, values) in self._automaton.iter(folded) if self._automaton else ():
            first, final = starts.get(places[last + 1 - length]), ends.get(places[last] + 1)
            if first is not None and final is not None:
                found += [(first, final, kind, entry) for kind, entry in values]
        return np.array(sorted(_outermost(found) if self._longest else found), dtype=np.int64).reshape(-1, 4)


def features(matches: "Matches", places: "NDArray[np.int64]", length: int, kinds: int) -> "NDArray[np.uint8]":
    """Bits (length, 4 kinds) of a row's tokens: those of a word stand at its first token, as `places` says."""
    import numpy as np

    bits = np.zeros((len(places), kinds, PLACES), dtype=np.uint8)
    single, (first, last, kind) = matches[:, 0] == matches[:, 1], matches[:, :3].T
    bits[first[single], kind[single], _SINGLE] = 1
    first, last, kind = first[~single], last[~single], kind[~single]
    bits[first, kind, _BEGIN] = 1
    bits[last, kind, _END] = 1
    # How many matches a word lies inside of: one more from the word after its first, one less from its last.
    inside = np.zeros((len(places) + 1, kinds), dtype=np.int64)
    np.add.at(inside, (first + 1, kind), 1)
    np.add.at(inside, (last, kind), -1)
    bits[:, :, _MIDDLE] = inside.cumsum(axis=0)[:-1] > 0
    found = np.zeros((length, PLACES * kinds), dtype=np.uint8)
    placed = places >= 0
    found[places[placed]] = bits[placed].reshape(-1, PLACES * kinds)
    return found


def _automaton(found: "dict[str, dict[int, int]]") -> Any:
    try:
        import ahocorasick
    except ImportError:
        raise EdgekdError("pyahocorasick is not installed", "Type: pip install pyahocorasick") from None
    made = ahocorasick.Automaton()
    for entry, values in found.items():
        made.add_word(entry, (len(entry), list(values.items())))
    made.make_automaton()
    return made


def _folded(text: str) -> str:
    """Lower case and plain spaces, character by character, so that places stay what they were."""
    lower = text.lower()
    folded: Iterable[str] = (
        lower if len(lower) == len(text) else (c.lower() if len(c.lower()) == 1 else c for c in text)
    )
    # The end of a Greek word is no letter of its own: what follows would change which it is.
    return "".join(" " if character.isspace() else character for character in folded).replace("ς", "σ")


def _spaced(folded: str) -> tuple[str, Sequence[int]]:
    """A text with one space where there are several, and where each of its characters stood."""
    if "  " not in folded:
        return folded, range(len(folded))
    kept = [at for at in range(len(folded)) if folded[at : at + 2] != "  "]
    return "".join(folded[at] for at in kept), kept


def _outermost(matches: "list[tuple[int, int, int, int]]") -> "list[tuple[int, int, int, int]]":
    """Those that lie inside of no longer one."""
    kept: list[tuple[int, int, int, int]] = []
    for match in sorted(matches, key=lambda match: (match[0], -match[1])):
        # Whatever began before it and was kept last reaches furthest.
        if not kept or match[1] > kept[-1][1] or match[:2] == kept[-1][:2]:
            kept.append(match)
    return kept
