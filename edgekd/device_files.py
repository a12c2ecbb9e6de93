"""devices/*.yaml to Device. Every error says file:line:column, what was wrong, and the nearest valid name."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgekd import yaml_marks
from edgekd.connection import CONNECTIONS
from edgekd.device import Device
from edgekd.errors import EdgekdError, nearest
from edgekd.options import Options
from edgekd.paths import is_file
from edgekd.provider import PROVIDERS
from edgekd.validation import validated
from edgekd.yaml_marks import Marks


def load(name: str, beside: Path) -> Device:
    """A device by name (devices/NAME.yaml in the folder `beside`, in the one above it, or here), or by its file.

    Raises EdgekdError, with the place and the nearest valid name, for what is not there and for anything wrong in it.
    """
    folders = (beside / "devices", beside.parent / "devices", Path("devices"))
    files = [Path(name)] if name.endswith((".yaml", ".yml")) else [folder / f"{name}.yaml" for folder in folders]
    file = next((file for file in files if is_file(file)), None)
    if file is None:
        if name == "local":
            return Device(name="local")
        known = {found.stem for folder in folders for found in folder.glob("*.yaml")}
        hint = f"{nearest(name, known | {'local'})} A new one's file: edgekd new device NAME"
        raise EdgekdError(f"unknown device '{name}'", hint)
    raw, marks = yaml_marks.read(file)
    if not isinstance(raw, dict):
        hint = "It starts with name:, see edgekd explain device."
        raise EdgekdError("a device's file is a mapping", hint, f"{file}:1:1")
    return validated(Device, {**raw, **_chosen(raw, marks)}, marks, ())


def _chosen(raw: Mapping[str, Any], marks: Marks) -> dict[str, Any]:
    """The connection and the provider that a device file asks for, each built from its own options."""
    found: dict[str, Any] = {}
    for field, registry, usual in (("transport", CONNECTIONS, "local"), ("provider", PROVIDERS, "system")):
        given = raw.get(field)
        if not isinstance(given, dict):
            continue
        try:
            kind: type[Options] = registry.get(str(given.get("type", usual)))
        except EdgekdError as error:
            raise error.at(marks.get((field, "type"), "")) from None
        options = {name: value for name, value in given.items() if name != "type"}
        found[field] = validated(kind, options, marks, (field,))
    return found
