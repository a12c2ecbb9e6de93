"""The base class of everything a user writes in a recipe or a device file, and the markers its fields may carry."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Annotated, Any, TypeGuard, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator

# What names a folder: of a run, a step, a device.
NAME = r"[A-Za-z0-9_][A-Za-z0-9_-]{0,99}"
NAME_TOLD = "up to 100 letters, digits, '_' and '-'"


def is_name(text: object) -> TypeGuard[str]:
    return isinstance(text, str) and re.fullmatch(NAME, text) is not None


def _no_option(text: str) -> str:
    if text.startswith("-"):
        raise ValueError(f"{text!r} would be taken for an option. Write it without the '-'.")
    return text


def _one_word(text: str) -> str:
    if not text.isprintable() or " " in text:
        raise ValueError(f"{text!r} is not one word. Write it without spaces and line ends.")
    return text


# What a program is told by its arguments.
Argument = Annotated[str, AfterValidator(_no_option)]
Word = Annotated[Argument, AfterValidator(_one_word)]


def _leaves(annotation: Any) -> Iterator[Any]:
    """The types that an annotation is made of."""
    inner = get_args(annotation)
    yield from chain.from_iterable(map(_leaves, inner)) if inner else [annotation]


class Options(BaseModel):
    """Validated, immutable, free of side effects. A field carries its one-line description beside it."""

    # Nothing here means infinity: of a limit that is none, the field is left out.
    model_config = ConfigDict(
        frozen=True, extra="forbid", protected_namespaces=(), populate_by_name=True, allow_inf_nan=False
    )

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        """pydantic takes yes for 1, and YAML takes many words for yes."""
        held = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else (value,)
        if truth := [part for part in held if isinstance(part, bool)]:
            kinds = set(_leaves(cls.model_fields[str(info.field_name)].annotation))
            if kinds & {int, float} and not kinds & {bool, Any}:
                raise ValueError(f"'{str(truth[0]).lower()}' is no number. Give a number.")
        return value

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
