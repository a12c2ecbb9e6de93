"""`edgekd explain`: the fields of everything a recipe may hold, read from the options themselves."""

import inspect
import typing
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Literal

from pydantic.fields import FieldInfo

from edgekd.connection import CONNECTIONS
from edgekd.data_options import DataOptions, Splits
from edgekd.device import Device, Expectation, RunOptions
from edgekd.errors import EdgekdError, nearest
from edgekd.options import Options
from edgekd.provider import PROVIDERS
from edgekd.registry import Registry
from edgekd.runtime import RUNTIMES
from edgekd.stage import STAGES
from edgekd.study import StudyOptions
from edgekd.task import TASKS

_OPTIONS: dict[str, tuple[type[Options], ...]] = {
    "data": (DataOptions, Splits),
    "device": (Device, RunOptions, Expectation),
    "study": (StudyOptions,),
}


def explain(topic: str | None) -> str:
    """The text for a topic, or the list of topics. Raises EdgekdError with the nearest topic for one there is not."""
    known = topics()
    if topic is None:
        listed = "\n".join(f"  {kind + ':':12} {', '.join(names)}" for kind, names in _groups().items())
        return f"edgekd explain TOPIC, one of\n{listed}"
    if topic not in known:
        if found := list(_with_field(topic)):
            return f"{topic} is a field of\n" + "\n".join(f"  {name}: {told}" for name, told in found)
        raise EdgekdError(
            f"nothing is called '{topic}'", nearest(topic, known) or "List what there is: edgekd explain."
        )
    return known[topic]()


def _with_field(field: str) -> Iterator[tuple[str, str]]:
    """The topics whose options have a field of that name, with what it says there."""
    kinds = [(name, kind) for name, options in _OPTIONS.items() for kind in options]
    for registry in (STAGES, CONNECTIONS, PROVIDERS):
        kinds += [(name, registry.get(name)) for name in registry.names]
    for name, kind in kinds:
        for known, kept in kind.model_fields.items():
            if field == (kept.alias or known):
                yield name, kept.description or ""


def topics() -> dict[str, Callable[[], str]]:
    """Everything that has a name here, with what gives its text."""
    found: dict[str, Callable[[], str]] = {name: partial(_options, *kinds) for name, kinds in _OPTIONS.items()}
    found["phase"] = _phases
    for registry in (STAGES, TASKS, RUNTIMES, CONNECTIONS, PROVIDERS):
        for name in registry.names:
            found[name] = partial(_plugin, registry, name)
    for name in _methods().names:
        found[name] = partial(_method, name)
    return found


def fields_table(kind: type[Options]) -> str:
    """The fields of options as a Markdown table."""
    lines = ["| field | type | default | |", "|---|---|---|---|"]
    for name, kept in _fields(kind).items():
        default = "required" if kept.is_required() else f"`{_shown(kept.get_default(call_default_factory=True))}`"
        kind_text = _type(kept.annotation).replace("|", "&#124;")
        lines.append(f"| `{kept.alias or name}` | {kind_text} | {default} | {kept.description or ''} |")
    return "\n".join(lines)


def _fields(kind: type[Options]) -> dict[str, FieldInfo]:
    """A class's own fields first: what it inherits every stage has."""
    own = [name for name in kind.model_fields if name in vars(kind).get("__annotations__", {})]
    return {name: kind.model_fields[name] for name in dict.fromkeys([*own, *kind.model_fields])}


def _groups() -> dict[str, tuple[str, ...]]:
    return {
        "options": (*_OPTIONS, "phase"),
        "stages": STAGES.names,
        "methods": _methods().names,
        "tasks": TASKS.names,
        "runtimes": RUNTIMES.names,
        "connections": CONNECTIONS.names,
        "providers": PROVIDERS.names,
    }


def _plugin(registry: Registry[Any], name: str) -> str:
    kind = registry.get(name)
    module = inspect.getdoc(inspect.getmodule(kind)) or ""
    own = inspect.getdoc(kind) if "__doc__" in vars(kind) and kind.__doc__ else ""
    text = f"{name} ({registry.kind})\n{module}\n" + (f"\n{own}\n" if own else "")
    if issubclass(kind, Options):
        nested = [inner for inner in _nested(kind) if inner is not kind]
        text += "".join(f"\n{_plain(part)}" for part in (kind, *nested))
    return text.rstrip()


def _method(name: str) -> str:
    method = _methods().get(name)
    text = f"{name} (method)\n{inspect.getdoc(inspect.getmodule(method))}\n\nSource: {method.source}\n"
    for phase in method.phases(regression=False):
        set_fields = phase.model_dump(exclude_defaults=True)
        text += f"\nphase {phase.name}: " + ", ".join(
            f"{key} {value}" for key, value in set_fields.items() if key != "name"
        )
    return text + "\n\nFields of a phase: edgekd explain phase"


def _methods() -> Registry[Any]:
    # Method and phase live with torch's users but load none of it themselves.
    from edgekd.kd.method import METHODS

    return METHODS


def _phases() -> str:
    from edgekd.kd.phase import Phase, Terms

    return _options(Phase, Terms)


def _options(*kinds: type[Options]) -> str:
    return "\n\n".join(_plain(kind) for kind in kinds)


def _plain(kind: type[Options]) -> str:
    rows = [
        (
            kept.alias or name,
            "required" if kept.is_required() else _shown(kept.get_default(call_default_factory=True)),
            kept.description or "",
            _type(kept.annotation),
        )
        for name, kept in _fields(kind).items()
    ]
    width = max((len(row[0]) for row in rows), default=0)
    head = f"{kind.__name__}: {(inspect.getdoc(kind) or '').splitlines()[0]}"
    return (
        "\n".join([head, *(f"  {name:{width}}  {text} [{type_}; {default}]" for name, default, text, type_ in rows)])
        + "\n"
    )


def _nested(kind: type[Options]) -> list[type[Options]]:
    found = []
    for kept in kind.model_fields.values():
        for part in (kept.annotation, *typing.get_args(kept.annotation)):
            if isinstance(part, type) and issubclass(part, Options):
                found.append(part)
    return found


def _shown(value: Any) -> str:
    if isinstance(value, Options):
        given = {key: inner for key, inner in value.model_dump(exclude_none=True).items() if inner != {}}
        return "{" + ", ".join(f"{key}: {inner}" for key, inner in given.items()) + "}"
    if isinstance(value, tuple):
        return "[" + ", ".join(map(str, value)) + "]"
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _type(annotation: Any) -> str:
    """A type as a writer of YAML would say it."""
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Literal:
        return " | ".join(map(str, parts))
    if origin is tuple:
        return f"list of {_type(parts[0])}"
    if origin is dict:
        return "mapping"
    if origin is typing.Annotated:
        return _type(parts[0])
    if parts:
        return " | ".join(_type(part) for part in parts if part is not type(None))
    names = {str: "text", int: "integer", float: "number", bool: "true | false", Path: "file"}
    if isinstance(annotation, type) and issubclass(annotation, Options):
        return annotation.__name__
    return names.get(annotation, str(annotation))
