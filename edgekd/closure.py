"""The part of edgekd that some of its modules need: what serves elsewhere is the code that was measured here."""

import ast
from collections.abc import Iterable
from pathlib import Path

import edgekd

_ROOT = Path(edgekd.__file__).parent


def sources(modules: Iterable[str]) -> dict[str, bytes]:
    """Modules of edgekd and all that they import of it, as files: path under a folder for packages -> content."""
    todo, done = [*modules], dict[str, bytes]()
    while todo:
        name = todo.pop()
        file = _file(name)
        path = (Path("edgekd") / file.relative_to(_ROOT)).as_posix()
        if path in done:
            continue
        done[path] = file.read_bytes()
        todo += [*_imports(file), *(["edgekd." + name.split(".")[1]] if name.count(".") > 1 else []), "edgekd"]
    return done


def copy(out: Path, modules: Iterable[str]) -> None:
    """Write `sources` under a folder."""
    for path, content in sources(modules).items():
        target = out / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)


def own(name: str) -> bool:
    """Whether a module is edgekd's, and not a plug-in of another package."""
    return _file(name).is_file()


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
