import pytest

from edgekd.errors import EdgekdError
from edgekd.kd.mappings import resolve


@pytest.mark.parametrize(
    ("mapping", "student", "teacher", "expected"),
    [
        ("uniform", 4, 12, [3, 6, 9, 12]),  # TinyBERT4's
        ("uniform", 6, 12, [2, 4, 6, 8, 10, 12]),
        ("uniform", 4, 6, [1, 3, 4, 6]),
        ("top", 4, 12, [9, 10, 11, 12]),
        ("bottom", 4, 12, [1, 2, 3, 4]),
        ((12, 12, 1), 3, 12, [12, 12, 1]),
    ],
)
def test_mappings(mapping: str | tuple[int, ...], student: int, teacher: int, expected: list[int]) -> None:
    assert resolve(mapping, student, teacher) == expected


@pytest.mark.parametrize("mapping", ["uniform", (1, 2, 3), (0, 1), (1, 7), "middle"])
def test_what_does_not_fit_is_refused(mapping: str | tuple[int, ...]) -> None:
    with pytest.raises(EdgekdError):
        resolve(mapping, 8 if mapping == "uniform" else 2, 6)
