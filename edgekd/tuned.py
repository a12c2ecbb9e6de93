"""How a runtime is best set for an artifact on a machine: as edgekd.tuning found, in tuned.json beside the artifact.

Not in its manifest: that says the same wherever an artifact is made, and machines differ. Of a copy of the artifact the
file goes along, and where it is of another machine, or other libraries, it says nothing.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from edgekd import machine
from edgekd.decoding import json_object
from edgekd.errors import EdgekdError

FILE = "tuned.json"
_MACHINE = ("processor", "architecture", "cores", "features")  # what decides which setting is the fastest


@dataclass(frozen=True)
class Trial:
    """One setting against the best that was known before: its time in multiples of that one's, the median over rounds,
    with the least and the most of them; all 0 of one that does not run there.
    """

    setting: str
    ratio: float
    least: float
    most: float
    verdict: str

    @property
    def spread(self) -> str:
        return _spread(self.ratio, self.least, self.most)


@dataclass(frozen=True)
class Tuned:
    """The best setting of one artifact on one device. `ratio`: as a Trial's, its time against that with the device
    file's first thread count and the runtime's own settings, measured once more at the end; 1 where that is the best.
    """

    device: str
    runtime: str
    machine: Mapping[str, Any]
    libraries: Mapping[str, str]
    threads: int
    settings: Mapping[str, str]
    ratio: float
    least: float
    most: float
    trials: tuple[Trial, ...]

    def __str__(self) -> str:
        """Of a setting that gains, what it is and gains."""
        if self.ratio >= 1:
            return "nothing tried is faster than the device file's first thread count"
        gained = f"{_spread(self.ratio, self.least, self.most)} of the time with the device file's first thread count"
        return f"{spoken(self.threads, self.settings)}: {gained}"

    def fits(self, found: Mapping[str, Any]) -> bool:
        """Whether a fingerprint is of such a machine."""
        return all(self.machine.get(name) == found.get(name) for name in _MACHINE)


def _spread(middle: float, least: float, most: float) -> str:
    return f"{middle:.2f} ({least:.2f} to {most:.2f})" if middle else "-"


def spoken(threads: int, settings: Mapping[str, str]) -> str:
    """A setting in words."""
    return ", ".join([f"threads {threads}", *(f"{name} {value}" for name, value in settings.items())])


def telling(found: Mapping[str, Any]) -> dict[str, Any]:
    """What of a fingerprint decides which setting is the fastest."""
    return {name: found.get(name) for name in _MACHINE}


def here(folder: Path, runtime: str, libraries: Mapping[str, str]) -> Tuned | None:
    """What was found for an artifact on a machine like this one, with the same libraries; the last, if there are many.

    Raises EdgekdError where the file is broken.
    """
    own = [entry for entry in read(folder) if entry.runtime == runtime and dict(entry.libraries) == dict(libraries)]
    found = machine.fingerprint() if own else {}
    return next((entry for entry in reversed(own) if entry.fits(found)), None)


def read(folder: Path) -> tuple[Tuned, ...]:
    """All that was found for an artifact, whatever the machine. Raises EdgekdError where the file is broken."""
    file = folder / FILE
    if not file.is_file():
        return ()
    try:
        return tuple(_entry(raw) for raw in json_object(file)["tuned"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        told = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise EdgekdError(
            f"{file} cannot be read: {told}", "Remove it: it is measured again where it is asked for."
        ) from None


def among(folder: Path, found: Tuned) -> str:
    """The file's text with this in it, in place of what was found on the same device with the same libraries."""
    others = [entry for entry in read(folder) if (entry.device, entry.libraries) != (found.device, found.libraries)]
    return json.dumps({"tuned": [asdict(entry) for entry in (*others, found)]}, indent=1) + "\n"


def _entry(raw: Any) -> Tuned:
    kinds: dict[str, Any] = {"device": str, "runtime": str, "threads": int, "machine": dict, "libraries": dict}
    kinds |= {"settings": dict, "trials": list}
    if not isinstance(raw, dict) or raw.keys() != {field.name for field in fields(Tuned)}:
        raise ValueError("an entry has not the fields of one")
    for name, kind in kinds.items():
        if not isinstance(raw[name], kind):
            raise ValueError(f"{name} is no {kind.__name__}")
    if not 1 <= raw["threads"] <= 1024 or not all(isinstance(value, str) for value in raw["settings"].values()):
        raise ValueError("threads or settings are none")
    if not all(isinstance(raw[name], int | float) for name in ("ratio", "least", "most")):
        raise ValueError("ratio, least or most is no number")
    return Tuned(**{**raw, "trials": tuple(Trial(**trial) for trial in raw["trials"])})
