"""A Python that is on the device already, with numpy and the runtimes."""

import sys
from collections.abc import Callable, Sequence

from pydantic import Field

from edgekd.connection import Link
from edgekd.provider import Provider, Python


class System(Provider):
    """A Python of the device's own."""

    python: str = Field("", description="Its command; default: the one that runs edgekd here, python3 elsewhere")
    path: str = Field("", description="A folder on the device with more packages, as PYTHONPATH says it")

    def prepare(self, link: Link, packages: Sequence[str], say: Callable[[str], None]) -> Python:
        command = self.python or (sys.executable if link.here else "python3")
        return Python((command,), {"PYTHONPATH": self.path} if self.path else {})
