"""A device: what a file in devices/ says of a machine, and how it is timed."""

import re
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_serializer, field_validator, model_validator

from edgekd.connection import CONNECTIONS, Connection
from edgekd.errors import EdgekdError, nearest
from edgekd.options import Options
from edgekd.provider import PROVIDERS, Provider
from edgekd.runtime import RUNTIMES


class RunOptions(Options):
    """How a device is timed, and how much of dev is scored there."""

    threads: tuple[Annotated[int, Field(ge=1, le=1024)], ...] = Field(
        (1,), min_length=1, description="Thread counts to time, one after another"
    )
    cores: Literal["all", "big"] = Field(
        "all", description="Which cores the timed processes may use: all, or the fastest kind of a big.LITTLE chip"
    )
    min_runs: int = Field(700, ge=5, description="Timed inferences in all, over the fresh processes")
    min_s: float = Field(0.5, ge=0, description="Go on with more of them for this many seconds a process")
    max_s: float = Field(
        60.0, gt=0, description="Stop timing after this many seconds a process; too few samples are said"
    )
    warmup_s: float = Field(0.3, ge=0, description="Run untimed for this many seconds first, in each process")
    repeats: int = Field(5, ge=1, description="Fresh processes the timed inferences are spread over")
    cooldown_s: float = Field(0.0, ge=0, description="Rest for this many seconds before each of them")
    max_start_c: float | None = Field(
        None, description="Wait, up to ten minutes, until the processor is not warmer than this many degrees Celsius"
    )
    profile: bool = Field(
        False, description="Tell where an inference's time goes, by kind of operator, in a process of its own"
    )
    score_rows: int | None = Field(
        None, ge=8, description="Score this many dev rows there, in a seeded order; default: all of them"
    )
    min_agreement: float = Field(
        0.98, ge=0, le=1, description="Least share of those rows that get the same answer there as on this machine"
    )


class Expectation(Options):
    """What the machine behind a device file has to be. Measuring another one is refused."""

    architecture: str = Field("", description="Such as aarch64")
    model: str = Field("", description='The board\'s own name, `*` for any text: "Raspberry Pi 5*"')
    min_memory_mb: int = Field(0, ge=0, description="Least memory of the machine, in megabytes")

    def check(self, device: str, found: dict[str, Any]) -> None:
        """Raises EdgekdError where a fingerprint is of another machine."""
        wrong = [
            f"{name} is {found.get(name) or 'not told'}, expected {wanted}"
            for name in ("architecture", "model")
            if (wanted := getattr(self, name)) and not fnmatchcase(str(found.get(name) or ""), wanted)
        ]
        if (found.get("memory_mb") or 0) < self.min_memory_mb:
            wrong.append(f"memory_mb is {found.get('memory_mb')}, expected at least {self.min_memory_mb}")
        if wrong:
            raise EdgekdError(
                f"device {device} is another machine: {'; '.join(wrong)}",
                "Mend `transport` in its file, or what it expects.",
            )


class Device(Options):
    """One machine that artifacts are timed on, and scored on too unless it is this one."""

    name: str = Field(description="Name used in recipes and reports")
    transport: Connection = Field(
        default_factory=lambda: CONNECTIONS.get("local")(), description="How the device is reached: {type: KIND, ...}"
    )
    provider: Provider = Field(
        default_factory=lambda: PROVIDERS.get("system")(),
        description="Where its Python and runtimes come from: {type: KIND, ...}",
    )
    runtimes: tuple[str, ...] | None = Field(
        None, min_length=1, description="Runtimes that it has: artifacts of others are left out there; default: all"
    )
    expect: Expectation = Field(Expectation(), description="What it has to be; another machine is refused")
    run: RunOptions = Field(RunOptions(), description="How it is timed")
    tune: bool = Field(
        False,
        description="Search for the thread count and the runtime's settings that are fastest there, for each artifact; "
        "predict, bundles and bench use them",
    )
    benchmark_model: Path | None = Field(
        None,
        description="LiteRT's own program of that name, built for the device, as a second opinion on TFLite files: its "
        "path on this machine",
    )
    emulated: bool = Field(False, description="Emulated hardware: its latencies are never claimed")

    @field_validator("name")
    @classmethod
    def _short(cls, name: str) -> str:
        if not re.fullmatch(r"\w[\w .-]{0,99}", name):
            raise ValueError(f"{name!r} is not up to 100 letters, digits, spaces, '_', '-' and '.'. Such as my_pi.")
        return name

    @model_validator(mode="after")
    def _real(self) -> Self:
        if self.tune and self.emulated:
            raise ValueError("emulated hardware tells nothing of speed. Leave tune out")
        return self

    @field_validator("runtimes")
    @classmethod
    def _known(cls, runtimes: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for name in runtimes or ():
            if name not in RUNTIMES:
                raise ValueError(f"unknown runtime '{name}'. {nearest(name, RUNTIMES.names)}")
        return runtimes

    @field_serializer("transport", "provider")
    def _spoken(self, chosen: Connection | Provider) -> dict[str, Any]:
        return {"type": chosen.kind(), **chosen.model_dump(mode="json")}

    def tuned(self) -> "Device":
        """As which a report tells what was measured with the settings that were found."""
        return self.model_copy(update={"name": f"{self.name}, tuned"})

    @property
    def here(self) -> bool:
        """Whether it is this very machine and Python."""
        return self.transport.kind() == "local" and self.provider == PROVIDERS.get("system")()

    def serves(self, runtime: str) -> bool:
        return self.runtimes is None or runtime in self.runtimes
