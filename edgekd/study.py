"""A study's file: variants of one recipe, each over the same seeds. Every error says file:line:column."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, field_validator

from edgekd import study_axes, yaml_marks
from edgekd.errors import EdgekdError, nearest
from edgekd.options import NAME_TOLD, Options, is_name
from edgekd.recipe import Recipe, load
from edgekd.settings import Setting
from edgekd.stage import MOST_SEED
from edgekd.study_axes import Combination, Design
from edgekd.validation import validated
from edgekd.yaml_marks import Marks


class StudyOptions(Options):
    """What a study's file says: a recipe, what varies, over which seeds, and whose score is compared."""

    name: str | None = Field(None, description="Name of the folder of its results; default: the file's")
    recipe: str = Field(description="The recipe's file, seen from the study's")
    measure: str | None = Field(None, description="The step whose score is compared; default: the recipe's last")
    against: str | None = Field(None, description="A step whose score the measured one's is shown as a share of")
    seeds: tuple[Annotated[int, Field(ge=0, le=MOST_SEED)], ...] = Field(
        (1, 2, 3), min_length=1, description="Each variant runs once a seed"
    )
    seeds_of: tuple[str, ...] | None = Field(
        None, min_length=1, description="Steps that take these seeds; default: all. Others, and the data, keep theirs"
    )
    design: Design = Field("grid", description="Every combination of the axes, or the base and each single change")
    set_: dict[str, Any] = Field({}, alias="set", description="Fields to set in every variant, as --set does")
    axes: dict[str, list[Any] | dict[str, dict[str, Any]]] = Field(
        min_length=1, description="NAME: {LABEL: {FIELD: value}}, or FIELD: [values]; the first of each is the base"
    )

    @field_validator("name")
    @classmethod
    def _a_folder(cls, name: str | None) -> str | None:
        if name is not None and not is_name(name):
            raise ValueError(f"{name!r} is not {NAME_TOLD}. It names a folder.")
        return name

    @field_validator("seeds")
    @classmethod
    def _once(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds):
            raise ValueError("a seed stands twice. The same run again tells nothing new.")
        return seeds


@dataclass(frozen=True)
class Variant:
    """One combination of the axes, with the recipe of what its score needs, by seed."""

    name: str
    labels: Mapping[str, str]
    recipes: Mapping[int, Recipe]


@dataclass(frozen=True)
class Study:
    """A validated study: `recipe` is as no axis has changed it, the first variant the base others are compared with."""

    name: str
    options: StudyOptions
    recipe: Recipe
    measure: str
    seeded: tuple[str, ...]
    variants: tuple[Variant, ...]


def read(path: Path, settings: Sequence[str] = (), online: bool | None = None) -> Study:
    """Read a study, and the recipe of every variant. `settings` (FIELD=VALUE) go over its `set`, not over its axes.

    Raises EdgekdError for anything wrong in the file, or in the recipe that a variant makes.
    """
    raw, marks = yaml_marks.read(path)
    if not isinstance(raw, dict):
        raise EdgekdError("a study is a mapping", "It has recipe: and axes:, see edgekd explain study.", f"{path}:1:1")
    options = validated(StudyOptions, {"name": path.stem, **raw}, marks, ())
    source = path.parent / options.recipe
    common: list[str | Setting] = [Setting(field, value, marks["set", field]) for field, value in options.set_.items()]
    common += settings
    try:
        recipe = load(source, common, online)
    except EdgekdError as error:
        raise error.at(marks["recipe",]) from None
    known = [step.id for step in recipe.steps]
    measure, seeded = options.measure or known[-1], options.seeds_of or tuple(known)
    _check_steps(options, known, marks)
    _check_reach(recipe, measure, seeded, options, marks)
    scored = (measure, options.against or measure)

    def variant(combination: Combination) -> Variant:
        recipes = {}
        for number, seed in enumerate(options.seeds):
            place = marks.get(("seeds", number), f"{path}:1:1")
            seeds = [Setting(f"{step}.seed", seed, place) for step in seeded]
            try:
                found = load(source, [*common, *combination.settings, *seeds], online)
            except EdgekdError as error:
                hint = f"{error.hint} (Variant '{combination.name}'.)".lstrip()
                raise EdgekdError(error.problem, hint, error.where) from None
            if found.data.metric != recipe.data.metric:
                raise EdgekdError(
                    f"variant '{combination.name}' has another metric: its scores cannot be compared",
                    "Set data.metric for all variants, under 'set'.",
                    marks["axes",],
                )
            recipes[seed] = replace(found.scoring(*scored), name=f"{combination.folder}-seed{seed}")
        return Variant(combination.name, combination.labels, recipes)

    combinations = study_axes.combinations(study_axes.axes(options.axes, marks), options.design, marks)
    return Study(
        options.name or path.stem, options, recipe.scoring(*scored), measure, seeded, tuple(map(variant, combinations))
    )


def _check_steps(options: StudyOptions, known: Sequence[str], marks: Marks) -> None:
    named: dict[tuple[str | int, ...], str | None] = {("measure",): options.measure, ("against",): options.against}
    named |= {("seeds_of", number): step for number, step in enumerate(options.seeds_of or ())}
    for path, step in named.items():
        if step is not None and step not in known:
            raise EdgekdError(f"field '{path[0]}': no step is called '{step}'", nearest(step, known), marks[path])


def _check_reach(recipe: Recipe, measure: str, seeded: Sequence[str], options: StudyOptions, marks: Marks) -> None:
    """Runs whose seeds do not reach the measured step would be one run, counted often."""
    needed = [step.id for step in recipe.scoring(measure).steps]
    if len(options.seeds) > 1 and not set(seeded) & set(needed):
        raise EdgekdError(
            f"the seeds do not reach '{measure}': the runs of a variant would all be the same",
            f"Name one of {', '.join(needed)} in seeds_of, or give one seed.",
            marks["seeds_of",],
        )
