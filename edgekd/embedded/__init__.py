"""Data sets that edgekd makes itself, one a file, addressed as embedded/NAME.

A file has VERSION (raised when its rows change), DEFAULTS (fields of the recipe's data) and generate(seed), which gives
{"train": rows, "validation": rows}.
"""

import pkgutil
from importlib import import_module
from types import ModuleType

from edgekd.errors import FieldError, nearest

PREFIX = "embedded/"


def is_embedded(source: str) -> bool:
    return source.startswith(PREFIX)


def module(source: str) -> ModuleType:
    """The file behind embedded/NAME. Raises ValueError with the nearest name where there is none."""
    name = source.removeprefix(PREFIX)
    known = [found.name for found in pkgutil.iter_modules(__path__) if not found.name.endswith("_words")]
    if name not in known:
        raise FieldError(f"unknown embedded data set '{name}'", nearest(name, known), "source")
    return import_module(f"edgekd.embedded.{name}")
