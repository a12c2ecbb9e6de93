"""What a device's shell says to the commands of a link: line by line, one command's after another's."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgekd import agent, benchmark_model
from edgekd.board import Board
from edgekd.connection import Connection, Link
from edgekd.connections.adb import Adb
from edgekd.connections.adb import _Session as AdbSession
from edgekd.connections.ssh import Ssh
from edgekd.connections.ssh import _Session as SshSession
from edgekd.device import Device
from edgekd.errors import EdgekdError
from edgekd.processes import EndedError
from edgekd.providers.venv import Venv
from edgekd.shell import Shell
from tests.fuzz.mutators import raw
from tests.fuzz.target import Target

agent.file()  # made once, in edgekd's own cache
SUM = b"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  -\n"
BENCHMARK = (
    b"INFO: count=50 first=1 curr=9 min=7 max=12 avg=8 std=1\nINFO: count=700 first=1 curr=9 min=7 max=12 avg=8 std=1\n"
    b"INFO: Inference timings in us: Init: 1234, First inference: 99.5, Warmup (avg): 9.1, Inference (avg): 8.0e+1\n"
    b"INFO: Overall peak memory footprint (MB) via periodic monitoring: 12.5\n"
)
# A command's lines end with NUL; "!STATUS text" makes it fail, with that on its standard error.
SEEDS = (
    b"/home/pi/.edgekd\n\0" + SUM + b"\0" + b"\0" * 6,
    b"welcome\n/home/pi/.edgekd\n\0!1 no such folder\0\0\0\0" + SUM + b"\0\0",
    b"/data/local/tmp/edgekd\n\0yes\n\0" + SUM + b"\0" + BENCHMARK + b"\0",
    b"/x\n\0!255 ssh: Connection refused\0\0",
    b"/x\n\x0012\t/x/files\n4 /x/scratch\n\0" + BENCHMARK,
)
WORDS = (
    "\0",
    "\n",
    "!255 ",
    "!1 ",
    "/x\n\0",
    "device offline",
    "Permission denied",
    "Inference timings in us: Init: 1, First inference: 1,",
    "count=1 ",
    "min=1 max=2",
    "\x1b]0;x\x07",
    "..",
    "$(id)",
)


class _Scripted(Shell):
    """A shell whose answers are the input's."""

    def __init__(self, told: list[bytes], kind: str) -> None:
        self._told, self._options = told, Ssh(host="h", user="u", port=1) if kind == "ssh" else Adb(serial="s")
        self.failure = (SshSession if kind == "ssh" else AdbSession).failure.__get__(self)  # type: ignore[method-assign]
        super().__init__(".edgekd")

    def shell(self, command: str, *_: Any, **__: Any) -> Iterator[str]:
        said = self._told.pop(0).decode(errors="replace") if self._told else ""
        if said.startswith("!"):
            status, _, hint = said[1:].partition(" ")
            ended = EndedError("a command on the device ended", hint)
            ended.status = 255 if status == "255" else 1
            raise self.failure(ended)
        yield from said.splitlines(keepends=True)

    def wrapped(self, command: str) -> list[str]:
        raise NotImplementedError

    def send(self, file: Path, there: str) -> None:
        for _ in self.shell("cat"):
            pass

    def fetch(self, there: str, here: Path, most: int = 0) -> None:
        here.write_bytes("".join(self.shell("cat")).encode())


class Scripted(Connection):
    told: tuple[bytes, ...]
    which: str = "ssh"

    def open(self) -> Link:
        return _Scripted(list(self.told), self.which)


def check(data: bytes, folder: Path) -> None:
    told = tuple(data.split(b"\0"))
    (folder / "some.bin").write_bytes(b"")
    for which in ("ssh", "adb"):
        for use in (_files, _environment, _cleaned):
            with Board(Device(name="it", transport=Scripted(told=told, which=which))) as board:
                try:
                    use(board, folder)
                except EdgekdError as error:
                    assert len(str(error)) < 6000
    if b"Inference" in data or b"count" in data:
        str(benchmark_model.read(data.decode(errors="replace").splitlines(), "it", 16, 1))


def _files(board: Board, folder: Path) -> None:
    there = board.push(folder / "some.bin")
    assert there.startswith(board.link.home)
    board.pull(f"{board.scratch}.npy", folder / "back.bin")


def _environment(board: Board, folder: Path) -> None:
    Venv().prepare(board.link, ["numpy"], lambda text: None)


def _cleaned(board: Board, folder: Path) -> None:
    assert board.clean(True) >= 0


TARGET = Target("protocol: what a device's shell says", check, SEEDS, raw(WORDS), share=4)
