"""An open device: its link, its Python, and the agent that answers there."""

import getpass
import json
import os
import re
import socket
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from edgekd import agent, records, replies
from edgekd.device import Device
from edgekd.errors import EdgekdError
from edgekd.provider import Python
from edgekd.runtime import RUNTIMES, installed

_DEADLINE = 3600.0
_PROBE = 120.0
_SIZE = re.compile(r"\d{1,15}\b")  # of a folder, in kilobytes, as du begins its line


class Board:
    """A device that is reached. Used as a context, it is let go."""

    def __init__(self, device: Device, say: Callable[[str], None] = lambda text: None) -> None:
        self.device, self._say = device, say
        self.link = device.transport.open()

    def push(self, path: Path) -> str:
        return self.link.push(path)

    def pull(self, there: str, here: Path, most: int) -> None:
        self.link.pull(there, here, most)

    def forget(self, there: str) -> None:
        """Remove a file that the agent wrote; where the way there is broken it stays, and is overwritten some day."""
        with suppress(EdgekdError):
            for _ in self.link.run(["rm", "-f", there], {}):
                pass

    def clean(self, everything: bool) -> int:
        """Remove what was pushed and what agents left there, and with `everything` the environments too; returns
        bytes. Whoever times there meanwhile waits; a run that is scoring there loses its files and ends with an error.
        """
        names = ["files", "scratch", *(["environments"] if everything else [])]
        told = 'for each; do [ -e "$each" ] || continue; du -sk "$each"; rm -rf "$each"; done'
        with self.alone():
            paths = [f"{self.link.home}/{name}" for name in names]
            said = self.link.run(["sh", "-c", told, "sh", *paths], {}, deadline=_DEADLINE)
            return 1024 * sum(int(size[0]) for line in said if (size := _SIZE.match(line)))

    @cached_property
    def scratch(self) -> str:
        """A folder of its own on the device for what the agent writes."""
        folder = f"{self.link.home}/scratch"
        for _ in self.link.run(["mkdir", "-p", folder], {}):
            pass
        return f"{folder}/{socket.gethostname()}-{os.getpid()}"

    def ask(self, job: Mapping[str, Any], deadline: float = _DEADLINE) -> Generator[dict[str, Any], None, None]:
        """The agent's records for a job. `deadline` in seconds holds on both sides.

        Raises the EdgekdError that it tells, and one where it fails, runs over, its output is cut off, or holds what no
        agent tells.
        """
        python = self._python
        told = json.dumps({**job, "deadline": deadline}) + "\n"
        lines = self.link.run([*python.argv, *self._agent], python.env, told, deadline + 30, hold=True)
        return replies.checked(records.read(lines), self.device.name)

    def told(self, job: Mapping[str, Any], *kinds: str, deadline: float = _DEADLINE) -> dict[str, dict[str, Any]]:
        """As `ask`, the last record of each kind. Raises EdgekdError too where one of these kinds is missing."""
        found = {record["kind"]: record for record in self.ask(job, deadline)}
        if missing := [kind for kind in kinds if kind not in found]:
            raise EdgekdError(f"the agent on {self.device.name} told no {missing[0]}", "Run it again.")
        return found

    @cached_property
    def facts(self) -> dict[str, Any]:
        """What the device says of itself: `machine`, `state`, `free` bytes, `runtimes` by name."""
        job = {"do": "probe", "folder": self.link.home}
        return self.told(job, "probe", deadline=_PROBE)["probe"]

    def fingerprint(self) -> dict[str, Any]:
        """What identifies the machine for a timing. Raises EdgekdError where it is not what the device file expects."""
        found: dict[str, Any] = self.facts["machine"]
        self.device.expect.check(self.device.name, found)
        return found

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the device: whoever else measures there by edgekd, from any machine, waits until this one has ended."""
        holder = f"{getpass.getuser()} at {socket.gethostname()}"
        asked = self.ask({"do": "hold", "lock": f"{self.link.home}/lock", "holder": holder})
        try:
            for record in asked:
                if record["kind"] == "busy":
                    self._say(f"  {record['holder'] or 'another run'} is measuring on {self.device.name}; waiting")
                else:
                    break
            yield
        finally:
            asked.close()  # its end closes the agent's standard input

    @cached_property
    def _python(self) -> Python:
        return self.device.provider.prepare(self.link, _packages(self.device), self._say)

    @cached_property
    def _agent(self) -> list[str]:
        if self.device.here:
            # -P: a file of the user's called numpy.py, in the current folder, is not ours to import.
            return ["-P", "-m", "edgekd.worker"]
        return [self.push(agent.file())]

    def close(self) -> None:
        self.link.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _packages(device: Device) -> tuple[str, ...]:
    """What the device's runtimes need, at the versions that this Python has: figures of both are of one code."""
    needed = ["numpy", "tokenizers"]
    for name in device.runtimes or ("onnxruntime",):
        needed += [library.partition("|")[0] for library in RUNTIMES.get(name).libraries]
    found = []
    for name in dict.fromkeys(needed):
        try:
            found.append(f"{name}=={installed((name,))[name]}")
        except EdgekdError:
            found.append(name)
    return tuple(found)
