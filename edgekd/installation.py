"""What of edgekd is installed here and what is not, what each missing part would give, and what else a run needs."""

import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edgekd import cache, extras, hub

# What an extra gives; a test holds it to those that there are.
GIVES = {
    "offline": "a pretrained encoder inside a Python package, for machines without a model hub",
    "openvino": "INT8 and 4 bits for OpenVINO, by NNCF",
    "tflite": "export to TFLite, its quantizer and its runtime",
    "executorch": "export to ExecuTorch, its quantizer and its runtime",
    "sweep": "sweeps on a Ray cluster, and searches",
    "s3": "a store on S3, or what speaks like it",
    "sign": "bundles that are signed, by minisign",
    "docs": "the builder of the documentation's site",
    "dev": "the tests, the linters and the type checker",
}
_ROOM = 5e9  # bytes that an environment with its packages, and a run's artifacts, may take


@dataclass(frozen=True)
class Finding:
    """`bad`: edgekd cannot work so. `advice` is what to type, where something is to be done."""

    what: str
    state: str
    bad: bool = False
    advice: str = ""


def examine(runs: Path) -> Iterator[Finding]:
    """Everything, in the order in which it matters. Loads no library; asks the hub whether it answers."""
    yield Finding("Python", f"{platform.python_version()} on {platform.machine()}, {os.cpu_count()} cores")
    for name, lacks in extras.state().items():
        missing = ", ".join(lacks)
        if not name:
            advice = "pip install -e . in edgekd's folder, in an environment of its own"
            yield Finding("packages", missing or "all installed", bool(lacks), advice if lacks else "")
        elif lacks:
            yield Finding(name, f"not here: {GIVES[name]} ({missing})", advice=f"pip install 'edgekd[{name}]'")
        else:
            yield Finding(name, f"installed: {GIVES[name]}")
    if hub.reachable():
        yield Finding("model hub", f"{hub.endpoint()} answers")
    else:
        yield Finding("model hub", f"{hub.endpoint()} does not answer: a recipe's offline block applies")
    existing = next(folder for folder in (runs, *runs.absolute().parents) if folder.exists())
    free = shutil.disk_usage(existing).free
    advice = "" if free > _ROOM else "Runs and environments take gigabytes: --runs FOLDER, EDGEKD_CACHE=FOLDER"
    yield Finding("disk", f"{free / 1e9:.0f} GB free for {runs.absolute()}", advice=advice)
    yield Finding("environments", f"of converters that are not installed here: {cache.folder()}")
