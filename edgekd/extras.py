"""The extras of edgekd's own metadata: which of them are lacking here, and an environment that has them."""

from collections.abc import Callable, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, metadata, version
from pathlib import Path
from typing import TYPE_CHECKING

from edgekd import isolated
from edgekd.errors import EdgekdError
from edgekd.runtime import installed

if TYPE_CHECKING:
    from packaging.requirements import Requirement

    Listed = dict[str, Requirement]


def lacking(libraries: Sequence[str]) -> tuple[str, ...]:
    """The extras that list those of `libraries` which are not installed here in a version that they take.

    `a|b` is satisfied by either. What no extra lists is not looked at.
    """
    _, extras = _listed()
    found = set()
    for library in libraries:
        names = library.split("|")
        for extra, listed in extras.items():
            if listed.keys() & set(names):
                if not any(_here(name, listed) for name in names):
                    found.add(extra)
                break
    return tuple(sorted(found))


def versions(libraries: Sequence[str]) -> dict[str, str]:
    """What stands for libraries in a cache key: the installed versions or, where an extra is lacking, what edgekd asks
    of them: the environment that has them may not be there yet, and a plan makes none.

    Raises EdgekdError for one that is missing and in no extra.
    """
    base, extras = _listed()
    lacks = lacking(libraries)
    asked = {name: item for listed in (base, *(extras[extra] for extra in lacks)) for name, item in listed.items()}
    found: dict[str, str] = {}
    for library in libraries:
        name = library.partition("|")[0]
        found |= {name: str(asked[name].specifier)} if lacks and name in asked else installed((library,))
    return found


def state() -> dict[str, tuple[str, ...]]:
    """What is not installed here in a version that edgekd takes: of what it always needs (""), and of each extra."""
    base, extras = _listed()
    wanted = {"": base, **extras}
    return {
        extra: tuple(f"{name}{item.specifier}" for name, item in listed.items() if not _here(name, listed))
        for extra, listed in wanted.items()
    }


def packages(extras: Sequence[str]) -> tuple[str, ...]:
    """What pip installs for edgekd with these extras."""
    base, listed = _listed()
    chosen = [base, *(listed[extra] for extra in extras)]
    return tuple(f"{name}{requirement.specifier}" for part in chosen for name, requirement in part.items())


def environment(
    extras: Sequence[str], say: Callable[[str], None], progress: Callable[[str, float, float], None]
) -> Path:
    """The Python of an environment for edgekd with these extras, made at first use; see `isolated.environment`.

    Raises EdgekdError, with what to type, where it cannot be made.
    """
    names = " and ".join(extras)
    try:
        return isolated.environment(packages(extras), "", lambda text: say(f"  {names}: {text}"), progress)
    except EdgekdError as error:
        own = " ".join(packages(extras)[len(_listed()[0]) :])
        raise EdgekdError(
            f"not installed here: {own}; and {error.problem}",
            f"{error.hint}\n  Mend this and run again, or have them here: pip install 'edgekd[{','.join(extras)}]'",
        ) from None


def _here(name: str, listed: "Listed") -> bool:
    try:
        found = version(name)
        return name not in listed or listed[name].specifier.contains(found)
    except PackageNotFoundError:
        return False


@cache
def _listed() -> "tuple[Listed, dict[str, Listed]]":
    """edgekd's requirements by name: those it always has, and those of each extra. None where it runs uninstalled."""
    from packaging.requirements import Requirement

    try:
        told = metadata("edgekd")
    except PackageNotFoundError:
        return {}, {}
    found = [Requirement(text) for text in told.get_all("Requires-Dist") or ()]

    def chosen(extra: str) -> "Listed":
        return {item.name: item for item in found if item.marker is None or item.marker.evaluate({"extra": extra})}

    base = chosen("")
    extras = {extra: chosen(extra) for extra in told.get_all("Provides-Extra") or ()}
    return base, {
        extra: {name: item for name, item in listed.items() if name not in base} for extra, listed in extras.items()
    }
