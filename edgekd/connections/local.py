"""This machine: commands run as fresh processes of this very Python."""

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from edgekd import machine, processes
from edgekd.device import SPIN_COUNT, Connection


class Local(Connection):
    """This machine, by the Python that runs edgekd."""

    def fingerprint(self) -> dict[str, Any]:
        return machine.fingerprint()

    def push(self, path: Path) -> str:
        return str(path.resolve())

    def run(self, argv: Sequence[str], stdin: str, deadline: float) -> Iterator[str]:
        environment = {name: value for name, value in os.environ.items() if name != SPIN_COUNT}
        # -P: a file of the user's called numpy.py, in the current folder, is not ours to import.
        return processes.lines([sys.executable, "-P", "-m", *argv], environment, stdin, deadline, argv[0])
