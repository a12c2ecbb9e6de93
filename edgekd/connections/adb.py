"""An Android phone or board over the Android Debug Bridge."""

import re
import subprocess
from pathlib import Path

from pydantic import Field

from edgekd.connection import Connection, Link
from edgekd.errors import EdgekdError
from edgekd.options import Word
from edgekd.processes import EndedError
from edgekd.shell import Shell

# What adb says, and what to do.
_FAULTS = (
    (
        r"device unauthorized|unauthorized\.",
        "the phone has not allowed this computer yet",
        "Unlock it and accept the question about USB debugging; or: adb kill-server, and plug it in again.",
    ),
    (
        r"more than one device",
        "several phones are connected",
        "Name one in the device file: transport: {{type: adb, serial: ...}}; `adb devices` lists them.",
    ),
    (
        r"device offline|device still (authorizing|connecting)",
        "the phone is connected but does not answer",
        "Unplug it and plug it in again; or: adb reconnect",
    ),
    (
        r"no devices/emulators found|device '.*' not found|failed to connect|[Cc]onnection refused|unable to connect",
        "no such phone is connected: {serial}",
        "Turn on USB debugging in its developer options; then: adb devices",
    ),
    (
        r"cannot connect to daemon|failed to start daemon|daemon not running",
        "adb's own server does not run here",
        "Run: adb start-server",
    ),
    (
        r"error: closed|protocol fault|device disconnected|connection reset",
        "the connection to the phone broke",
        "Run it again. Is the cable loose?",
    ),
)


class Adb(Connection):
    """A phone that allows USB debugging, or one reached over the network."""

    serial: Word = Field("", description="Which phone, as `adb devices` names it; HOST:PORT is connected to first")
    adb: str = Field("adb", description="The adb program on this machine")
    workdir: Word = Field(
        "/data/local/tmp/edgekd", min_length=1, description="edgekd's folder there, where programs may run"
    )

    def open(self) -> Link:
        return _Session(self)


class _Session(Shell):
    def __init__(self, options: Adb) -> None:
        self._options = options
        self._adb = [options.adb, *(["-s", options.serial] if options.serial else [])]
        if ":" in options.serial:
            self._connect()
        super().__init__(options.workdir)

    def _connect(self) -> None:
        told = self._call([self._options.adb, "connect", self._options.serial])
        # It exits with 0 for a dead port too: only the text tells.
        if not re.search(r"connected to", told):
            ended = EndedError("adb connect", told)
            raise self.failure(ended)

    def wrapped(self, command: str) -> list[str]:
        # -T: no terminal, so that standard error and binary output stay as they are.
        return [*self._adb, "shell", "-T", command]

    def send(self, file: Path, there: str) -> None:
        self._call([*self._adb, "push", str(file), there])

    def _call(self, argv: list[str]) -> str:
        try:
            done = subprocess.run(argv, capture_output=True, text=True, timeout=1800)
        except FileNotFoundError:
            raise EdgekdError(f"{argv[0]}: No such file or directory", "On Debian: apt-get install adb") from None
        told = f"{done.stdout}\n{done.stderr}".strip()
        if done.returncode:
            ended = EndedError(f"adb {argv[-3] if len(argv) > 3 else argv[1]} failed", told)
            ended.status = done.returncode
            raise self.failure(ended)
        return told

    def failure(self, error: EndedError) -> EdgekdError:
        for pattern, problem, hint in _FAULTS:
            if re.search(pattern, error.hint):
                serial = self._options.serial or "none at all"
                return EdgekdError(problem.format(serial=serial), hint.format(serial=serial))
        return error
