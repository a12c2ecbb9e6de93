"""The one exception that is the user's to mend: what was wrong, where, and what to do next."""

import difflib
from collections.abc import Iterable, Sequence

from edgekd.plain import brief


class EdgekdError(Exception):
    """A fault outside edgekd's code: a recipe, a file, the machine. The command line prints it and exits with 1."""

    def __init__(self, problem: str, hint: str = "", where: str = "", path: tuple[int | str, ...] = ()) -> None:
        problem, hint, where = map(_read, (problem, hint, where))
        super().__init__(problem, hint, where, path)
        self.problem, self.hint, self.where = problem, hint, where
        self.path = path  # the option that is wrong, for a caller that can look up where it was set

    def at(self, where: str) -> "EdgekdError":
        """The same error with a place, for a caller that knows the place when the raiser did not."""
        return type(self)(self.problem, self.hint, self.where or where, self.path)

    def __str__(self) -> str:
        head = f"{self.where}: {self.problem}" if self.where else self.problem
        return f"{head}\n  {self.hint}" if self.hint else head


class FieldError(ValueError):
    """What is wrong with a field, said where only the options around it can tell. `path` leads from them to it."""

    def __init__(self, problem: str, hint: str, *path: int | str) -> None:
        super().__init__(f"{problem}. {hint}")
        self.path = path


_LINES = 20  # of each part: a file or a device may hold anything
_NAME, _CHOICE = 200, 10_000  # characters; names


def _read(text: str) -> str:
    """As much of a text as one reads, the end of what has many lines."""
    return brief("\n".join(text.split("\n")[-_LINES:]))


class RefusedError(EdgekdError):
    """An artifact failed a gate: it was made, measured, and found wrong."""


def nearest(name: str, known: Iterable[str]) -> str:
    """'Did you mean ...?' for a mistyped name, and the whole choice where it is short enough to read."""
    choice = sorted(set(known))
    # The search takes the square of a name's length, and nobody mistypes a whole text.
    short = [other for other in choice if len(other) <= _NAME] if len(choice) <= _CHOICE else []
    close = difflib.get_close_matches(name, short, n=1, cutoff=0.5) if len(name) <= _NAME else []
    listed = f"Known here: {', '.join(choice)}." if 0 < len(choice) <= 30 else ""
    return " ".join(filter(None, [f"Did you mean '{close[0]}'?" if close else "", listed]))


def listed(names: Sequence[str], most: int = 10) -> str:
    """Names in a sentence: the first of them, and how many more there are."""
    more = f" ... and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
