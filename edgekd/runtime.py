"""The contract of a runtime: compile an artifact for a device, run it, account for its memory, let it go.

The shape of US11941532B2 (unified backend engine): front-end device names map one to one to engine devices, a compiler
gives an executable, the executor runs it. Standard library and numpy only, since it also serves on a board.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from edgekd.errors import EdgekdError
from edgekd.registry import Registry

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Arrays = Mapping[str, NDArray[np.generic]]


@dataclass(frozen=True)
class EngineDevice:
    """Where an executable runs: a processor kind and the threads it may use (0: all)."""

    name: str = "cpu"
    threads: int = 1


class Executable(ABC):
    """A compiled artifact. Not thread-safe."""

    precision: str  # what really computes, as far as the runtime tells

    @abstractmethod
    def run(self, inputs: "Arrays") -> "dict[str, NDArray[Any]]":
        """input_ids, attention_mask and token_type_ids, int64 (rows, length) -> logits, float32 (rows, outputs)."""

    @abstractmethod
    def close(self) -> None:
        """Release what the runtime holds; the executable is of no use afterwards."""


class Runtime(ABC):
    """One runtime. `reads` are the artifact formats it serves, `libraries` the distributions it is."""

    reads: ClassVar[frozenset[str]]
    libraries: ClassVar[tuple[str, ...]]

    @abstractmethod
    def compile(self, artifact: Path, device: EngineDevice) -> Executable:
        """Load and prepare an artifact's folder. Raises EdgekdError for a device the runtime does not know."""


RUNTIMES: Registry[Runtime] = Registry("edgekd.runtimes", Runtime, "runtime")  # type: ignore[type-abstract]


def serving(artifact_format: str) -> str:
    """The name of the runtime that serves a format. Raises EdgekdError where none does."""
    for name in RUNTIMES.names:
        if artifact_format in RUNTIMES.get(name).reads:
            return name
    raise EdgekdError(
        f"no runtime reads artifacts of format '{artifact_format}'", f"Runtimes: {', '.join(RUNTIMES.names)}."
    )


def expect_cpu(device: EngineDevice, runtime: str) -> None:
    """For runtimes that only have processors: any other device name is an error, not a silent fallback."""
    if device.name != "cpu":
        raise EdgekdError(f"{runtime} has no device '{device.name}' here", "Use cpu.")
