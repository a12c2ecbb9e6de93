"""A device: what a file in devices/ says of a machine, and the contract of the connection that reaches it."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

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


class Transport(Options):
    """How the device is reached."""

    type: str = Field("local", description="Kind of connection: local")


class Device(Options):
    """One machine that artifacts are timed on."""

    name: str = Field(description="Name used in recipes and reports")
    transport: Transport = Field(Transport(), description="How the device is reached")
    run: RunOptions = Field(RunOptions(), description="How it is timed")
    emulated: bool = Field(False, description="Emulated hardware: its latencies are never claimed")

    def connect(self) -> "Connection":
        """The open connection. Raises EdgekdError where the device cannot be reached."""
        return CONNECTIONS.get(self.transport.type).open(self.transport)


class Connection(ABC):
    """A way to run a command on a device and to move files there and back."""

    @classmethod
    @abstractmethod
    def open(cls, transport: Transport) -> "Self": ...

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

    @abstractmethod
    def close(self) -> None: ...


CONNECTIONS: Registry[Connection] = Registry("edgekd.connections", Connection, "connection")  # type: ignore[type-abstract]
