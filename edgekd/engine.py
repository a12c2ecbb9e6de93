"""The unified backend engine: one compile for every runtime, each executable made once.

US11941532B2: the framework hands a graph to one engine whatever the device, and the engine keeps what it compiled by
content, device, shape and precision.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

from edgekd.artifact import Artifact
from edgekd.errors import EdgekdError
from edgekd.resident import give_back, resident
from edgekd.runtime import RUNTIMES, EngineDevice, Executable, serving

if TYPE_CHECKING:
    from edgekd.runtime import Shape

_Key = tuple[str, str, EngineDevice, "Shape | None", str]


@dataclass
class Engine:
    """Compiles, keeps and releases executables. Used as a context, it closes what it compiled."""

    _kept: dict[_Key, Executable] = field(default_factory=dict)

    def compile(
        self,
        folder: Path,
        device: EngineDevice | None = None,
        shape: "Shape | None" = None,
        precision: str = "fp32",
        runtime: str | None = None,
    ) -> Executable:
        """An artifact's folder as an executable on a device, for any shape (rows, length) or for one.

        `runtime` None: the one that serves the artifact's format. The same content, device, shape and precision give
        the same executable until it is closed. Raises EdgekdError for anything the runtime does not have.
        """
        artifact, device = Artifact.load(folder, check=False), device or EngineDevice()
        name = runtime or serving(artifact.manifest.format)
        backend = RUNTIMES.get(name)
        if artifact.manifest.format not in backend.reads:
            raise EdgekdError(
                f"runtime {name} does not read {artifact.manifest.format} artifacts",
                f"It reads {', '.join(sorted(backend.reads))}.",
            )
        if shape is not None and min(shape) < 1:
            raise EdgekdError(f"a shape is (rows, length), both at least 1, not {shape}", "Leave it out for any shape.")
        key = (artifact.digest, name, device, shape, precision)
        found = self._kept.get(key)
        if found is None or found.closed:
            before = resident()
            found = backend().compile(folder, device, shape, precision)
            give_back()  # what loading alone needed: of ONNX Runtime a quarter of the process
            found.start, found.held = before, max(0, resident() - before)
            self._kept[key] = found
        return found

    @property
    def open(self) -> int:
        """How many executables are compiled and not closed."""
        return sum(not executable.closed for executable in self._kept.values())

    def close(self) -> None:
        for executable in self._kept.values():
            executable.close()
        self._kept.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
