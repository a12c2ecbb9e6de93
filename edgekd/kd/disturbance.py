"""A dictionary as it is never the same twice: so that a tagger learns to use one, and not to trust it.

Reconstructed: of CN112699678A no such detail was at hand. Entries are left out, others are told that are none, and
sometimes there is no dictionary at all. Train's names are soon known by heart, and then the dictionary tells nothing
new: where a match has drawn words, as a name that was never read has, it alone tells what they are.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from edgekd.tokens import Encoded

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgekd.dictionary import Matches

_LONGEST = 3  # words of a match that is none


@dataclass(frozen=True)
class Disturbance:
    """Chances that a batch lacks an entry or has it with a drawn type, that a row has a match that is none, that a
    batch has no dictionary, and that a match, as far as it is right, has drawn words.

    `outside` is the target of a word that belongs to no entity: no match is made up where one is.
    """

    dropout: float = 0.3
    distractors: float = 0.075
    empty: float = 0.1
    mistyped: float = 0.0
    renamed: float = 0.0
    outside: int = 0

    def __call__(
        self, tokens: Encoded, targets: "Sequence[NDArray[np.int64]] | None", rows: Sequence[int], seed: int
    ) -> Encoded:
        """Some rows with other matches and other tokens in them, the same for the same rows and seed; `targets` are all
        rows' words'. Of text without any, a made-up match may stand anywhere.
        """
        assert tokens.matches is not None and tokens.places is not None
        draw = np.random.default_rng([seed, *rows])
        found = tokens.take(rows)
        wrong = np.array([], dtype=np.int64)
        if draw.random() < self.empty:
            kept = [each[:0] for each in found.matches or ()]
        else:
            entries = np.unique(np.concatenate([tokens.matches[row][:, 3] for row in rows]))
            left = entries[draw.random(len(entries)) >= self.dropout]
            kept = [each[np.isin(each[:, 3], left)] for each in found.matches or ()]
            wrong = entries[draw.random(len(entries)) < self.mistyped]
            types = draw.integers(tokens.kinds, size=len(wrong))
            kept = [_retyped(each, wrong, types) for each in kept]
        made = [
            self._distracted(
                each,
                np.ones(len(tokens.places[row]), bool) if targets is None else targets[row] == self.outside,
                tokens.kinds,
                draw,
            )
            for each, row in zip(kept, rows, strict=True)
        ]
        if not self.renamed:
            return replace(found, matches=made)
        right = [each[~np.isin(each[:, 3], wrong)] for each in kept]
        return replace(found, matches=made, ids=self._renamed(found, right, draw))

    def _renamed(
        self, tokens: Encoded, matches: "Sequence[Matches]", draw: np.random.Generator
    ) -> "list[NDArray[np.int64]]":
        """The rows' tokens, where some of the matches have the first tokens of words of any of these rows."""
        assert tokens.places is not None
        spoken = np.concatenate(
            [row[places[places >= 0]] for row, places in zip(tokens.ids, tokens.places, strict=True)]
        )
        found = [row.copy() for row in tokens.ids]
        for row, places, each in zip(found, tokens.places, matches, strict=True):
            # A word goes on up to the next one's first token; after the last word comes the token that ends a row.
            starts = np.append(np.where(places < 0, len(row) - 1, places), len(row) - 1)
            ends = np.minimum.accumulate(starts[:0:-1])[::-1]
            for first, last in each[draw.random(len(each)) < self.renamed, :2]:
                if places[first] >= 0:
                    row[places[first] : ends[last]] = draw.choice(spoken, len(row[places[first] : ends[last]]))
        return found

    def _distracted(
        self, matches: "Matches", outside: "NDArray[np.bool_]", kinds: int, draw: np.random.Generator
    ) -> "Matches":
        if draw.random() >= self.distractors:
            return matches
        first = int(draw.integers(len(outside)))
        last = min(first + int(draw.integers(_LONGEST)), len(outside) - 1)
        if not outside[first : last + 1].all():
            return matches
        return np.vstack([matches, [first, last, int(draw.integers(kinds)), -1]])


def _retyped(matches: "Matches", entries: "NDArray[np.int64]", types: "NDArray[np.int64]") -> "Matches":
    """Matches of some entries (sorted) with other types."""
    found = matches.copy()
    hit = np.isin(found[:, 3], entries)
    found[hit, 2] = types[np.searchsorted(entries, found[hit, 3])]
    return found
