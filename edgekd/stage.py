"""The contract of a stage: a transform whose validated, immutable options are the stage itself."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field

from edgekd import hub
from edgekd.artifact import Artifact, sha256
from edgekd.data import Data
from edgekd.data_options import DataOptions
from edgekd.embedded import is_embedded
from edgekd.errors import EdgekdError
from edgekd.options import IsAside, IsFile, IsPretrained, IsStep, Options
from edgekd.registry import Registry
from edgekd.resident import exhausted

MOST_SEED = 2**63 - 1  # torch takes no larger one


@dataclass(frozen=True)
class Job:
    """What a stage works on.

    `sources` are the artifacts of the steps its options name, by step; `source` is the main one, None where a stage
    starts from nothing. `out` is an empty folder to fill; `scratch` outlives a killed run. `progress` takes a label,
    what is done, and of how much (0: nobody knows); `track` takes values by name, such as losses, and a training step.
    """

    source: Artifact | None
    sources: Mapping[str, Artifact]
    data: Data
    out: Path
    scratch: Path
    seed: int
    progress: Callable[[str, float, float], None]
    track: Callable[[Mapping[str, float], int], None] = lambda values, step: None


@dataclass(frozen=True)
class Tolerance:
    """How far an artifact may be from its source on dev before the run fails; None: not compared.

    max_difference: largest absolute difference of any output. max_drop: loss of the recipe's metric.
    min_agreement: share of rows in [0, 1] that must get the same answer. min_kept: share of the source's score.
    """

    max_difference: float | None = None
    max_drop: float | None = None
    min_agreement: float | None = None
    min_kept: float | None = None


def digest(file: Path) -> str:
    """The sha256 of a file that an option names. Raises EdgekdError where it cannot be read."""
    try:
        return sha256(file)
    except OSError as error:
        raise EdgekdError(f"{file} cannot be read: {error.strerror}", "Name a file that is there.") from None


class Budget(Options):
    """What a step's artifact may cost and must reach, or the run fails."""

    min_score: float | None = Field(None, description="Least value of the recipe's metric on dev")
    max_mb: float | None = Field(None, gt=0, description="Most megabytes (10^6) of the model's files, tokenizer apart")
    max_p50_ms: dict[str, float] = Field(
        {}, description="Most milliseconds of a median single inference, by device; the fastest thread count counts"
    )


class Stage(Options, ABC):
    """One step's work. The class's file name is the stage's name in recipes; its docstring is what `explain` shows."""

    accepts: ClassVar[frozenset[str]] = frozenset()  # formats its main source may have; empty: it takes none
    makes: ClassVar[str]  # the format it makes
    version: ClassVar[int] = 1  # raise it when the same options would give another artifact
    libraries: ClassVar[tuple[str, ...]] = ()  # distributions it always uses
    trains: ClassVar[bool] = False  # by gradients: a sweep gives it a GPU
    reads_data: ClassVar[bool] = True  # False: its artifact knows no task, every recipe shares it, and none scores it

    budget: Annotated[Budget, IsAside()] = Field(Budget(), description="What the artifact may cost and must reach")
    seed: int | None = Field(None, ge=0, le=MOST_SEED, description="Seed of this step alone; default: the recipe's")

    @classmethod
    def name(cls) -> str:
        return cls.__module__.rpartition(".")[2]

    @classmethod
    @cache
    def source_field(cls) -> str | None:
        """The field that names the main source: the step before, where a recipe leaves it out."""
        for name, field in cls.model_fields.items():
            if any(isinstance(mark, IsStep) and mark.main for mark in field.metadata):
                return field.alias or name
        return None

    def sources(self) -> Mapping[tuple[str, ...], str]:
        """Option path -> the step it names, the main source first."""
        return self._sources

    @cached_property  # a copy keeps it: what is changed in one is a limit
    def _sources(self) -> Mapping[tuple[str, ...], str]:
        main = self.source_field()
        return dict(sorted(self.marked(IsStep), key=lambda found: found[0] != (main,)))

    def key_options(self) -> dict[str, Any]:
        """The options as they count for the cache: without step names and limits, weights named by what they are.

        The seed is a part of the key beside them, so that a step's own and an equal one of the recipe are the same.
        """
        aside = {name for name, field in type(self).model_fields.items() if IsAside() in field.metadata} | {"seed"}
        options = self.model_dump(mode="json", by_alias=True, exclude=aside)
        named: dict[type, Callable[[str], Any]] = {
            IsStep: lambda _: None,
            IsPretrained: hub.fingerprint,
            IsFile: lambda value: value if is_embedded(value) else digest(Path(value)),
        }
        for marker, spoken in named.items():
            for path, value in self.marked(marker):
                inner = options
                for part in path[:-1]:
                    inner = inner[part]
                try:
                    inner[path[-1]] = spoken(value)
                except EdgekdError as error:
                    error.path = path
                    raise
        return options

    def tolerance(self) -> Tolerance:
        """How near the artifact must be to its main source."""
        return Tolerance()

    def needs(self) -> tuple[str, ...]:
        """The distributions that these options use: their versions are part of the cache key.

        Where one that an extra of edgekd lists is not installed, `run` is called in an environment that has it.
        """
        return self.libraries

    def check(self, data: DataOptions) -> None:
        """Raise EdgekdError, when the recipe is read, for options that cannot work together or with this data."""

    @abstractmethod
    def run(self, job: Job) -> Mapping[str, Any]:
        """Fill job.out with the model's files and tokenizer.json; return facts for the manifest (JSON-able)."""

    def made(self, job: Job) -> Mapping[str, Any]:
        """As `run`. Raises EdgekdError, with what to lower, where memory does not suffice for it."""
        try:
            return self.run(job)
        except EdgekdError:
            raise
        except Exception as error:
            if not exhausted(error):
                raise
            rows = f"samples ({self.samples}), " if hasattr(self, "samples") else ""
            own = getattr(self, "max_length", 0)
            longest = f"max_length ({own})" if own else f"the data's max_length ({job.data.options.max_length})"
            raise EdgekdError(
                f"{self.name()} ran out of memory ({str(error).partition(chr(10))[0][:200] or type(error).__name__})",
                f"Lower {rows}{longest}, or free memory; then the same command goes on here.",
            ) from error


class Compared(Stage):
    """A stage whose artifact is held to its source's score and answers."""

    max_drop: Annotated[float, IsAside()] = Field(
        0.01, ge=0, description="Largest loss of the recipe's metric against the source"
    )
    min_agreement: Annotated[float, IsAside()] = Field(
        0.9, ge=0, le=1, description="Least share of dev rows with the source's answer"
    )

    def tolerance(self) -> Tolerance:
        return Tolerance(max_drop=self.max_drop, min_agreement=self.min_agreement)


class Export(Compared):
    """A stage that writes the source's model for another runtime: held to the source's outputs too.

    A subclass has a field `precision`; `exact` is how far an output may be off in those that should change none.
    """

    exact: ClassVar[Mapping[str, float]] = {"fp32": 1e-3}

    max_difference: Annotated[float | None, IsAside()] = Field(
        None, gt=0, description="Largest difference of any output from the source's; default: 1e-3 in fp32, 8 bits free"
    )

    def tolerance(self) -> Tolerance:
        difference = self.max_difference or self.exact.get(getattr(self, "precision", "fp32"))
        return replace(super().tolerance(), max_difference=difference)


STAGES: Registry[Stage] = Registry("edgekd.stages", Stage, "stage")  # type: ignore[type-abstract]
