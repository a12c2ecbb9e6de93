"""A device: what a file in devices/ says of a machine, and the contract of the connection that reaches it."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, field_serializer

from edgekd.options import Options
from edgekd.registry import Registry

if TYPE_CHECKING:
    from typing import Self


# The host may set it for its own training; a device's processes run as their runtime's defaults have it.
SPIN_COUNT = "GOMP_SPINCOUNT"


class RunOptions(Options):
    """How a device is timed."""

    threads: tuple[int, ...] = Field((1,), min_length=1, description="Thread counts to time, one after another")
    min_runs: int = Field(700, ge=5, description="Timed inferences in all, over the fresh processes")
    max_s: float = Field(
        60.0, gt=0, description="Stop timing after this many seconds a process; too few samples are said"
    )
    warmup_s: float = Field(0.3, ge=0, description="Run untimed for this many seconds first, in each process")
    repeats: int = Field(3, ge=1, description="Fresh processes the timed inferences are spread over")


class Connection(Options, ABC):
    """A way to run a command on a device and to move files there. Its options are what a device file says of it."""

    @classmethod
    def kind(cls) -> str:
        """Its file's name, by which device files name it."""
        return cls.__module__.rpartition(".")[2]

    def open(self) -> "Self":
        """Raises EdgekdError where the device cannot be reached."""
        return self

    @abstractmethod
    def fingerprint(self) -> dict[str, Any]:
        """What identifies the machine for a timing: processor, cores, memory, system."""

    @abstractmethod
    def push(self, path: Path) -> str:
        """Make a local file or folder available on the device; returns its path there."""

    @abstractmethod
    def run(self, argv: Sequence[str], stdin: str, deadline: float) -> Iterator[str]:
        """Run a Python module's command line; yield its standard output line by line.

        `deadline` is in seconds. Raises EdgekdError with the end of standard error when it fails or runs over.
        """

    def close(self) -> None:
        """End what `open` began."""


CONNECTIONS: Registry[Connection] = Registry("edgekd.connections", Connection, "connection")  # type: ignore[type-abstract]


def _local() -> Connection:
    return CONNECTIONS.get("local")()


class Device(Options):
    """One machine that artifacts are timed on, and scored on too unless it is this one."""

    name: str = Field(description="Name used in recipes and reports")
    transport: Connection = Field(default_factory=_local, description="How the device is reached: {type: KIND, ...}")
    runtimes: tuple[str, ...] | None = Field(
        None, min_length=1, description="Runtimes that it has: artifacts of others are left out there; default: all"
    )
    run: RunOptions = Field(RunOptions(), description="How it is timed")
    emulated: bool = Field(False, description="Emulated hardware: its latencies are never claimed")

    @field_serializer("transport")
    def _spoken(self, transport: Connection) -> dict[str, Any]:
        return {"type": transport.kind(), **transport.model_dump(mode="json")}

    @property
    def here(self) -> bool:
        """Whether it is this very machine and Python."""
        return self.transport.kind() == "local"

    def serves(self, runtime: str) -> bool:
        return self.runtimes is None or runtime in self.runtimes

    def connect(self) -> Connection:
        """The open connection. Raises EdgekdError where the device cannot be reached."""
        return self.transport.open()
