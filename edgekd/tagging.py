"""Tags of words and the entities that they spell, in the schemes BIO, BIOES, BMES and BILOU.

Tags are read as the CoNLL-2000 scorer and seqeval's default mode read them: an entity goes on with I (or M, E, L) of
its own type, so that one which begins without a B counts too.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

from edgekd.errors import EdgekdError

OUTSIDE = "O"
_OPENS, _INSIDE, _CLOSES = "BSU", "IMEL", "ESLU"


@dataclass(frozen=True)
class Entity:
    """Words `first` to `last` (numbers from 0, both of them inside) of a type, its `kind`."""

    kind: str
    first: int
    last: int


@dataclass(frozen=True)
class Scheme:
    """The prefixes of an entity of one word, and of the first, the middle and the last of several."""

    single: str
    begin: str
    middle: str
    end: str

    @classmethod
    def of(cls, tags: Iterable[str]) -> Self:
        """The scheme whose prefixes these tags have. Raises EdgekdError for a tag that has none."""
        prefixes = {_parts(tag)[0] for tag in tags if tag != OUTSIDE}
        if "M" in prefixes:
            return cls("S", "B", "M", "E")
        if prefixes & {"U", "L"}:
            return cls("U", "B", "I", "L")
        return cls("S", "B", "I", "E") if prefixes & {"S", "E"} else cls("B", "B", "I", "I")

    def labels(self, types: Iterable[str]) -> tuple[str, ...]:
        """Every tag of these types, O first: a type may need one that no row of a train split shows."""
        prefixes = dict.fromkeys((self.begin, self.middle, self.end, self.single))
        return (OUTSIDE, *(f"{prefix}-{kind}" for kind in sorted(set(types)) for prefix in prefixes))

    def tags(self, entities: Iterable[Entity], words: int) -> list[str]:
        """One tag a word. Of entities that overlap the first counts."""
        found: list[str] = [OUTSIDE] * words
        for entity in entities:
            if any(tag != OUTSIDE for tag in found[entity.first : entity.last + 1]):
                continue
            inner = entity.last - entity.first - 1
            prefixes = self.single if inner < 0 else self.begin + self.middle * inner + self.end
            found[entity.first : entity.last + 1] = [f"{prefix}-{entity.kind}" for prefix in prefixes]
        return found


def types(tags: Iterable[str]) -> set[str]:
    return {_parts(tag)[1] for tag in tags if tag != OUTSIDE}


def entities(tags: Sequence[str]) -> list[Entity]:
    """The entities of a row of tags, in order."""
    parts = [("", "") if tag == OUTSIDE else _parts(tag) for tag in tags]
    begins = [
        number
        for number, ((before, last), (prefix, kind)) in enumerate(pairwise([("", ""), *parts]))
        if kind and (kind != last or prefix in _OPENS or before in _CLOSES)
    ]
    found = []
    for number, end in zip(begins, [*begins[1:], len(parts)], strict=False):
        kind = parts[number][1]
        last = next((at for at in range(number, end) if parts[at][1] != kind), end) - 1
        found.append(Entity(kind, number, last))
    return found


def _parts(tag: str) -> tuple[str, str]:
    """Prefix and type of a tag that is not O."""
    prefix, _, kind = tag.partition("-")
    if prefix not in {*_OPENS, *_INSIDE} or not kind:
        raise EdgekdError(
            f"tag {tag!r} is not {OUTSIDE}, nor a prefix and a type",
            "Write tags as B-PER and I-PER, or with the prefixes of BIOES, BMES or BILOU.",
        )
    return prefix, kind
