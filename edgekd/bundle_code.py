"""The part of edgekd that serves a bundle's model: what runs there is the code that was measured here."""

import ast
from collections.abc import Iterable
from pathlib import Path

import edgekd

_ROOT = Path(edgekd.__file__).parent


def copy_code(out: Path, modules: Iterable[str]) -> None:
    """Copy modules of edgekd and all that they import of it: what serves in the bundle is what was measured."""
    todo, done = [*modules], set[str]()
    while todo:
        name = todo.pop()
        if name in done:
            continue
        done.add(name)
        file = _file(name)
        target = out / "edgekd" / file.relative_to(_ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.read_bytes())
        todo += [*_imports(file), *(["edgekd." + name.split(".")[1]] if name.count(".") > 1 else []), "edgekd"]


def _file(name: str) -> Path:
    path = _ROOT.joinpath(*name.split(".")[1:])
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _imports(file: Path) -> list[str]:
    """edgekd's modules that a file imports when it runs, at its top or inside a function."""
    found = []
    for node in ast.walk(_without_typing(ast.parse(file.read_text()))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "edgekd":
            whole = [f"{node.module}.{alias.name}" for alias in node.names]
            found += [name for name in whole if _file(name).is_file()] or [str(node.module)]
    return found


def _without_typing(tree: ast.Module) -> ast.Module:
    """A module without its `if TYPE_CHECKING:` blocks."""
    tree.body = [
        node
        for node in tree.body
        if not (isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING")
    ]
    return tree
