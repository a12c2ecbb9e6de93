"""A recipe's steps: each one's stage, what it reads of the others, and what they may promise together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgekd.data_options import DataOptions
from edgekd.device import Device
from edgekd.errors import EdgekdError, nearest
from edgekd.options import NAME_TOLD, is_name
from edgekd.stage import STAGES, Stage
from edgekd.validation import validated
from edgekd.yaml_marks import Marks

_FIELDS = ("id", "stage")  # of a step, beside its stage's own
_STARTS = ("torch", "encoder")


@dataclass(frozen=True)
class Step:
    """One step: its validated stage, and the steps it reads by option path."""

    id: str
    stage: Stage
    where: str

    @property
    def sources(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self.stage.sources().values()))

    @property
    def source(self) -> str | None:
        """The main source's step."""
        field = self.stage.source_field()
        return None if field is None else self.stage.sources()[(field,)]


def by_id(raw: dict[str, Any], marks: Marks, path: Path) -> tuple[dict[str, Any], Marks]:
    """Steps as a mapping by id, and the places under those paths: what overrides and errors speak of."""
    steps = raw.get("steps") or []
    if not isinstance(steps, list):
        raise EdgekdError(
            "'steps' is a list", "Such as steps: [{id: teacher, stage: finetune, ...}].", marks[("steps",)]
        )
    named: dict[str, Any] = {}
    moved = {key: place for key, place in marks.items() if key[:1] != ("steps",) or len(key) < 2}
    for number, fields in enumerate(steps):
        place = marks[("steps", number)]
        if not isinstance(fields, dict):
            raise EdgekdError("a step is a mapping", "Such as {id: onnx, stage: export_onnx}.", place)
        step_id = fields.get("id", fields.get("stage"))
        if not is_name(step_id):
            hint = "It names a folder: such as id: onnx_int8."
            raise EdgekdError(f"a step needs an id of {NAME_TOLD}, not {step_id!r}", hint, place)
        if step_id in named:
            raise EdgekdError(f"two steps are called '{step_id}'", "Give each an id of its own.", place)
        named[step_id] = dict(fields)
        moved |= {("steps", step_id, *key[2:]): p for key, p in marks.items() if key[:2] == ("steps", number)}
    return {**raw, "steps": named}, moved


def stage_of(step_id: str, fields: Mapping[str, Any], order: list[str], number: int, marks: Marks) -> Stage:
    """The stage of a step, of its fields; `order` has all ids, `number` is its own place there.

    Raises EdgekdError for an unknown stage or field, a wrong value, and a source that does not come before it.
    """
    at = ("steps", step_id)
    place = marks[at]
    if "stage" not in fields:
        raise EdgekdError(f"step '{step_id}' has no stage", f"Stages: {', '.join(STAGES.names)}.", place)
    try:
        kind = STAGES.get(str(fields["stage"]))
    except EdgekdError as error:
        raise error.at(marks.get((*at, "stage"), place)) from None
    options = {name: value for name, value in fields.items() if name not in _FIELDS}
    main = kind.source_field()
    if main is not None and main not in options:
        if number == 0:
            raise EdgekdError(
                f"step '{step_id}' needs a source and is the first", f"Put a step before it, or set {main}.", place
            )
        options[main] = order[number - 1]
    stage = validated(kind, options, marks, at)
    for path, source in stage.sources().items():
        where = marks.get((*at, *path), place)
        if source not in order:
            raise EdgekdError(
                f"field '{'.'.join(path)}': no step is called '{source}'", nearest(source, order[:number]), where
            )
        if order.index(source) == number:
            raise EdgekdError(f"step '{step_id}' reads itself: a cycle", "Name an earlier step.", where)
        if order.index(source) > number:
            raise EdgekdError(
                f"step '{step_id}' reads '{source}', which comes later",
                f"Move '{source}' up, unless it reads '{step_id}' in its turn: that would be a cycle.",
                where,
            )
    return stage


def check(step: Step, data: DataOptions, marks: Marks) -> None:
    """What a stage itself asks of the task and of its own fields. Raises EdgekdError with the place."""
    try:
        step.stage.check(data)
    except EdgekdError as error:
        raise error.at(deepest(marks, ("steps", step.id, *(error.path or ("phases",))))) from None


def check_budgets(steps: Sequence[Step], devices: Sequence[Device], marks: Marks) -> None:
    """A latency is promised only for a device of the recipe, and never for an emulated one."""
    by_name = {device.name: device for device in devices}
    for step in steps:
        budget = step.stage.budget
        if not step.stage.reads_data and (budget.min_score is not None or budget.max_p50_ms):
            raise EdgekdError(
                f"step '{step.id}' knows no task: it has no score and is not timed",
                "Leave min_score and max_p50_ms out of its budget.",
                deepest(marks, ("steps", step.id, "budget")),
            )
        for name in budget.max_p50_ms:
            where = marks.get(("steps", step.id, "budget", "max_p50_ms", name), step.where)
            if name not in by_name:
                raise EdgekdError(f"no device of the recipe is called '{name}'", nearest(name, by_name), where)
            if by_name[name].emulated:
                raise EdgekdError(
                    f"device '{name}' is emulated: its latency says nothing", "Set the budget on a real one.", where
                )


def check_formats(steps: Sequence[Step], marks: Marks) -> None:
    """Each stage reads what its source makes. Raises EdgekdError where it does not."""
    makes = {step.id: type(step.stage).makes for step in steps}
    for step in steps:
        accepts, source = type(step.stage).accepts, step.source
        if source is not None and makes[source] not in accepts:
            able = [name for name in makes if makes[name] in accepts and name != step.id]
            raise EdgekdError(
                f"stage {step.stage.name()} reads {' or '.join(sorted(accepts))}, and '{source}' makes {makes[source]}",
                f"Set {step.stage.source_field()} to {' or '.join(able)}." if able else "Add a step that makes it.",
                marks.get(("steps", step.id, str(step.stage.source_field())), step.where),
            )


def check_starts(steps: Sequence[Step], marks: Marks) -> None:
    """Weights to start from are an encoder's, with a head or without."""
    makes = {step.id: type(step.stage).makes for step in steps}
    for step in steps:
        for path, source in step.stage.sources().items():
            if path != (step.stage.source_field(),) and makes[source] not in _STARTS:
                raise EdgekdError(
                    f"stage {step.stage.name()} starts from an encoder in torch, and '{source}' makes {makes[source]}",
                    f"Set {'.'.join(path)} to a step that makes {' or '.join(_STARTS)}.",
                    deepest(marks, ("steps", step.id, *path)),
                )


def untimed(step: Step) -> Step:
    """The step without a promise of latency."""
    if not step.stage.budget.max_p50_ms:
        return step
    budget = step.stage.budget.model_copy(update={"max_p50_ms": {}})
    return replace(step, stage=step.stage.model_copy(update={"budget": budget}))


def deepest(marks: Marks, path: tuple[int | str, ...]) -> str:
    """The place of a path, or of the nearest above it that has one."""
    return next((marks[path[:end]] for end in range(len(path), -1, -1) if path[:end] in marks), "")
