"""The base class of everything a user writes in a recipe or a device file, and the markers its fields may carry."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class Options(BaseModel):
    """Validated, immutable, free of side effects. A field carries its one-line description beside it."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), populate_by_name=True)

    def marked(self, marker: type) -> Iterator[tuple[tuple[str, ...], str]]:
        """(path, value) of every string field annotated with `marker`, nested options included."""
        for name, field in type(self).model_fields.items():
            value, spoken = getattr(self, name), field.alias or name
            if isinstance(value, Options):
                yield from (((spoken, *path), found) for path, found in value.marked(marker))
            elif isinstance(value, str) and any(isinstance(mark, marker) for mark in field.metadata):
                yield (spoken,), value


@dataclass(frozen=True)
class IsStep:
    """The field names an earlier step whose artifact this one reads; the cache key holds that artifact's key."""

    main: bool = False


@dataclass(frozen=True)
class IsPretrained:
    """The field names pretrained weights; the cache key holds what they are, not where they lie."""


@dataclass(frozen=True)
class IsFile:
    """The field names a file; the cache key holds its contents' digest, not where it lies."""


@dataclass(frozen=True)
class IsAside:
    """The field does not change the artifact (a limit it is held to, how often a checkpoint is written): no part of its
    cache key.
    """


Source = Annotated[str, IsStep(main=True)]
StepId = Annotated[str, IsStep()]


class FromStep(Options):
    """Weights that an earlier step made."""

    from_: StepId = Field(alias="from", description="The step whose weights are taken")
