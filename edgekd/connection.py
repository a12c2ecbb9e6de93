"""The contract of a connection: a way to run commands on a device, and to move files there and back."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgekd.options import Options
from edgekd.registry import Registry

if TYPE_CHECKING:
    from typing import Self


class Link(ABC):
    """An open connection. Used as a context, it is closed."""

    here = False  # whether the device is this machine

    @property
    @abstractmethod
    def home(self) -> str:
        """edgekd's own folder on the device, an absolute path."""

    @abstractmethod
    def run(
        self, argv: Sequence[str], env: Mapping[str, str], stdin: str = "", deadline: float = 60.0, hold: bool = False
    ) -> Iterator[str]:
        """Run a command on the device; yield its standard output line by line.

        `env` comes over what the device has; `deadline` is in seconds. `hold`: its standard input stays open after
        `stdin` for as long as someone reads the lines, so that the command can tell when it is left alone.
        Raises EdgekdError with the end of standard error when it fails or runs over.
        """

    @abstractmethod
    def push(self, path: Path) -> str:
        """Make a local file or folder available on the device; returns its path there.

        What is there already is used if its content is the same. Raises EdgekdError, leaving nothing half-written.
        """

    @abstractmethod
    def pull(self, there: str, here: Path, most: int) -> None:
        """Copy a file of the device, of `most` bytes at most, to a local path, and check that it came whole.

        Raises EdgekdError.
        """

    def close(self) -> None:  # noqa: B027  # not every link has something to end
        """End it. What was pushed stays, for the next time."""

    def __enter__(self) -> "Self":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Connection(Options, ABC):
    """What a device file says of the way to the device."""

    @classmethod
    def kind(cls) -> str:
        """Its file's name, by which device files name it."""
        return cls.__module__.rpartition(".")[2]

    @abstractmethod
    def open(self) -> Link:
        """Raises EdgekdError, with what to do, where the device cannot be reached."""


CONNECTIONS: Registry[Connection] = Registry("edgekd.connections", Connection, "connection")  # type: ignore[type-abstract]
