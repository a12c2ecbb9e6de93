"""One surface under hostile input: what it is given first, how that is bent, and what it may do with it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from random import Random

from edgekd.errors import EdgekdError

HERE = Path(__file__).parent
CORPUS = HERE / "corpus"
_LONGEST = 6000  # characters of an error: a screen or two


@dataclass(frozen=True)
class Target:
    """`check` reads an input in an empty folder and raises for whatever is no EdgekdError; `share` is its part of all
    inputs, by how quick it is.
    """

    surface: str
    check: Callable[[bytes, Path], None]
    seeds: tuple[bytes, ...]
    mutate: Callable[[bytes, Random], bytes]
    share: float = 4
    name: str = field(default="", compare=False)

    def run(self, data: bytes, folder: Path) -> None:
        """Nothing but an EdgekdError may come out, and that has to be something a person can read."""
        try:
            self.check(data, folder)
        except EdgekdError as error:
            told = str(error)
            assert error.problem.strip(), "an error without a word"
            assert len(told) < _LONGEST, f"an error of {len(told)} characters"


def names() -> list[str]:
    return sorted(module.name for module in iter_modules([str(HERE / "targets")]))


def load(name: str) -> Target:
    found: Target = import_module(f"tests.fuzz.targets.{name}").TARGET
    object.__setattr__(found, "name", name)
    return found


def kept(name: str) -> list[Path]:
    """The inputs that once were findings, or reach what the seeds do not."""
    return sorted((CORPUS / name).glob("*"))
