"""A tag for each word of a text: named entities, key information.

Scores are of entities, exact in type and in both ends (Nakayama, "seqeval", 2018; it follows the CoNLL-2000 scorer).
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from edgekd import tagging, words
from edgekd.errors import EdgekdError, listed, nearest
from edgekd.tagging import Entity, Scheme
from edgekd.task import Task

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgekd.task import Floats, Sampler
    from edgekd.tokens import Encoded
    from edgekd.words import Span

    Tags = list[list[str]]


def _by_entity(name: str, predicted: "Tags", true: "Tags", average: str) -> float:
    from seqeval import metrics

    return float(getattr(metrics, name)(true, predicted, average=average, zero_division=0))


def _f1(predicted: "Tags", true: "Tags") -> float:
    return _by_entity("f1_score", predicted, true, "micro")


def _macro_f1(predicted: "Tags", true: "Tags") -> float:
    """The mean of each type's F1."""
    return _by_entity("f1_score", predicted, true, "macro")


def _precision(predicted: "Tags", true: "Tags") -> float:
    return _by_entity("precision_score", predicted, true, "micro")


def _recall(predicted: "Tags", true: "Tags") -> float:
    return _by_entity("recall_score", predicted, true, "micro")


def _accuracy(predicted: "Tags", true: "Tags") -> float:
    """Share of words with the right tag: high for a model that finds nothing."""
    from seqeval.metrics import accuracy_score

    return float(accuracy_score(true, predicted))


class Tokens(Task):
    problem_type = None
    per_token = True
    default_metric = "f1"
    metrics: ClassVar = {
        "f1": _f1,
        "precision": _precision,
        "recall": _recall,
        "macro_f1": _macro_f1,
        "accuracy": _accuracy,
    }

    def outputs(self, labels: Sequence[str]) -> int:
        return len(labels)

    def labels(self, cells: Sequence[Any], names: Sequence[str]) -> tuple[str, ...]:
        if names:
            return tuple(names)
        tags = dict.fromkeys(_tag(part) for cell in cells for part in _listed(cell))  # of bad ones the first is told
        found = Scheme.of(tags).labels(tagging.types(tags))
        if len(found) == 1:
            raise EdgekdError("no word is tagged as an entity", "Check data.label.")
        return found

    def read(
        self, cells: Sequence[Any], label: Any, labels: Sequence[str], indexed: bool
    ) -> tuple[tuple[str, ...], list[float]]:
        """A cell of words with a cell of as many tags, or a text with {start, end, label} of each entity.

        An entity that begins or ends inside a word is taken to be whole words, since no tagger can cut one.
        """
        (cell,), marks = cells, _listed(label)
        text, found = (
            _marked(cell, marks) if isinstance(cell, str) else _tagged(_listed(cell, "words"), marks, labels, indexed)
        )
        parts = words.spans(text)
        starts, ends = [first for first, _ in parts], [last for _, last in parts]
        covered = []
        for kind, start, end in found:
            first, last = bisect_right(ends, start), bisect_left(starts, end) - 1
            covered += [Entity(kind, first, last)] if first <= last else []
        numbers = {name: number for number, name in enumerate(labels)}
        tags = Scheme.of(labels).tags(covered, len(parts))
        if unknown := next((tag for tag in tags if tag not in numbers), None):
            raise EdgekdError(f"tag {unknown!r} is none of {listed(labels)}", nearest(unknown, labels))
        if not tags:
            raise EdgekdError("the row has no word", "Drop it.")
        return (text,), [numbers[tag] for tag in tags]

    def words(self, text: str) -> "list[Span] | None":
        return words.spans(text)

    def answers(self, outputs: "Floats", tokens: "Encoded", labels: Sequence[str]) -> "Floats":
        """The outputs at each word's first piece. A word that was cut off gets no answer but O."""
        import numpy as np

        assert tokens.places is not None
        starts = np.concatenate([[0], np.cumsum(tokens.lengths)[:-1]])
        places = np.concatenate(
            [np.where(row < 0, -1, row + start) for row, start in zip(tokens.places, starts, strict=True)]
        )
        found: Floats = outputs[places]
        found[places < 0] = [float(name == tagging.OUTSIDE) for name in labels]
        return found

    def predictions(self, logits: "Floats") -> "NDArray[Any]":
        found: NDArray[Any] = logits.argmax(axis=1)
        return found

    def compared(self, values: "NDArray[Any]", labels: Sequence[str], ends: "NDArray[Any]") -> "Tags":
        """Each row's tags, in the spelling that seqeval knows, BIOES: what BMES and BILOU say in other letters."""
        spelt = [_SPELT.get(name[:2], name[:2]) + name[2:] for name in labels]
        return [
            [spelt[int(value)] for value in values[start:end]] for start, end in zip([0, *ends[:-1]], ends, strict=True)
        ]

    def sampler(
        self, metric: str, logits: "Floats", targets: "NDArray[Any]", labels: Sequence[str], ends: "NDArray[Any]"
    ) -> "Sampler":
        """Each row is counted once, and a sample's score is of the sums: seqeval takes a second for each sample."""
        import numpy as np

        if metric not in (*_SCORES, "accuracy"):
            return super().sampler(metric, logits, targets, labels, ends)
        predicted, true = (self.compared(values, labels, ends) for values in (self.predictions(logits), targets))
        if metric == "accuracy":
            words = np.diff(ends, prepend=0)
            right = np.array([sum(map(str.__eq__, *row)) for row in zip(predicted, true, strict=True)])
            return lambda rows: float(right[rows].sum() / words[rows].sum())
        # (rows, types, 3): entities found that are right, found, and there.
        counts = _counts(predicted, true)
        return lambda rows: _SCORES[metric](counts[rows].sum(0))

    def decode(self, logits: "Floats", labels: Sequence[str], texts: Sequence[Sequence[str]] = ()) -> list[Any]:
        """The entities of each row, with offsets in characters; the score is that of the least sure word's tag."""
        import numpy as np

        shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
        chances = (shifted / shifted.sum(axis=1, keepdims=True)).max(axis=1)
        tags = [labels[int(number)] for number in self.predictions(logits)]
        found, start = [], 0
        for (text,) in texts:
            parts = words.spans(text)
            own = slice(start, start + len(parts))
            start = own.stop
            found.append({"entities": list(_told(text, parts, tags[own], chances[own]))})
        return found

    def blind(self, targets: "NDArray[Any]", labels: Sequence[str]) -> "dict[str, Floats]":
        import numpy as np

        return {"always no entity": np.array([float(label == tagging.OUTSIDE) for label in labels])}

    def agreement(self, ours: "Floats", theirs: "Floats") -> float:
        return float((self.predictions(ours) == self.predictions(theirs)).mean())


def _counts(predicted: "Tags", true: "Tags") -> "NDArray[Any]":
    import numpy as np
    from seqeval.metrics.sequence_labeling import get_entities

    both = [(set(get_entities(ours)), set(get_entities(theirs))) for ours, theirs in zip(predicted, true, strict=True)]
    kinds = sorted({entity[0] for ours, theirs in both for entity in ours | theirs})
    types = {kind: number for number, kind in enumerate(kinds)}
    counts = np.zeros((len(both), len(types), 3), dtype=np.int64)
    for row, (ours, theirs) in zip(counts, both, strict=True):
        for place, entities in enumerate((ours & theirs, ours, theirs)):
            for kind, _, _ in entities:
                row[types[kind], place] += 1
    return counts


def _f1_of(counts: "NDArray[Any]") -> "NDArray[Any]":
    """Of (..., 3) counts; 0 where nothing is found and nothing is there."""
    import numpy as np

    found: NDArray[Any] = 2 * counts[..., 0] / np.maximum(counts[..., 1] + counts[..., 2], 1)
    return found


def _share(counts: "NDArray[Any]", of: int) -> float:
    right, whole = counts.sum(0)[[0, of]]
    return float(right / whole) if whole else 0.0


_SPELT = {"M-": "I-", "L-": "E-", "U-": "S-"}
_SCORES: "Mapping[str, Callable[[NDArray[Any]], float]]" = {
    "f1": lambda counts: float(_f1_of(counts.sum(0))),
    "precision": lambda counts: _share(counts, 1),
    "recall": lambda counts: _share(counts, 2),
    # Types that a sample neither has nor is said to have do not count.
    "macro_f1": lambda counts: float(_f1_of(counts[counts.any(1)]).mean()) if counts.any() else 0.0,
}


def _told(text: str, parts: "list[Span]", tags: list[str], chances: "NDArray[Any]") -> Iterator[dict[str, Any]]:
    for entity in tagging.entities(tags):
        start, end = parts[entity.first][0], parts[entity.last][1]
        score = round(float(chances[entity.first : entity.last + 1].min()), 6)
        yield {"type": entity.kind, "text": text[start:end], "start": start, "end": end, "score": score}


def _listed(cell: Any, what: str = "tags") -> list[Any]:
    if not isinstance(cell, Iterable) or isinstance(cell, (str, bytes, Mapping)):
        raise EdgekdError(f"{cell!r:.100} is no list of {what}", "Give a list, with a tag for each word.")
    return list(cell)


def _tag(part: Any) -> str:
    """What a part of a label cell says: a tag, or an entity's type as the tag of its first word."""
    return f"B-{_entity(part, None)[0]}" if isinstance(part, dict) else str(part).strip()


def _entity(part: Any, text: str | None) -> tuple[str, int, int]:
    """The type, start and end of an entity in a text, which is not looked at where it is None."""
    kind, start, end = (part.get(name) if isinstance(part, dict) else None for name in ("label", "start", "end"))
    if not isinstance(kind, str) or not kind.strip() or not isinstance(start, int) or not isinstance(end, int):
        raise EdgekdError(f"{part!r:.100} is no entity", "Of a text an entity is {start: 0, end: 3, label: TYPE}.")
    if text is not None and not 0 <= start < end <= len(text):
        problem = f"an entity from character {start} to {end}, in a text of {len(text)}"
        raise EdgekdError(problem, "Count from 0; the end is the first character behind it.")
    return kind, start, end


def _marked(text: str, label: Sequence[Any]) -> tuple[str, list[tuple[str, int, int]]]:
    """A text with the type, start and end of its entities."""
    return text, [_entity(part, text) for part in label]


def _tagged(
    cell: list[Any], label: list[Any], labels: Sequence[str], indexed: bool
) -> tuple[str, list[tuple[str, int, int]]]:
    """The text of words, with the type, start and end of what their tags mark."""
    if len(cell) != len(label):
        raise EdgekdError(f"{len(cell)} words and {len(label)} tags", "A row needs a tag for each word.")
    given = [str(word) for word in cell]
    text = words.joined(given)
    gap = (len(text) - sum(map(len, given))) // max(1, len(given) - 1)
    starts = [0]
    for word in given:
        starts.append(starts[-1] + len(word) + gap)
    tags = [labels[tag] if indexed and isinstance(tag, int) and 0 <= tag < len(labels) else _tag(tag) for tag in label]
    return text, [
        (entity.kind, starts[entity.first], starts[entity.last] + len(given[entity.last]))
        for entity in tagging.entities(tags)
    ]
