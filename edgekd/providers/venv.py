"""A virtual environment that edgekd makes on the device with pip, once, and keeps."""

import hashlib
import json
import shlex
from collections import deque
from collections.abc import Callable, Sequence

from pydantic import Field

from edgekd import isolated
from edgekd.connection import Link
from edgekd.errors import EdgekdError
from edgekd.options import Argument
from edgekd.provider import Provider, Python

_MINUTES = 1800.0


class Venv(Provider):
    """An environment that holds `packages` and nothing else.

    On this machine it lies in EDGEKD_CACHE (else ~/.cache/edgekd), on another in edgekd's folder there.
    """

    packages: tuple[Argument, ...] = Field(
        (), description="What pip installs in it, numpy included; default: what the device's runtimes need"
    )
    python: str = Field("", description="The Python it is made with; default: the one that runs edgekd, or python3")

    def prepare(self, link: Link, packages: Sequence[str], say: Callable[[str], None]) -> Python:
        packages = self.packages or tuple(packages)
        if link.here:
            return Python((str(isolated.environment(packages, self.python, say)),))
        base = self.python or "python3"
        name = hashlib.sha256(json.dumps([base, *packages]).encode()).hexdigest()[:16]
        folder = f"{link.home}/environments/{name}"
        ready = f"{folder}/ready"  # written last: without it the folder is what a broken attempt left
        listed = shlex.join(packages)
        make = (
            f"[ -e {ready} ] && exit; rm -rf {folder} && {shlex.quote(base)} -m venv {folder} && "
            f"{folder}/bin/python -m pip install --quiet --progress-bar off {listed} && : > {ready}"
        )
        if not _there(link, ready):
            say(f"making the environment {folder} on the device, once; pip takes minutes for large packages")
        try:
            for _ in link.run(["sh", "-c", make], {}, deadline=_MINUTES):
                pass
        except EdgekdError as error:
            raise EdgekdError(
                f"no environment with {listed} can be made on the device: {error.problem}",
                f"{error.hint}\n  On Debian: apt-get install python3-venv. Or use provider: {{type: bundle}}.".strip(),
            ) from None
        return Python((f"{folder}/bin/python",))


def _there(link: Link, path: str) -> bool:
    return bool(deque(link.run(["sh", "-c", f"[ ! -e {path} ] || echo yes"], {}), maxlen=1))
