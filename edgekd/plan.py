"""What a run would do: each step's cache key, the parts it is made of, and why it is not cached."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekd import extras
from edgekd.artifact import canonical
from edgekd.data import Data
from edgekd.decoding import json_object
from edgekd.errors import EdgekdError
from edgekd.recipe import Recipe
from edgekd.stage import Stage
from edgekd.steps import Step
from edgekd.store import Store

STATE = "state.json"


@dataclass(frozen=True)
class Planned:
    """A step with its cache key, the parts the key is made of, and why it is not cached (empty: it is)."""

    step: Step
    key: str
    parts: Mapping[str, Any]
    changes: tuple[str, ...]

    @property
    def cached(self) -> bool:
        return not self.changes


class Keys:
    """Cache keys of recipes' steps; what the same stage's options and libraries come to is found once."""

    def __init__(self) -> None:
        self._said: dict[int, tuple[Stage, dict[str, Any], dict[str, str]]] = {}
        self._versions: dict[tuple[str, ...], dict[str, str]] = {}

    def __call__(self, recipe: Recipe, data: Data) -> Iterator[tuple[Step, str, dict[str, Any]]]:
        """Each step, its key and the parts that the key is made of.

        Raises EdgekdError where an option names what is not there.
        """
        keys: dict[str, str] = {}
        for step in recipe.steps:
            with placed(recipe, step):
                if id(step.stage) not in self._said:  # which is kept, so that no other gets its number
                    stage, needs = step.stage, step.stage.needs()
                    if needs not in self._versions:
                        self._versions[needs] = extras.versions(needs)
                    self._said[id(stage)] = stage, stage.key_options(), self._versions[needs]
                _, options, libraries = self._said[id(step.stage)]
                parts: dict[str, Any] = {
                    "stage": step.stage.name(),
                    "version": type(step.stage).version,
                    "options": options,
                    "sources": {".".join(path): keys[source] for path, source in step.stage.sources().items()},
                    "data": data.fingerprint if step.stage.reads_data else {},
                    "seed": recipe.seed if step.stage.seed is None else step.stage.seed,
                    "libraries": libraries,
                    "offline": bool(recipe.overrides),
                }
            key = hashlib.sha256(canonical(parts).encode()).hexdigest()[:32]
            keys[step.id] = key
            yield step, key, parts


def plan(recipe: Recipe, store: Store, runs: Path, data: Data | None = None) -> list[Planned]:
    """Each step's key, and whether its artifact is there. Runs nothing, and loads neither torch nor a runtime. `data`:
    the recipe's, of a caller who goes on with what is read and hashed here.

    Raises EdgekdError where the data are not there, or a local source lacks a column.
    """
    data = data or Data(recipe.data, recipe.seed)
    with placed(recipe):
        data.check()
    try:
        before = json_object(runs / recipe.name / STATE)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        before = {}
    return [
        Planned(step, key, parts, () if key in store else _changes(before.get(step.id), parts))
        for step, key, parts in Keys()(recipe, data)
    ]


def _changes(before: Mapping[str, Any] | None, now: Mapping[str, Any]) -> tuple[str, ...]:
    """What differs from the key this step had in the last run."""
    if before is None:
        return ("it has not run yet",)
    found: list[str] = []

    def compare(path: str, old: Any, new: Any) -> None:
        if isinstance(old, dict) and isinstance(new, dict):
            for name in sorted(old.keys() | new.keys()):
                compare(f"{path}.{name}" if path else name, old.get(name), new.get(name))
        elif old != new:
            found.append(f"{path} changed" if path.startswith("sources.") else f"{path}: {old} -> {new}")

    compare("", before, json.loads(canonical(now)))
    return tuple(found) or ("it was not finished, or was removed",)


@contextmanager
def placed(recipe: Recipe, step: Step | None = None) -> Iterator[None]:
    """Give an error without a place the one of the field of `data` that it knows to be wrong, or that of its step."""
    try:
        yield
    except EdgekdError as error:
        path = error.path if step is None or error.path[:1] == ("data",) else ("steps", step.id, *error.path)
        where = recipe.place(path) if path else ""
        raise error.at(where) from error.__cause__
