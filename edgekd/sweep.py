"""A sweep as the command line says it: one recipe, and which of its fields take which values."""

import itertools
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekd import yaml_marks
from edgekd.errors import EdgekdError
from edgekd.options import NAME_TOLD, is_name
from edgekd.recipe import Recipe, Variants
from edgekd.settings import Setting
from edgekd.sweep_results import spoken

_MOST = 100_000  # variants of a grid


@dataclass(frozen=True)
class Choice:
    """A field, and the values that it takes."""

    field: str
    values: tuple[Any, ...]


@dataclass(frozen=True)
class Range:
    """A field, and the numbers from `low` to `high` that a search draws from; whole ones where both ends are."""

    field: str
    low: float
    high: float
    log: bool

    @property
    def whole(self) -> bool:
        return isinstance(self.low, int) and isinstance(self.high, int)


Axis = Choice | Range


@dataclass(frozen=True)
class Variant:
    """One combination: its number from 1, which names its folder, and the values of the swept fields."""

    number: int
    values: Mapping[str, Any]

    @property
    def folder(self) -> str:
        return f"{self.number:04d}"

    @property
    def name(self) -> str:
        return ", ".join(f"{field} {spoken(value)}" for field, value in self.values.items()) or "as it is"


@dataclass(frozen=True)
class Sweep:
    """A recipe's file with what goes over it, and what is varied; `measure` is the step whose figures are compared."""

    name: str
    path: Path
    settings: tuple[str, ...]
    online: bool | None
    axes: tuple[Axis, ...]
    base: Recipe
    measure: str

    def grid(self) -> Iterator[Variant]:
        """Every combination of the values. Raises EdgekdError for a range: a grid has no end in it."""
        for axis in self.axes:
            if isinstance(axis, Range):
                raise EdgekdError(
                    f"--range {axis.field} has no values to go through",
                    f"Search in it: --search 20, or name some: --grid {axis.field}={axis.low},{axis.high}.",
                )
        values = [axis.values for axis in self.axes if isinstance(axis, Choice)]
        if (count := math.prod(map(len, values))) > _MOST:
            hint = f"Up to {_MOST:,} are tried. Leave values out, or search among them: --search 20."
            raise EdgekdError(f"the grid has {count:,} variants", hint)
        for number, found in enumerate(itertools.product(*values), start=1):
            yield Variant(number, dict(zip((axis.field for axis in self.axes), found, strict=True)))

    def over(self, variant: Variant) -> list[str]:
        """What is set for a variant, as on the command line."""
        return [*self.settings, *(f"{field}={_written(value)}" for field, value in variant.values.items())]

    def recipe(self, variants: Variants, variant: Variant) -> Recipe:
        """A variant's whole recipe. Raises EdgekdError, which names the variant, where its values make none."""
        ranges = {axis.field for axis in self.axes if isinstance(axis, Range)}
        options = {field: "--range" if field in ranges else "--grid" for field in variant.values}
        swept = [Setting(field, value, f"{options[field]} {field}") for field, value in variant.values.items()]
        try:
            return variants([*self.settings, *swept])
        except EdgekdError as error:
            hint = f"{error.hint} (Variant {variant.number}: {variant.name}.)".lstrip()
            raise EdgekdError(error.problem, hint, error.where) from None


def read(
    path: Path,
    grid: Sequence[str],
    ranges: Sequence[str] = (),
    settings: Sequence[str] = (),
    online: bool | None = None,
    measure: str | None = None,
    name: str | None = None,
) -> Sweep:
    """A sweep of a recipe's file. `grid` are FIELD=VALUE,VALUE,...; `ranges` FIELD=LOW..HIGH, with :log at the end
    where its logarithm is drawn.

    Raises EdgekdError for anything wrong in the recipe, or in what is asked.
    """
    axes: list[Axis] = [*map(_choice, grid), *map(_range, ranges)]
    if not axes:
        raise EdgekdError("nothing is varied", "Add --grid FIELD=VALUE,VALUE, such as --grid seed=1,2,3.")
    fields = [axis.field for axis in axes]
    for one, other in itertools.combinations(fields, 2):
        if f"{one}.".startswith(f"{other}.") or f"{other}.".startswith(f"{one}."):
            raise EdgekdError(f"'{one}' and '{other}' are set both", "Vary one of them.")
    base = Variants(path, online)(settings)
    steps = [step.id for step in base.steps]
    if measure is not None and measure not in steps:
        raise EdgekdError(f"--measure: no step is called '{measure}'", f"Steps: {', '.join(steps)}.")
    if name is not None and not is_name(name):
        raise EdgekdError(f"name {name!r} is not {NAME_TOLD}", "It names a folder.")
    return Sweep(name or f"{base.name}-sweep", path, tuple(settings), online, tuple(axes), base, measure or steps[-1])


def _written(value: Any) -> str:
    """A value as YAML reads it back: 1e-05 would be a word, 1.0e-05 is a number."""
    import yaml

    return yaml.safe_dump([value], default_flow_style=True, width=math.inf).strip()[1:-1]


def _choice(text: str) -> Choice:
    field, given = _split(text, "--grid", "FIELD=VALUE,VALUE")
    values, _ = yaml_marks.parse(f"[{given}]", f"--grid {field}")
    if not values:
        raise EdgekdError(f"--grid {text}: no values", f"Write --grid {field}=VALUE,VALUE.")
    if len({json.dumps(value) for value in values}) < len(values):
        raise EdgekdError(f"--grid {text}: a value stands twice", "The same run again tells nothing new.")
    return Choice(field, tuple(values))


def _range(text: str) -> Range:
    field, given = _split(text, "--range", "FIELD=LOW..HIGH")
    found = re.fullmatch(r"(.+?)\.\.(.+?)(:log)?", given)
    ends = [_number(end) for end in found.groups()[:2]] if found else []
    if not found or None in ends:
        raise EdgekdError(f"--range {text}: no numbers LOW..HIGH", f"Such as --range {field}=1e-5..1e-3:log.")
    low, high = (end for end in ends if end is not None)
    log = found.group(3) is not None
    if not low < high or (log and low <= 0):
        raise EdgekdError(f"--range {text}: not from low to high", "A logarithm needs numbers above 0.")
    return Range(field, low, high, log)


def _number(text: str) -> float | None:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        found = float(text)
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def _split(text: str, option: str, form: str) -> tuple[str, str]:
    field, equals, given = text.partition("=")
    if not equals or not field:
        raise EdgekdError(f"{option} {text}: no '='", f"Write {option} {form}.")
    return field.removeprefix("steps."), given
