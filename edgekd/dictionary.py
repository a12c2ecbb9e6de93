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
from edgekd.errors import EdgekdError, nearest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgekd.words import Span

    # (matches, 4): first word, last word, type, entry.
    Matches = NDArray[np.int64]

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
            lines = Path(source).read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise EdgekdError(f"dictionary {source} cannot be read: {error}", "Name a UTF-8 text file.") from None
        found = []
        for number, line in enumerate(lines, start=1):
            entry, _, kind = line.partition("\t")
            if not line.strip():
                continue
            if not entry.strip() or not kind.strip():
                raise EdgekdError(f"{line!r} is no entry", "Write the entry, a tab and its type.", f"{source}:{number}")
            found.append((entry.strip(), kind.strip()))
        return cls(tuple(found))

    def write(self, file: Path) -> None:
        file.write_text("".join(f"{entry}\t{kind}\n" for entry, kind in self.entries), encoding="utf-8")

    @property
    def kinds(self) -> tuple[str, ...]:
        return tuple(sorted({kind for _, kind in self.entries}))


class Matcher:
    """Finds a dictionary's entries in texts, in any case, by Aho and Corasick's automaton (CACM 1975).

    `kinds` are the types that the model knows; `longest` drops what lies inside a longer match. Raises EdgekdError for
    an entry of another type.
    """

    def __init__(self, dictionary: Dictionary, kinds: Sequence[str], longest: bool = False) -> None:
        self.kinds, self._longest = tuple(kinds), longest
        numbers = {kind: number for number, kind in enumerate(kinds)}
        found: dict[str, list[tuple[int, int]]] = {}
        for number, (entry, kind) in enumerate(dictionary.entries):
            if kind not in numbers:
                raise EdgekdError(f"the model knows no entries of type '{kind}' ('{entry}')", nearest(kind, numbers))
            found.setdefault(_folded(" ".join(entry.split())), []).append((numbers[kind], number))
        self._automaton = _automaton(found) if found else None

    def __call__(self, text: str, words: "Sequence[Span]") -> "Matches":
        """Where entries stand that begin and end with a word, (matches, 4)."""
        import numpy as np

        starts = {start: number for number, (start, _) in enumerate(words)}
        ends = {end: number for number, (_, end) in enumerate(words)}
        found = set()
        for last, (length, values) in self._automaton.iter(_folded(text)) if self._automaton else ():
            first, end = starts.get(last + 1 - length), ends.get(last + 1)
            if first is not None and end is not None:
                found |= {(first, end, kind, entry) for kind, entry in values}
        kept = [match for match in found if not (self._longest and any(_inside(match, other) for other in found))]
        return np.array(sorted(kept), dtype=np.int64).reshape(-1, 4)


def features(matches: "Matches", places: "NDArray[np.int64]", length: int, kinds: int) -> "NDArray[np.uint8]":
    """Bits (length, 4 kinds) of a row's tokens: those of a word stand at its first token, as `places` says."""
    import numpy as np

    found = np.zeros((length, PLACES * kinds), dtype=np.uint8)
    for first, last, kind, _ in matches.tolist():
        for word in range(first, last + 1):
            bit = _SINGLE if first == last else _BEGIN if word == first else _END if word == last else _MIDDLE
            if places[word] >= 0:
                found[places[word], PLACES * kind + bit] = 1
    return found


def _automaton(found: "dict[str, list[tuple[int, int]]]") -> Any:
    try:
        import ahocorasick
    except ImportError:
        raise EdgekdError("pyahocorasick is not installed", "Type: pip install pyahocorasick") from None
    made = ahocorasick.Automaton()
    for entry, values in found.items():
        made.add_word(entry, (len(entry), values))
    made.make_automaton()
    return made


def _folded(text: str) -> str:
    """Lower case and plain spaces, character by character, so that places stay what they were."""
    lower = text.lower()
    folded: Iterable[str] = (
        lower if len(lower) == len(text) else (c.lower() if len(c.lower()) == 1 else c for c in text)
    )
    return "".join(" " if character.isspace() else character for character in folded)


def _inside(match: tuple[int, ...], other: tuple[int, ...]) -> bool:
    return other[0] <= match[0] and match[1] <= other[1] and match[:2] != other[:2]
