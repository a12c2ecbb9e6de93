"""YAML to Recipe. Every error says file:line:column, what was wrong, and the nearest valid name."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeVar

from edgekd import device_files, hub, yaml_marks
from edgekd.data_options import DataOptions
from edgekd.device import Device
from edgekd.errors import EdgekdError, nearest
from edgekd.options import NAME_TOLD, IsPretrained, is_name
from edgekd.settings import Setting, applied, parsed
from edgekd.stage import MOST_SEED
from edgekd.steps import Step, by_id, check, check_budgets, check_formats, check_starts, deepest, stage_of, untimed
from edgekd.validation import validated
from edgekd.yaml_marks import Marks

Made = TypeVar("Made")
_FIELDS = ("name", "data", "seed", "steps", "devices", "offline")


@dataclass(frozen=True)
class Recipe:
    """A validated recipe. `overrides` are those of the offline block that applied, `places` where its fields stand."""

    name: str
    data: DataOptions
    seed: int
    steps: tuple[Step, ...]
    devices: tuple[Device, ...]
    overrides: tuple[str, ...]
    places: Marks = field(default_factory=dict, compare=False, repr=False)

    def place(self, path: tuple[int | str, ...]) -> str:
        """file:line:column of a field, or of the nearest above it that the file has."""
        return deepest(self.places, path)

    @classmethod
    def read(cls, path: Path | str, settings: Sequence[str] = (), online: bool | None = None) -> "Recipe":
        """The recipe of a file; see `load`."""
        return load(Path(path), settings, online)

    def scoring(self, *ids: str) -> "Recipe":
        """What the scores of these steps need: them, and all they read. Nothing is timed, and no latency promised."""
        known, needed, found = {step.id: step for step in self.steps}, list(ids), set[str]()
        while needed:
            found.add(name := needed.pop())
            needed += known[name].sources
        return replace(self, steps=tuple(untimed(step) for step in self.steps if step.id in found), devices=())


def load(path: Path, settings: Sequence[str | Setting] = (), online: bool | None = None) -> Recipe:
    """Read a recipe. `settings` override fields, those written as FIELD=VALUE too; `online` None asks whether the hub
    answers.

    Raises EdgekdError for anything wrong in the file, in a setting, or where a hub is needed and none answers.
    """
    return Variants(path, online)(settings)


class Variants:
    """A recipe's file, read once, and any number of recipes made of it: what settings leave alike is validated once.

    Raises EdgekdError as `load` does.
    """

    def __init__(self, path: Path, online: bool | None = None) -> None:
        raw, marks = yaml_marks.read(path)
        if not isinstance(raw, dict):
            raise EdgekdError(
                "a recipe is a mapping", f"It starts with name:, data:, steps: ({', '.join(_FIELDS)}).", f"{path}:1:1"
            )
        _known(raw, _FIELDS, (), marks)
        offline = raw.pop("offline", None) or {}
        if not isinstance(offline, dict):
            raise EdgekdError(
                "'offline' is a mapping of fields to set",
                "Such as offline: {data: {source: ...}}.",
                marks[("offline",)],
            )
        self._path, self._online = path, online
        self._raw, self._marks = by_id(raw, marks, path)
        self._overrides = [
            Setting(key.removeprefix("steps."), value, marks[("offline", key)]) for key, value in offline.items()
        ]
        self._made: dict[str, Any] = {}  # what was validated, by what it was given

    def __call__(self, settings: Sequence[str | Setting] = ()) -> Recipe:
        path = self._path
        ordered = [parsed(setting) if isinstance(setting, str) else setting for setting in settings]
        ordered = [setting._replace(field=setting.field.removeprefix("steps.")) for setting in ordered]
        recipe = self._build(ordered, ())
        wanted = _hub_names(recipe)
        if self._online or (self._online is None and (not wanted or self._reachable)):
            return recipe
        if wanted and not self._overrides:
            raise EdgekdError(
                f"the hub at {hub.endpoint()} does not answer, and this recipe needs {', '.join(wanted)}",
                "No file or folder here has such a name either. Connect, name local files (--set data.source=... "
                "--set steps.ID.model=...), or add an 'offline:' block.",
                str(path),
            )
        # A setting goes over an override; what it replaces did not apply.
        told = (
            key for key, _, _ in self._overrides if not any(f"{key}.".startswith(f"{over}.") for over, _, _ in ordered)
        )
        recipe = self._build([*self._overrides, *ordered], tuple(told))
        if missing := _hub_names(recipe):
            raise EdgekdError(
                f"without the hub this recipe still needs {', '.join(missing)}",
                "Set local files or package:NAME for them in the 'offline:' block or with --set.",
                str(path),
            )
        return recipe

    @cached_property
    def _reachable(self) -> bool:
        return hub.reachable()

    def _build(self, settings: Sequence[Setting], overrides: tuple[str, ...]) -> Recipe:
        raw, marks = applied(self._raw, self._marks, settings, _FIELDS[:-1])
        top = marks.get((), f"{self._path}:1:1")
        if "data" not in raw:
            raise EdgekdError("the recipe has no 'data'", "Add data: {source: embedded/acceptability}.", top)
        if not raw["steps"]:
            raise EdgekdError(
                "the recipe has no steps", "Add steps: [{id: teacher, stage: finetune, model: ...}].", top
            )
        name, seed = raw.get("name", self._path.stem), raw.get("seed", 42)
        if not is_name(name):
            hint = "It names a folder: such as name: cola_int8."
            raise EdgekdError(f"name {name!r} is not {NAME_TOLD}", hint, marks.get(("name",), top))
        if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed <= MOST_SEED:
            raise EdgekdError(
                f"seed {seed!r:.50} is not a whole number from 0", "Such as seed: 42.", marks.get(("seed",), top)
            )
        data = self._once(("data", raw["data"]), lambda: _data(raw["data"], marks))
        steps: list[Step] = []
        order = list(raw["steps"])
        for number, (step_id, fields) in enumerate(raw["steps"].items()):
            given = ("step", step_id, fields, order)
            stage = self._once(given, partial(stage_of, step_id, fields, order, number, marks))
            steps.append(Step(step_id, stage, marks["steps", step_id]))
        check_formats(steps, marks)
        check_starts(steps, marks)
        for step in steps:
            self._once(("check", raw["data"], raw["steps"][step.id], step.id, order), partial(check, step, data, marks))
        devices = raw.get("devices", ["local"])
        if not isinstance(devices, list) or not all(isinstance(device, str) for device in devices):
            raise EdgekdError("'devices' is a list of names", "Such as devices: [local].", marks.get(("devices",), top))
        loaded = self._once(("devices", devices), lambda: _devices(devices, self._path.parent, marks, top))
        check_budgets(steps, loaded, marks)
        return Recipe(name, data, seed, tuple(steps), tuple(loaded), overrides, marks)

    def _once(self, given: tuple[Any, ...], make: Callable[[], Made]) -> Made:
        key = repr(given)
        if key not in self._made:
            self._made[key] = make()
        found: Made = self._made[key]
        return found


def _data(raw: Any, marks: Marks) -> DataOptions:
    data = validated(DataOptions, raw, marks, ("data",))
    try:
        data.kind.metric(data.metric or data.kind.default_metric)
    except EdgekdError as error:
        raise error.at(marks.get(("data", "metric"), marks[("data",)])) from None
    return data


def _devices(names: Sequence[str], folder: Path, marks: Marks, top: str) -> list[Device]:
    loaded: list[Device] = []
    for number, name in enumerate(names):
        where = marks.get(("devices", number), marks.get(("devices",), top))
        try:
            device = device_files.load(name, folder)
        except EdgekdError as error:
            raise error.at(where) from None
        if device.name in (other.name for other in loaded):
            raise EdgekdError(f"two devices are called '{device.name}'", "Name each once.", where)
        loaded.append(device)
    return loaded


def _hub_names(recipe: Recipe) -> list[str]:
    """What the recipe takes from the hub."""
    models = [value for step in recipe.steps for _, value in step.stage.marked(IsPretrained) if hub.needs_hub(value)]
    return [*([f"data set {recipe.data.source}"] if recipe.data.on_hub else []), *(f"model {name}" for name in models)]


def _known(raw: Mapping[str, Any], names: Sequence[str], at: tuple[str, ...], marks: Marks) -> None:
    for key in raw:
        if key not in names:
            raise EdgekdError(f"unknown field '{key}'", nearest(key, names), marks[(*at, key)])
