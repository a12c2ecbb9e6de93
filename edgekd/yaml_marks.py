"""YAML with places: values, and for each path in them the file, line and column where it stands."""

from pathlib import Path
from typing import Any

import yaml

from edgekd.errors import EdgekdError

try:
    from yaml import CSafeLoader as _Loader
except ImportError:  # PyYAML built without libyaml
    from yaml import SafeLoader as _Loader  # type: ignore[assignment]

Path_ = tuple[str | int, ...]
Marks = dict[Path_, str]


def read(file: Path) -> tuple[Any, Marks]:
    """The value of a YAML file and the place of every path in it. Raises EdgekdError with file:line:column."""
    try:
        text = file.read_bytes().decode()
    except FileNotFoundError:
        found = sorted(path.as_posix() for path in file.parent.glob("*.y*ml"))[:10]
        raise EdgekdError(
            f"no such file: {file}", f"Files there: {', '.join(found)}." if found else "Check the path."
        ) from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise EdgekdError("the file is not UTF-8", f"Convert it: iconv -t UTF-8 {file}", f"{file}:{line}:1") from None
    except OSError as error:
        raise EdgekdError(f"{file} cannot be read: {error.strerror}", "Check the path and its permissions.") from None
    return parse(text, str(file))


def parse(text: str, name: str) -> tuple[Any, Marks]:
    try:
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
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
        problem = getattr(error, "problem", None) or str(error)
        raise EdgekdError(f"not valid YAML: {problem}", "Check the indentation and the quotes there.", where) from None


def _walk(node: Any, path: Path_, name: str, marks: Marks, loader: Any) -> None:
    marks.setdefault(path, f"{name}:{node.start_mark.line + 1}:{node.start_mark.column + 1}")
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key_node, value_node in node.value:
            key = loader.construct_object(key_node, deep=True)
            place = f"{name}:{key_node.start_mark.line + 1}:{key_node.start_mark.column + 1}"
            if not isinstance(key, str):
                raise EdgekdError(f"the key {key!r} is not text", "Put quotes around it.", place)
            if key in seen:
                raise EdgekdError(f"'{key}' stands twice", "Keep one of them.", place)
            seen.add(key)
            marks[(*path, key)] = place
            _walk(value_node, (*path, key), name, marks, loader)
    elif isinstance(node, yaml.SequenceNode):
        for number, inner in enumerate(node.value):
            _walk(inner, (*path, number), name, marks, loader)
