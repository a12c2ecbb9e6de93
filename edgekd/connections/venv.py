"""This machine, by another Python with packages of its own: a runtime that cannot be installed beside edgekd's."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from edgekd import isolated, machine
from edgekd.device import SPIN_COUNT, Connection


class Venv(Connection):
    """This machine, by a virtual environment that holds `packages` and nothing of edgekd's own.

    It is made at first use and kept (`EDGEKD_CACHE`, else ~/.cache/edgekd).
    """

    packages: tuple[str, ...] = Field(min_length=1, description="What pip installs in it, numpy included")
    python: str = Field("", description="The Python it is made with; default: the one that runs edgekd")

    def fingerprint(self) -> dict[str, Any]:
        return {**machine.fingerprint(), "packages": " ".join(self.packages)}

    def push(self, path: Path) -> str:
        return str(path.resolve())

    def run(self, argv: Sequence[str], stdin: str, deadline: float) -> Iterator[str]:
        python = isolated.environment(self.packages, self.python)
        environment = {name: value for name, value in os.environ.items() if name != SPIN_COUNT}
        return isolated.lines(python, argv, environment, stdin, deadline, argv[0])
