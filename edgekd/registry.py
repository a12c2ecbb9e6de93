"""Finds a plug-in by its file name: one file in the folder, or one entry point of another package."""

import importlib
import importlib.util
import pkgutil
from collections.abc import Iterator
from functools import cached_property
from typing import Any, Generic, TypeVar

from edgekd.errors import EdgekdError, nearest

T = TypeVar("T")


class Registry(Generic[T]):
    """The plug-ins of one kind. Names are listed without importing any; a file is imported when it is asked for."""

    def __init__(self, package: str, contract: type[T], kind: str) -> None:
        self.package, self.contract, self.kind = package, contract, kind

    @cached_property
    def _own(self) -> frozenset[str]:
        # find_spec of a sub-package imports its parents only, never the plug-ins.
        spec = importlib.util.find_spec(self.package)
        folders = spec.submodule_search_locations if spec else None
        return frozenset(module.name for module in pkgutil.iter_modules(folders) if not module.name.startswith("_"))

    @cached_property
    def _elsewhere(self) -> dict[str, Any]:
        """What other packages bring under other names. It is looked up where it is asked for alone: to read what every
        installed package says of itself took a tenth of `edgekd predict`.
        """
        from importlib.metadata import entry_points

        return {point.name: point for point in entry_points(group=self.package) if point.name not in self._own}

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self._own | self._elsewhere.keys()))

    def __iter__(self) -> Iterator[str]:
        """The names, edgekd's own first: who finds what they want there looks up no others."""
        yield from sorted(self._own)
        yield from sorted(self._elsewhere)

    def __contains__(self, name: str) -> bool:
        return name in self.names

    def get(self, name: str) -> type[T]:
        """The plug-in's class. Raises EdgekdError with the nearest name where there is none."""
        if name not in self._own:
            if name not in self._elsewhere:
                raise EdgekdError(f"unknown {self.kind} '{name}'", nearest(name, self.names))
            found: type[T] = self._elsewhere[name].load()
            return found
        module = importlib.import_module(f"{self.package}.{name}")
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, self.contract) and value.__module__ == module.__name__:
                return value
        raise TypeError(f"{module.__name__} defines no {self.contract.__name__}")
