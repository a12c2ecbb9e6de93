"""Values over a recipe's fields: of the command line, of its offline block, of a study."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from edgekd import yaml_marks
from edgekd.errors import EdgekdError, nearest
from edgekd.yaml_marks import Marks

_DEEPEST = 20  # names in a path


class Setting(NamedTuple):
    """A value over a recipe's field (STEP.FIELD, or a field of the recipe), and the place that says so."""

    field: str
    value: Any
    where: str


def parsed(text: str) -> Setting:
    """A setting as it is written on the command line: FIELD=VALUE."""
    path, equals, value = text.partition("=")
    if not equals or not path:
        raise EdgekdError(f"--set {text}: no '='", "Write --set steps.student.epochs=1.")
    return Setting(path, yaml_marks.parse(value, f"--set {path}")[0], f"--set {path}")


def applied(
    given: Mapping[str, Any], marks: Marks, settings: Sequence[Setting], fields: Sequence[str]
) -> tuple[dict[str, Any], Marks]:
    """Set fields by dotted path: one of a recipe's `fields`, or STEP.FIELD. A value replaces all of what was there.

    Returns the recipe's mapping and the places in it, both as copies. Raises EdgekdError for a path that is neither.
    """
    import copy

    raw, marks = copy.deepcopy(dict(given)), dict(marks)
    for text, value, place in settings:
        path = tuple(text.split("."))
        if len(path) > _DEEPEST:
            raise EdgekdError(f"'{text}' names no field: no recipe is so deep", "Write STEP.FIELD=VALUE.", place)
        if path == ("steps",) or (len(path) == 2 and path[1] == "id"):
            raise EdgekdError(f"'{text}' cannot be set", "Set fields of its steps: STEP.FIELD=VALUE.", place)
        if path[0] not in fields:
            if path[0] not in raw["steps"]:
                raise EdgekdError(
                    f"'{path[0]}' is no field and no step", nearest(path[0], [*fields, *raw["steps"]]), place
                )
            if len(path) == 1 and not isinstance(value, dict):
                raise EdgekdError(f"step '{text}' is a mapping", f"Set its fields: {text}.FIELD=VALUE.", place)
            path = ("steps", *path)
        inner: Any = raw
        for depth, part in enumerate(path[:-1]):
            if not isinstance(inner.get(part, {}), dict):
                raise EdgekdError(f"'{'.'.join(path[: depth + 1])}' has no fields to set", "Set it as a whole.", place)
            inner = inner.setdefault(part, {})
            marks.setdefault(path[: depth + 1], place)
        inner[path[-1]] = value
        marks = {key: old for key, old in marks.items() if key[: len(path)] != path} | {path: place}
        if isinstance(value, dict):
            marks |= {(*path, key): place for key in value}
    return raw, marks
