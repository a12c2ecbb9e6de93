"""Virtual environments that edgekd makes for itself and keeps: for packages that are not beside its own."""

import hashlib
import json
import math
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from textwrap import shorten

from filelock import FileLock, Timeout

import edgekd
from edgekd import cache, processes, temporary
from edgekd.errors import EdgekdError


def environment(
    packages: Sequence[str],
    python: str = "",
    say: Callable[[str], None] = lambda text: None,
    progress: Callable[[str, float, float], None] = lambda label, done, total: None,
) -> Path:
    """The Python of an environment with these packages; made where there is none yet, by `python` or this one.

    `say` is told of what takes minutes, `progress` how many packages pip has got (of a total that nobody knows: 0).
    Raises EdgekdError where the Python is missing or pip cannot install them; nothing half-made is ever used.
    """
    # The real file behind this environment's Python: environments of one Python share what is made here.
    python = python or os.path.realpath(sys.executable)
    name = hashlib.sha256(json.dumps([python, *packages]).encode()).hexdigest()[:16]
    root = cache.folder() / "environments"
    try:
        root.mkdir(parents=True, exist_ok=True)
        lock = FileLock(root / f"{name}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            say(f"another run is making the environment {root / name}; waiting")
            lock.acquire()
    except OSError as error:
        raise EdgekdError(f"{root}: {error.strerror}", "Name a folder of your own: EDGEKD_CACHE=FOLDER.") from None
    try:
        # A link to a folder that nobody else wrote to: where a maker was killed, its pip may go on for a while.
        if not (root / name).exists():
            for left in root.glob(f"{name}-*"):
                shutil.rmtree(left, ignore_errors=True)
            say(f"making the environment {root / name}, once; pip takes minutes for large packages")
            folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=root))
            try:
                _fill(folder, python, packages, progress)
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                raise
            (root / name).unlink(missing_ok=True)
            (root / name).symlink_to(folder.name)
    finally:
        lock.release()
    return root / name / "bin" / "python"


def _fill(folder: Path, python: str, packages: Sequence[str], progress: Callable[[str, float, float], None]) -> None:
    (folder / "requirements.txt").write_text("\n".join(packages) + "\n")
    keep = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
    install = [str(folder / "bin" / "python"), "-m", "pip", "install", "--progress-bar", "off", *packages]
    got = 0
    try:
        for argv, name in (([python, "-m", "venv", str(folder)], "venv"), (install, "pip")):
            for line in processes.lines(argv, keep, "", math.inf, name):
                if line.startswith(("Collecting", "Processing")):  # from an index, from a folder
                    got += 1
                    progress("packages from pip", got, 0)
    except EdgekdError as error:
        raise EdgekdError(_failed(packages, error.problem), error.hint or "It said nothing.") from None


def _failed(packages: Sequence[str], reason: str) -> str:
    return f"an environment with {shorten(' '.join(packages), 100, placeholder=' ...')} cannot be made: {reason}"


def lines(
    python: Path, argv: Sequence[str], env: Mapping[str, str], stdin: str, deadline: float, name: str
) -> Iterator[str]:
    """Run a Python module's command line in an environment, with this edgekd; see `processes.lines`."""
    with temporary.folder() as folder:
        # The package alone is lent to it: beside it may lie libraries that would hide the environment's own.
        (folder / "edgekd").symlink_to(Path(edgekd.__file__).parent)
        lent = {**env, "PYTHONPATH": str(folder), "PYTHONSAFEPATH": "1"}
        yield from processes.lines([str(python), "-m", *argv], lent, stdin, deadline, name, hold=True)
