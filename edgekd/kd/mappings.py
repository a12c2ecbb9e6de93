"""Layer mappings: which teacher layers (1..N) each student layer m = 1..M learns from.

A fixed mapping gives every student layer the mean of some teacher layers, often of one, or nothing. Uniform is
TinyBERT's choice (Jiao et al. 2020, section 3.1; ablated against top and bottom in section 4.4), last MiniLM's (Wang et
al. 2020, section 3). Reverse and all_to_one are controls for whether the choice matters at all: they are what a study
of layer selection by its title (arXiv 2502.04499) suggests, reconstructed without its text.
"""

import random
from collections.abc import Callable
from typing import Literal

from edgekd.errors import EdgekdError, nearest

MappingName = Literal["uniform", "top", "bottom", "last", "mean", "reverse", "all_to_one", "random", "attention", "emd"]
# Teacher layers for each student layer.
Layers = list[tuple[int, ...]]


def uniform(student: int, teacher: int) -> Layers:
    """g(m) = m N / M, rounded down: every N/M-th layer, the last onto the last."""
    return [(number * teacher // student,) for number in range(1, student + 1)]


def top(student: int, teacher: int) -> Layers:
    """g(m) = m + N - M: the last M layers."""
    return [(number + teacher - student,) for number in range(1, student + 1)]


def bottom(student: int, teacher: int) -> Layers:
    """g(m) = m: the first M layers."""
    return [(number,) for number in range(1, student + 1)]


def last(student: int, teacher: int) -> Layers:
    """The last onto the last; the layers below it learn nothing."""
    return [()] * (student - 1) + [(teacher,)]


def mean(student: int, teacher: int) -> Layers:
    """All of bucket m, the layers above g(m - 1) up to g(m) of uniform (reconstructed: the buckets are its)."""
    ends = [0, *(end for (end,) in uniform(student, teacher))]
    return [tuple(range(ends[number] + 1, ends[number + 1] + 1)) for number in range(student)]


def reverse(student: int, teacher: int) -> Layers:
    """Uniform's layers from the last to the first."""
    return uniform(student, teacher)[::-1]


def all_to_one(student: int, teacher: int) -> Layers:
    """Every layer onto the last."""
    return [(teacher,)] * student


def sampled(student: int, teacher: int, seed: int) -> Layers:
    """M - 1 of the teacher's layers below the last, drawn without replacement and sorted, then the last.

    RAIL-KD (Haidar et al. 2022) draws anew each epoch: the seed is the epoch's.
    """
    drawn = random.Random(seed).sample(range(1, teacher), student - 1)
    return [(layer,) for layer in [*sorted(drawn), teacher]]


MAPPINGS: dict[MappingName, Callable[[int, int], Layers]] = {
    "uniform": uniform,
    "top": top,
    "bottom": bottom,
    "last": last,
    "mean": mean,
    "reverse": reverse,
    "all_to_one": all_to_one,
}
# Their weights come from the data of each step: ALP-KD's attention and BERT-EMD's earth mover's distance.
ADAPTIVE: tuple[MappingName, ...] = ("attention", "emd")
# Those that any number of student layers can learn by.
_ANY_DEPTH = ("last", "all_to_one", *ADAPTIVE)


def resolve(mapping: str | tuple[int, ...], student: int, teacher: int, seed: int = 0) -> Layers:
    """The teacher layers of each student layer; `seed` is an epoch's, for "random". Adaptive ones may take any layer.

    Raises EdgekdError where the layers cannot be mapped so.
    """
    if not isinstance(mapping, str):
        return _listed(mapping, student, teacher)
    if mapping not in (known := (*MAPPINGS, "random", *ADAPTIVE)):
        raise EdgekdError(f"unknown layer mapping '{mapping}'", nearest(mapping, known))
    if student > teacher and mapping not in _ANY_DEPTH:
        raise EdgekdError(
            f"a student of {student} layers cannot be mapped onto a teacher of {teacher} by '{mapping}'",
            "Give the mapping as a list of teacher layers.",
        )
    if mapping in ADAPTIVE:
        return [tuple(range(1, teacher + 1))] * student
    if mapping == "random":
        return sampled(student, teacher, seed)
    return MAPPINGS[mapping](student, teacher)


def layers_read(mapping: str | tuple[int, ...], student: int, teacher: int) -> set[int]:
    """The teacher's layers that can ever be needed, in any epoch. Raises EdgekdError as `resolve`."""
    resolved = resolve(mapping, student, teacher)
    return set(range(1, teacher + 1)) if mapping == "random" else {layer for chosen in resolved for layer in chosen}


def _listed(mapping: tuple[int, ...], student: int, teacher: int) -> Layers:
    if len(mapping) != student or not all(1 <= layer <= teacher for layer in mapping):
        raise EdgekdError(
            f"mapping {list(mapping)} does not fit: {student} student layers, teacher layers 1 to {teacher}",
            "Name one teacher layer for each student layer.",
        )
    return [(layer,) for layer in mapping]
