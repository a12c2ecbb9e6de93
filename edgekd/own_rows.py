"""The rows that an artifact was made from and scored on, read again where its run lies."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgekd import yaml_marks
from edgekd.data import Data
from edgekd.data_options import DataOptions
from edgekd.errors import EdgekdError
from edgekd.report_files import RECIPE
from edgekd.validation import validated

# Of a fingerprint, what tells rows from others; the rest are options, of which a later edgekd may have more.
_TELLING = ("sha256", "commit", "version")


def again(folder: Path, made_from: Mapping[str, Any]) -> Data:
    """The data of the run that runs/NAME/STEP belongs to. `made_from` is their fingerprint in the artifact's manifest.

    Raises EdgekdError where there is no run, or what is there now, seen from this folder, are other rows.
    """
    file = folder.absolute().parent / RECIPE  # not resolved: the folder is a link into the store
    if not file.is_file():
        raise EdgekdError(f"{folder} is no step of a run", "Name it where its run lies: runs/NAME/STEP.")
    resolved, marks = yaml_marks.read(file)
    if not isinstance(resolved, dict) or not isinstance(seed := resolved.get("seed"), int):
        raise EdgekdError(f"{file} is no recipe as it ran", "Run its recipe again.")
    data = Data(validated(DataOptions, resolved.get("data"), marks, ("data",)), seed)
    if "sha256" in made_from and data.options.on_hub:  # a name that is no path from here
        raise EdgekdError(
            f"{data.options.source}, which {folder} was made from, is not in {Path.cwd()}",
            "Type it in the folder where the run was made.",
        )
    now = data.fingerprint
    for name in _TELLING:
        if name in made_from and made_from[name] != now.get(name):
            raise EdgekdError(
                f"{data.options.source} is not what {folder} was made from ({name} {_short(made_from[name])} then, "
                f"{_short(now.get(name))} now)",
                "Type it in the folder where the run was made, or run the recipe again.",
            )
    return data


def _short(value: Any) -> str:
    """A digest as one tells it from another; of several files each."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_short(digest)}" for name, digest in value.items())
    return str(value)[:12]
