"""Virtual environments that edgekd makes for itself and keeps: for packages whose pins conflict with its own."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock

from edgekd.errors import EdgekdError

_READY = "edgekd-ready.json"


def environment(packages: Sequence[str], python: str = "") -> Path:
    """The Python of an environment with these packages; made where there is none yet.

    Raises EdgekdError where the Python is missing or pip cannot install them; nothing half-made stays.
    """
    python = python or sys.executable
    name = hashlib.sha256(json.dumps([python, *packages]).encode()).hexdigest()[:16]
    root = Path(os.environ.get("EDGEKD_CACHE") or Path.home() / ".cache" / "edgekd") / "environments"
    root.mkdir(parents=True, exist_ok=True)
    folder = root / name
    with FileLock(root / f"{name}.lock"):
        if not (folder / _READY).is_file():
            shutil.rmtree(folder, ignore_errors=True)
            try:
                _call([python, "-m", "venv", str(folder)], packages)
                _call([str(folder / "bin" / "python"), "-m", "pip", "install", "-q", *packages], packages)
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                raise
            (folder / _READY).write_text(json.dumps(list(packages)) + "\n")
    return folder / "bin" / "python"


def _call(argv: list[str], packages: Sequence[str]) -> None:
    wanted = f"an environment with {' '.join(packages)} cannot be made"
    keep = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
    try:
        done = subprocess.run(argv, capture_output=True, text=True, env=keep)
    except OSError as error:
        raise EdgekdError(f"{wanted}: {argv[0]}: {error.strerror}", "Name a Python that is installed.") from None
    if done.returncode:
        raise EdgekdError(wanted, "\n  ".join(done.stderr.strip().splitlines()[-5:]) or "pip said nothing.")
