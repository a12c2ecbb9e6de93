"""A Python that edgekd brings along, for a board or a phone that has none. Experimental: no phone has confirmed it yet.

An archive of Debian's own Python, C library and the runtimes' wheels for Linux: started through its own dynamic loader,
it needs neither root nor anything of the system's but a shell, tar and a folder where programs may run.
"""

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

from pydantic import Field

from edgekd.connection import Link
from edgekd.errors import EdgekdError
from edgekd.paths import is_file
from edgekd.provider import Provider, Python


class Bundle(Provider):
    """The archive that devices/bundle.sh makes: python.tar.gz with bin/, lib/ and packages/."""

    archive: Path = Field(description="Its path on this machine; devices/bundle.sh ARCHIVE makes it")

    def prepare(self, link: Link, packages: Sequence[str], say: Callable[[str], None]) -> Python:
        if not is_file(self.archive):
            raise EdgekdError(f"{self.archive}: no such file", f"Make it: devices/bundle.sh {self.archive}")
        pushed = link.push(self.archive)
        folder = f"{pushed}.unpacked"
        draft = f"{folder}.half"
        # Renamed when whole: what has the name is complete.
        to, half = shlex.quote(folder), shlex.quote(draft)
        unpack = (
            f"[ -d {to} ] || {{ rm -rf {half} && mkdir -p {half} && tar xzf {shlex.quote(pushed)} -C {half} "
            f"&& mv {half} {to}; }} || {{ rm -rf {half}; exit 1; }}"
        )
        for _ in link.run(["sh", "-c", unpack], {}, deadline=900.0):
            pass
        loader = f"{folder}/lib/ld-linux-aarch64.so.1"
        argv = (loader, "--library-path", f"{folder}/lib", f"{folder}/bin/python3.11")
        return Python(argv, {"PYTHONHOME": folder, "PYTHONPATH": f"{folder}/packages", "PYTHONNOUSERSITE": "1"})
