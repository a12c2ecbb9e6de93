"""Layer mappings: which teacher layer g(m) each student layer m = 1..M imitates, of N.

Uniform is TinyBERT's choice (Jiao et al. 2020, section 3.1; ablated against top and bottom in section 4.4).
"""

from collections.abc import Callable

from edgekd.errors import EdgekdError, nearest


def uniform(student: int, teacher: int) -> list[int]:
    """g(m) = m N / M, rounded down: every N/M-th layer, the last onto the last."""
    return [number * teacher // student for number in range(1, student + 1)]


def top(student: int, teacher: int) -> list[int]:
    """g(m) = m + N - M: the last M layers."""
    return [number + teacher - student for number in range(1, student + 1)]


def bottom(student: int, teacher: int) -> list[int]:
    """g(m) = m: the first M layers."""
    return list(range(1, student + 1))


MAPPINGS: dict[str, Callable[[int, int], list[int]]] = {"uniform": uniform, "top": top, "bottom": bottom}


def resolve(mapping: str | tuple[int, ...], student: int, teacher: int) -> list[int]:
    """Teacher layer numbers (1..N), one for each student layer. Raises EdgekdError where they cannot be."""
    if isinstance(mapping, str):
        if mapping not in MAPPINGS:
            raise EdgekdError(f"unknown layer mapping '{mapping}'", nearest(mapping, MAPPINGS))
        if student > teacher:
            raise EdgekdError(
                f"a student of {student} layers cannot be mapped onto a teacher of {teacher} by '{mapping}'",
                "Give the mapping as a list of teacher layers.",
            )
        return MAPPINGS[mapping](student, teacher)
    if len(mapping) != student or not all(1 <= layer <= teacher for layer in mapping):
        raise EdgekdError(
            f"mapping {list(mapping)} does not fit: {student} student layers, teacher layers 1 to {teacher}",
            "Name one teacher layer for each student layer.",
        )
    return list(mapping)
