"""YAML with places: values, and for each path in them the file, line and column where it stands.

A file may come from anywhere: only plain values are read, no tag makes an object, and what is nested too deeply, or
unfolds by its aliases to more than a recipe can hold, is refused before it takes time or memory.
"""

from pathlib import Path
from typing import Any

import yaml

from edgekd.decoding import decoded
from edgekd.errors import EdgekdError

try:
    from yaml import CSafeLoader as _Loader
except ImportError:  # PyYAML built without libyaml
    from yaml import SafeLoader as _Loader  # type: ignore[assignment]

Path_ = tuple[str | int, ...]
Marks = dict[Path_, str]

_DEEPEST, _MOST, _BYTES = 32, 100_000, 10_000_000  # levels, values, and bytes of a file
_TAG = "tag:yaml.org,2002:"
_KINDS = {"str", "int", "float", "bool", "null", "seq", "map"}
_HINTS = {
    "timestamp": "Put quotation marks around it: it would be read as a date.",
    "value": "Put quotation marks around it.",
    "merge": "Write the fields out: nothing is merged here.",
}


def read(file: Path) -> tuple[Any, Marks]:
    """The value of a YAML file and the place of every path in it. Raises EdgekdError with file:line:column."""
    try:
        if file.stat().st_size > _BYTES:
            raise EdgekdError(f"{file} has more than {_BYTES // 10**6} MB", "Is it the right file?")
        text = decoded(file.read_bytes(), str(file))
    except FileNotFoundError:
        found = sorted(path.as_posix() for path in file.parent.glob("*.y*ml"))[:10]
        raise EdgekdError(
            f"no such file: {file}", f"Files there: {', '.join(found)}." if found else "Check the path."
        ) from None
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        told = getattr(error, "strerror", error)
        raise EdgekdError(f"{file} cannot be read: {told}", "Check the path and its permissions.") from None
    return parse(text, str(file))


def parse(text: str, name: str) -> tuple[Any, Marks]:
    """As `read`, of a text; `name` stands for the file in places."""
    try:
        _check_depth(text, name)
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            marks: Marks = {}
            if node is None:
                return None, marks
            _walk(node, (), name, marks, loader)
            return loader.construct_document(node), marks
        finally:
            loader.dispose()
    except yaml.reader.ReaderError as error:
        # Its position counts characters, or UTF-8's bytes, by the loader.
        number = error.character if isinstance(error.character, int) else ord(str(error.character))
        before = text[: max(0, text.find(chr(number)))]
        where = f"{name}:{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}"
        raise EdgekdError(
            f"not valid YAML: the character #x{number:04x} is not allowed", "Take it out.", where
        ) from None
    except UnicodeEncodeError:
        raise EdgekdError("it is not UTF-8", "Type it in a UTF-8 terminal.", name) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
        began = getattr(error, "context_mark", None)
        told = [getattr(error, "context", None), f"from line {began.line + 1}" if began else None]
        problem = ", ".join(filter(None, [" ".join(filter(None, told)), getattr(error, "problem", None)]))
        hint = "Check the indentation and the quotes there."
        if mark and "".join(text.split("\n")[mark.line : mark.line + 1])[mark.column : mark.column + 1] == "\t":
            hint = "Indent with spaces: a tab is no indentation."
        raise EdgekdError(f"not valid YAML: {problem}", hint, where) from None


def _check_depth(text: str, name: str) -> None:
    """Raises EdgekdError where values are nested too deeply: what builds them calls itself for each level."""
    depth = 0
    for event in yaml.parse(text, _Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _DEEPEST:
                raise _too_much(_place(name, event), f"it is nested more than {_DEEPEST} levels deep")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _walk(node: Any, path: Path_, name: str, marks: Marks, loader: Any) -> None:
    place = _place(name, node)
    if len(path) > _DEEPEST:
        raise _too_much(place, f"by its aliases it is nested more than {_DEEPEST} levels deep, or without end")
    if len(marks) > _MOST:
        raise _too_much(place, f"by its aliases it unfolds to more than {_MOST:,} values")
    marks.setdefault(path, place)
    value = _plain(node, place, loader)
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key_node, value_node in node.value:
            where = _place(name, key_node)
            key = _plain(key_node, where, loader)
            if not isinstance(key, str):
                told = "" if key is None else f" {key!r}"
                raise EdgekdError(f"the key{told} is not text", "Put quotation marks around it.", where)
            if key in seen:
                raise EdgekdError(f"'{key}' stands twice", "Keep one of them.", where)
            seen.add(key)
            marks[(*path, key)] = where
            _walk(value_node, (*path, key), name, marks, loader)
    elif isinstance(node, yaml.SequenceNode):
        for number, inner in enumerate(node.value):
            _walk(inner, (*path, number), name, marks, loader)
    elif isinstance(value, int) and abs(value) >= 2**63:
        raise EdgekdError("the number is too large", "Give one below 2^63.", place)


def _plain(node: Any, place: str, loader: Any) -> Any:
    """A node's value, where it is a scalar. Raises EdgekdError for what is no plain value of its kind."""
    kind = node.tag.removeprefix(_TAG)
    if kind not in _KINDS:
        hint = _HINTS.get(kind, "Write text, numbers, lists and mappings alone, without a tag.")
        raise EdgekdError(f"YAML's '{kind}' is not read here", hint, place)
    if not isinstance(node, yaml.ScalarNode):
        return None
    try:
        return loader.construct_object(node)
    except (ValueError, LookupError):  # an empty !!int has no first digit
        raise EdgekdError(
            f"{node.value[:40]!r} is no {kind}", "Mend it, or put quotation marks around it.", place
        ) from None


def _place(name: str, node: Any) -> str:
    return f"{name}:{node.start_mark.line + 1}:{node.start_mark.column + 1}"


def _too_much(place: str, what: str) -> EdgekdError:
    return EdgekdError(what, "Write it out, flat: no recipe needs that.", place)
