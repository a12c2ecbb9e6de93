"""Options from YAML: the first thing that is wrong, with its place, its field, and the nearest right name."""

import typing
from typing import Any, TypeVar

from pydantic import ValidationError

from edgekd.errors import EdgekdError, nearest
from edgekd.options import Options
from edgekd.yaml_marks import Marks

O = TypeVar("O", bound=Options)  # noqa: E741


def validated(kind: type[O], raw: Any, marks: Marks, at: tuple[str, ...]) -> O:
    """Options of a kind; the first error with its place, and the nearest name where one is unknown."""
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        errors = error.errors(include_url=False)
        # Of a union every branch complains: a field that one of them does not know says most, then the deepest.
        # A misspelt field is missing under its right name too: beside a missing one the unknown one says more.
        beside = [other for other in errors if other["loc"][:-1] == errors[0]["loc"][:-1]]
        same = [other for other in errors if other["loc"][:1] == errors[0]["loc"][:1]]
        same += [other for other in beside if errors[0]["type"] == "missing" and other["type"] == "extra_forbidden"]
        found = max(same, key=lambda other: (other["type"] == "extra_forbidden", len(other["loc"])))
        # Of the branches of a union pydantic names each; the path in the file is the part that the file has.
        path: tuple[int | str, ...] = ()
        for part in (*found["loc"], *getattr(found.get("ctx", {}).get("error"), "path", ())):
            path = (*path, part) if not marks or (*at, *path, part) in marks else path
        where = marks.get((*at, *path)) or marks.get(at, "")
        field = ".".join(map(str, (*at[2:], *path))) if at[:1] == ("steps",) else ".".join(map(str, (*at, *path)))
        explained = _explained(kind, found, path, field, where)
        explained.path = (*at, *path)
        raise explained from None


def _explained(kind: type[Options], found: Any, path: tuple[Any, ...], field: str, where: str) -> EdgekdError:
    last = str(found["loc"][-1]) if found["loc"] else ""
    match found["type"]:
        case "extra_forbidden":
            owner = _options_at(kind, path[:-1])
            names = [name.alias or key for key, name in owner.model_fields.items()]
            return EdgekdError(f"unknown field '{field or last}'", nearest(last, names), where)
        case "missing":
            return EdgekdError(
                f"field '{'.'.join(filter(None, [field, last]))}' is missing",
                f"Add it. {_described(kind, (*path, last))}",
                where,
            )
        case "literal_error":
            choice = [part.strip(" '") for part in found["ctx"]["expected"].replace(" or ", ", ").split(",")]
            return EdgekdError(
                f"field '{field}': {found['input']!r} is not possible", nearest(str(found["input"]), choice), where
            )
        case "value_error":
            problem, _, hint = str(found["ctx"]["error"]).partition(". ")
            return EdgekdError(f"{field}: {problem}" if field else problem, hint or _described(kind, path), where)
        case "model_type" | "model_attributes_type" | "dict_type":
            return EdgekdError(f"field '{field}' is a mapping of fields", _described(kind, path), where)
        case "tuple_type" | "list_type":
            return EdgekdError(f"field '{field}' is a list, such as [a, b]", _described(kind, path), where)
    given = found["input"]
    told = f"{found['msg'][:1].lower()}{found['msg'][1:]}".replace("tuple", "the list").replace(" after validation", "")
    shown = f" (given: {given!r})" if not isinstance(given, (dict, list)) else ""
    hint = _described(kind, path)
    if found["type"] == "string_type" and isinstance(given, (bool, int, float)):
        hint = f"Put quotation marks around it. {hint}"
    return EdgekdError(f"field '{field}': {told}{shown}", hint, where)


def _described(kind: type[Options], path: tuple[Any, ...]) -> str:
    """What the field is, in its own words."""
    for end in range(len(path), 0, -1):
        owner, name = _options_at(kind, path[: end - 1]), path[end - 1]
        for key, field in owner.model_fields.items():
            if (field.alias or key) == name and field.description:
                return f"{name}: {field.description}."
    return f"Fields: {', '.join(field.alias or key for key, field in kind.model_fields.items())}."


def _options_at(kind: type[Options], path: tuple[Any, ...]) -> type[Options]:
    """The options class that a path leads to, for the names it would have taken."""
    for part in path:
        field = next((f for key, f in kind.model_fields.items() if (f.alias or key) == part), None)
        if field is None:
            break
        inner = [a for a in (field.annotation, *typing.get_args(field.annotation)) if isinstance(a, type)]
        kind = next((a for a in inner if issubclass(a, Options)), kind)
    return kind
