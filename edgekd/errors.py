"""The one exception that is the user's to mend: what was wrong, where, and what to do next."""

import difflib
from collections.abc import Iterable, Sequence


class EdgekdError(Exception):
    """A fault outside edgekd's code: a recipe, a file, the machine. The command line prints it and exits with 1."""

    def __init__(self, problem: str, hint: str = "", where: str = "", path: tuple[int | str, ...] = ()) -> None:
        super().__init__(problem, hint, where, path)
        self.problem, self.hint, self.where = problem, hint, where
        self.path = path  # the option that is wrong, for a caller that can look up where it was set

    def at(self, where: str) -> "EdgekdError":
        """The same error with a place, for a caller that knows the place when the raiser did not."""
        return type(self)(self.problem, self.hint, self.where or where, self.path)

    def __str__(self) -> str:
        head = f"{self.where}: {self.problem}" if self.where else self.problem
        return f"{head}\n  {self.hint}" if self.hint else head


class RefusedError(EdgekdError):
    """An artifact failed a gate: it was made, measured, and found wrong."""


def nearest(name: str, known: Iterable[str]) -> str:
    """'Did you mean ...?' for a mistyped name, and the whole choice where it is short enough to read."""
    choice = sorted(known)
    close = difflib.get_close_matches(name, choice, n=1, cutoff=0.5)
    listed = f"Known here: {', '.join(choice)}." if 0 < len(choice) <= 30 else ""
    return " ".join(filter(None, [f"Did you mean '{close[0]}'?" if close else "", listed]))


def listed(names: Sequence[str], most: int = 10) -> str:
    """Names in a sentence: the first of them, and how many more there are."""
    more = f" ... and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
