"""The contract of a runtime: compile an artifact for a device, run it, account for its memory, let it go.

The shape of US11941532B2 (unified backend engine): front-end device names map one to one to the devices of an engine
(claim 3), its compiler gives an executable (claim 4), the executor runs it (claim 8), and memory is accounted and
released. Standard library and numpy only, since it also serves on a board.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from edgekd.errors import EdgekdError, nearest
from edgekd.registry import Registry
from edgekd.resident import give_back, peak

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Arrays = Mapping[str, NDArray[np.generic]]
    Shape = tuple[int, int]


# What a model may ask for.
INPUTS = ("input_ids", "attention_mask", "token_type_ids", "dictionary")


@dataclass(frozen=True)
class EngineDevice:
    """Where an executable runs: a processor kind and the threads it may use (0: all), and which of the runtime's own
    `settings` it is to have otherwise than the runtime does by itself.
    """

    name: str = "cpu"
    threads: int = 1
    settings: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Memory:
    """Bytes of the process that an executable is charged with.

    `held`: growth of the resident memory while it was compiled, its weights and arena. `peak`: growth to the largest
    resident memory so far, while compiling or running.
    """

    held: int
    peak: int


class Executable(ABC):
    """A compiled artifact. Not thread-safe."""

    closed = False
    start, held = 0, 0  # bytes: resident before it was compiled, and by how much that grew; set by the engine

    def memory(self) -> Memory:
        """What it takes, as the engine accounts it. After `close` nothing is held."""
        return Memory(0 if self.closed else self.held, max(0, peak() - self.start))

    def run(self, inputs: "Arrays", outputs: "dict[str, NDArray[Any]] | None" = None) -> "dict[str, NDArray[Any]]":
        """input_ids, attention_mask and token_type_ids, int64 (rows, length) -> logits, float32 (rows, outputs) or,
        of a model that answers for each token, (rows, length, outputs); what it says of padding means nothing.

        `outputs` of an earlier run: they are written in place, and nothing is allocated for the result.
        Raises EdgekdError for inputs that it was not compiled for, where the runtime fails, and after `close`.
        """
        import numpy as np

        if self.closed:
            raise EdgekdError("this executable is closed", "Compile the artifact again.")
        try:
            found = self.infer(inputs)
        except EdgekdError:
            raise
        except Exception as error:  # each runtime raises its own
            rows, length = inputs["input_ids"].shape
            reason = " ".join(str(error).split())[:400]
            raise EdgekdError(
                f"the model does not run {rows} x {length} tokens: {reason}",
                "Its table of positions may be shorter, or the memory too small: try fewer, or make it again.",
            ) from None
        if outputs is None:
            return {name: np.array(value) for name, value in found.items()}
        for name, value in found.items():
            if outputs[name].shape != value.shape:
                raise EdgekdError(
                    f"outputs given for {name} have shape {outputs[name].shape}, the result has {value.shape}",
                    "Give outputs of a run of the same shape.",
                )
            np.copyto(outputs[name], value)
        return outputs

    @abstractmethod
    def infer(self, inputs: "Arrays") -> "dict[str, NDArray[Any]]":
        """As `run`; the arrays may lie in the runtime's own memory and are overwritten by the next call."""

    @abstractmethod
    def precision(self, inputs: "Arrays") -> str:
        """What the matrix products really computed in, as the runtime tells after running these inputs.

        Told, not assumed: it may run the inputs with profiling on, so it is never called while something is timed.
        """

    def profile(self, rows: "Sequence[Arrays]") -> dict[str, float]:
        """Seconds of one inference by kind of operator, the mean over rows; empty where the runtime does not tell.

        It runs them with profiling on, so it is never called while something is timed.
        """
        return {}

    @abstractmethod
    def release(self) -> None:
        """Let go of what the runtime holds."""

    def close(self) -> None:
        """Release, and give the memory back to the system; a second call does nothing."""
        if not self.closed:
            self.closed = True
            self.release()
            give_back()


class Runtime(ABC):
    """One runtime. `reads` are the artifact formats it serves, `libraries` the distributions it is.

    `devices` maps the names that recipes use to the runtime's own, one to one; `precisions` are what its float part
    can be told to compute in. `settings` are what may be faster in another way on another machine, each with its
    values, its own first.
    """

    reads: ClassVar[frozenset[str]]
    libraries: ClassVar[tuple[str, ...]]
    devices: ClassVar[Mapping[str, Any]] = {"cpu": "cpu"}
    precisions: ClassVar[Mapping[str, Any]] = {"fp32": "fp32"}
    settings: ClassVar[Mapping[str, tuple[str, ...]]] = {}

    @abstractmethod
    def compile(
        self, artifact: Path, device: EngineDevice, shape: "Shape | None" = None, precision: str = "fp32"
    ) -> Executable:
        """Load and prepare an artifact's folder, for any shape (rows, length) or for one.

        Raises EdgekdError for a device, an operator, a shape or a precision that the runtime does not have.
        """

    def device(self, device: EngineDevice) -> Any:
        """The runtime's own name of a device. Raises EdgekdError for one it does not know: no silent fallback."""
        if device.name not in self.devices:
            raise EdgekdError(f"{self.title()} has no device '{device.name}'", nearest(device.name, self.devices))
        return self.devices[device.name]

    def chosen(self, device: EngineDevice) -> dict[str, str]:
        """The value of each setting on a device. Raises EdgekdError for one that the runtime does not have."""
        found = {name: values[0] for name, values in self.settings.items()}
        for name, value in device.settings:
            if value not in self.settings.get(name, ()):
                known = [f"{name} {value}" for name, values in self.settings.items() for value in values]
                raise EdgekdError(f"{self.title()} has no setting '{name} {value}'", nearest(f"{name} {value}", known))
            found[name] = value
        return found

    def hint(self, precision: str) -> Any:
        """The runtime's own name of a precision. Raises EdgekdError for one it cannot be told."""
        if precision not in self.precisions:
            raise EdgekdError(
                f"{self.title()} cannot be told to compute in '{precision}'", nearest(precision, self.precisions)
            )
        return self.precisions[precision]

    @classmethod
    def title(cls) -> str:
        """The first words of its file's docstring: the name people know it by."""
        import sys

        return (sys.modules[cls.__module__].__doc__ or cls.__name__).partition(":")[0]

    def refused(self, artifact: Path, error: Exception) -> EdgekdError:
        """What `compile` raises where the runtime does not take a file: an operator it lacks, or a broken file."""
        reason = " ".join(str(error).split())
        return EdgekdError(
            f"{self.title()} cannot load {artifact}: {reason[:400]}", "Make it again, or export it for another runtime."
        )


RUNTIMES: Registry[Runtime] = Registry("edgekd.runtimes", Runtime, "runtime")  # type: ignore[type-abstract]


def serving(artifact_format: str) -> str:
    """The name of the runtime that serves a format. Raises EdgekdError where none does."""
    for name in RUNTIMES:
        if artifact_format in RUNTIMES.get(name).reads:
            return name
    hint = f"Runtimes: {', '.join(RUNTIMES.names)}."
    if artifact_format == "encoder":
        hint = "It knows no task yet: start distill or finetune from it, model: {from: STEP}."
    raise EdgekdError(f"no runtime reads artifacts of format '{artifact_format}'", hint)


def installed(libraries: tuple[str, ...]) -> dict[str, str]:
    """The installed versions of distributions; `a|b` is the first of them that is there.

    Imports none of them. Raises EdgekdError for one that is missing.
    """
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for library in libraries:
        for name in library.split("|"):
            try:
                found[name] = version(name)
                break
            except PackageNotFoundError:
                continue
        else:
            first = library.partition("|")[0]
            raise EdgekdError(f"the library {first} is not installed", f"Type: pip install {first}")
    return found


def together(rows: "Sequence[NDArray[Any]]", length: int) -> "NDArray[Any]":
    """Logits of single rows, each (1, outputs), or (1, its tokens, outputs) that are filled up to `length`."""
    import numpy as np

    return np.concatenate(
        [row if row.ndim == 2 else np.pad(row, ((0, 0), (0, length - row.shape[1]), (0, 0))) for row in rows]
    )


def summary(products: Mapping[str, int]) -> str:
    """One line of how many matrix products ran in what: 'int8 in 24, fp32 in 8 of 32 matrix products'."""
    total = sum(products.values())
    if not total:
        return "not told"
    if len(products) == 1:
        return next(iter(products))
    parts = sorted(products.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{name} in {count}" for name, count in parts) + f" of {total} matrix products"
