"""A dictionary as it is never the same twice: so that a tagger learns to use one, and not to trust it.

Reconstructed: of CN112699678A no such detail was at hand. Entries are left out, others are told that are none, and
sometimes there is no dictionary at all.
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
    """Chances that a batch lacks an entry or has it with a drawn type, that a row has a match that is none, and that a
    batch has no dictionary.

    `outside` is the target of a word that belongs to no entity: no match is made up where one is.
    """

    dropout: float = 0.3
    distractors: float = 0.075
    empty: float = 0.1
    mistyped: float = 0.0
    outside: int = 0

    def __call__(
        self, tokens: Encoded, targets: "Sequence[NDArray[np.int64]] | None", rows: Sequence[int], seed: int
    ) -> Encoded:
        """Some rows with other matches, the same for the same rows and seed; `targets` are all rows' words'. Of text
        without any, a made-up match may stand anywhere.
        """
        assert tokens.matches is not None and tokens.places is not None
        draw = np.random.default_rng([seed, *rows])
        found = tokens.take(rows)
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
        return replace(found, matches=made)

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
