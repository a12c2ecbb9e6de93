"""A stage, a method or a runtime that works, with its test: to be changed into one's own."""

import importlib.util
import keyword
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path

import edgekd
from edgekd.errors import EdgekdError
from edgekd.explaining import topics
from edgekd.store import write_text

# Kind -> the package whose plug-ins it is among, which is the entry-point group's name too; its tests' folder.
KINDS: Mapping[str, tuple[str, str]] = {
    "stage": ("edgekd.stages", "tests/stages"),
    "method": ("edgekd.kd.methods", "tests/kd"),
    "runtime": ("edgekd.runtimes", "tests"),
}
_PYPROJECT = """\
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "{distribution}"
version = "0.1.0"
dependencies = ["edgekd"]

# How edgekd finds what is in this package: a line for each plug-in.
{entry}

[tool.setuptools]
packages = ["{package}"]
"""


@dataclass(frozen=True)
class Written:
    """The plug-in's file and its test's; `entry` is what pyproject.toml still lacks of it, if anything."""

    file: Path
    test: Path
    entry: str = ""


def write(kind: str, name: str, package: str, here: Path) -> Written:
    """Write a plug-in of a kind and its test: into the checkout of edgekd that `here` is in or, with `package`, into
    that package in `here`, which is made where there is none.

    Raises EdgekdError, before anything is written, for a name that cannot be one or is taken, and where a file is there
    already.
    """
    _check(name)
    group, tests = KINDS[kind]
    root = here if package else _checkout(here)
    if package:
        _check_package(package, here)
        found = Written(root / package / f"{name}.py", root / "tests" / f"test_{name}.py")
    else:
        found = Written(root.joinpath(*group.split("."), f"{name}.py"), root / tests / f"test_{name}.py")
    # Test files of one name, whatever their folders, are one module to pytest.
    for file in (found.file, *(root / "tests").rglob(found.test.name)):
        if file.exists():
            raise EdgekdError(f"{file} is there already", "Choose another name.")
    own = "".join(part.capitalize() for part in name.split("_"))
    for target, source in ((found.file, f"{kind}.py"), (found.test, f"{kind}_test.py")):
        text = (files("edgekd.scaffold") / source).read_text(encoding="utf-8")
        write_text(target, re.sub(r"\bexample\b", name, re.sub(r"\bExample\b", own, text)))
    if not package:
        return found
    entry = f'[project.entry-points."{group}"]\n{name} = "{package}.{name}:{own}"'
    if not (init := root / package / "__init__.py").exists():
        write_text(init, '"""Plug-ins of edgekd."""\n')
    if (project := root / "pyproject.toml").exists():
        return replace(found, entry=entry)
    write_text(project, _PYPROJECT.format(distribution=package.replace("_", "-"), package=package, entry=entry))
    return found


def _check(name: str) -> None:
    words = {"yes", "no", "on", "off", "true", "false", "null", "y", "n"}  # YAML's own
    if name in words or name != name.lower() or not name.isidentifier() or keyword.iskeyword(name) or name[0] == "_":
        able = re.sub(r"\W+", "_", name.lower()).strip("_")
        hint = f"Such as '{able}'." if able.isidentifier() and not keyword.iskeyword(able) else "Such as 'prune_heads'."
        raise EdgekdError(f"'{name}' is no name of a Python module in lower case", hint)
    if name in topics():
        raise EdgekdError(f"'{name}' is taken: see edgekd explain {name}", "Choose another name.")


def _check_package(package: str, here: Path) -> None:
    if not package.isidentifier() or keyword.iskeyword(package):
        hint = "Change to the folder it is to lie in, and name it: --package my_plugins."
        raise EdgekdError(f"'{package}' is no name of a Python package", hint)
    spec = importlib.util.find_spec(package)
    places = [Path(place).resolve() for place in (spec.submodule_search_locations or ())] if spec else []
    if spec is not None and (here / package).resolve() not in places:
        raise EdgekdError(f"'{package}' is another package here", "Choose another name: --package my_plugins.")


def _checkout(here: Path) -> Path:
    """The folder of the checkout of the edgekd that is running. Raises EdgekdError where `here` is not in one."""
    root = Path(edgekd.__file__).resolve().parents[1]
    if (root / "tests" / "conftest.py").is_file() and here.resolve().is_relative_to(root):
        return Path(os.path.relpath(root, here))
    raise EdgekdError(
        "this folder is no checkout of the edgekd that is running",
        "Name a package of your own, which is made here where there is none: --package my_plugins.",
    )
