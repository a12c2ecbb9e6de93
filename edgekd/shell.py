"""A link to a device that has a POSIX shell: commands, and files that are checked by their SHA-256 on both sides."""

import hashlib
import os
import shlex
import subprocess
import tarfile
import tempfile
import threading
from abc import abstractmethod
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from edgekd import processes, temporary
from edgekd.connection import Link
from edgekd.errors import EdgekdError

_PART = 1 << 20  # bytes
_TRANSFER = 1800.0


class Shell(Link):
    """What ssh and adb have in common. `workdir`: edgekd's folder there; a relative one is under the user's own."""

    def __init__(self, workdir: str) -> None:
        # Made by the first command that reaches the device, so that a dead one is told apart from a full one.
        made = f"umask 077; mkdir -p {shlex.quote(workdir)} && cd {shlex.quote(workdir)} && pwd"
        told = deque(self.shell(made), maxlen=1)  # the last line: what greets who logs in stands before it
        if not told:
            raise EdgekdError(
                "the device's shell said nothing", "Log in by hand: does its start-up file end the shell?"
            )
        self._home = told[-1].strip()
        if shlex.quote(self._home) != self._home:
            raise EdgekdError(f"edgekd's folder there would be '{self._home}'", "Set a workdir of plain characters.")
        self._pushed: dict[str, str] = {}  # digest -> path, checked in this session

    @property
    def home(self) -> str:
        return self._home

    @abstractmethod
    def wrapped(self, command: str) -> list[str]:
        """The local command line that has the device's shell run `command`, with its standard streams and status."""

    @abstractmethod
    def send(self, file: Path, there: str) -> None:
        """Copy one file to the device. Raises EdgekdError; what it left there is removed by who called."""

    def failure(self, error: processes.EndedError) -> EdgekdError:
        """A failed command, in words about the device where the way to it is what failed."""
        return error

    def shell(
        self, command: str, stdin: str = "", deadline: float = 60.0, hold: bool = False, name: str = ""
    ) -> Iterator[str]:
        """Run a line of shell, yield its standard output line by line. Raises EdgekdError as `run` does."""
        name = f"{name or 'a command'} on the device"
        try:
            yield from processes.lines(self.wrapped(command), os.environ, stdin, deadline, name, hold)
        except processes.EndedError as error:
            raise self.failure(error) from None

    def run(
        self, argv: Sequence[str], env: Mapping[str, str], stdin: str = "", deadline: float = 60.0, hold: bool = False
    ) -> Iterator[str]:
        given = ["env", *(f"{name}={value}" for name, value in env.items())] if env else []
        # exec: nothing of the shell's stands between the command and a signal that ends it.
        return self.shell("exec " + shlex.join([*given, *argv]), stdin, deadline, hold, argv[0].rpartition("/")[2])

    def push(self, path: Path) -> str:
        path = path.resolve()
        sums = _sums(path)
        digest = hashlib.sha256(sums.encode()).hexdigest()
        if digest not in self._pushed:
            folder = f"{self._home}/files/{digest[:16]}"
            if not self._whole(folder, sums):
                self._place(path, sums, folder)
            self._pushed[digest] = f"{folder}/{path.name}"
        return self._pushed[digest]

    def pull(self, there: str, here: Path, most: int) -> None:
        self._fetch(there, here, most)
        told = next(iter(self.shell(f"sha256sum < {shlex.quote(there)}")), "").split()
        if told[:1] != [_sha256(here)]:
            here.unlink(missing_ok=True)
            raise EdgekdError(f"{there} came from the device cut off", "Run it again.")

    def _fetch(self, there: str, here: Path, most: int) -> None:
        with here.open("wb") as stream, tempfile.TemporaryFile() as errors:
            # Through this process, which counts: a device may send without end.
            process = subprocess.Popen(
                self.wrapped(f"cat {shlex.quote(there)}"),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
            )
            assert process.stdout
            late = threading.Timer(_TRANSFER, process.kill)
            late.start()
            left = most
            try:
                while left >= 0 and (part := process.stdout.read(min(_PART, left + 1))):
                    stream.write(part)
                    left -= len(part)
            finally:
                late.cancel()
                if left < 0:
                    process.kill()
                process.stdout.close()
                status = process.wait()
            errors.seek(0)
            told = errors.read(10_000).decode(errors="replace").strip()
        size = most - left
        if status == 0 and size <= most:
            return
        here.unlink()
        if size > most:
            raise EdgekdError(
                f"{there} on the device is larger than the {most:,} bytes it should have", "Run it again."
            )
        ended = processes.EndedError(f"copying {there} ended with status {status}", told)
        ended.status = status
        raise self.failure(ended)

    def _whole(self, folder: str, sums: str) -> bool:
        """Whether a folder on the device holds exactly these contents: names say nothing, and sizes little."""
        try:
            said = self.shell(f"cd {folder} && sha256sum < sums && sha256sum -c sums", deadline=_TRANSFER)
            first = next(said, "")
            deque(said, maxlen=0)  # to its end, which tells whether the files are what `sums` says
        except EdgekdError:
            # No such folder, or another content; a way that broke shows at the next command.
            return False
        return first.split()[:1] == [hashlib.sha256(sums.encode()).hexdigest()]

    def _place(self, path: Path, sums: str, folder: str) -> None:
        """Send a file or folder as one archive, unpack it under another name, and rename it when it is whole."""
        draft = f"{folder}.half"
        try:
            with temporary.folder() as scratch:
                archive, listed = Path(scratch, "files.tar"), Path(scratch, "sums")
                listed.write_text(sums)
                with tarfile.open(archive, "w", format=tarfile.USTAR_FORMAT, dereference=True) as packed:
                    packed.add(listed, "sums")
                    packed.add(path, path.name)
                for _ in self.shell(f"rm -rf {draft} && mkdir -p {draft}"):
                    pass
                self.send(archive, f"{draft}.tar")
            for _ in self.shell(f"tar xf {draft}.tar -C {draft} && rm {draft}.tar", deadline=_TRANSFER):
                pass
            if not self._whole(draft, sums):
                raise EdgekdError(f"{path.name} came to the device cut off", "Is its disk full, or its card worn out?")
            for _ in self.shell(f"rm -rf {folder} && mv {draft} {folder}"):
                pass
        except BaseException as error:
            try:
                for _ in self.shell(f"rm -rf {draft} {draft}.tar"):
                    pass
            except EdgekdError:
                pass  # the way is broken: the next push clears what this one left
            if isinstance(error, EdgekdError):
                full = "No space left" in error.hint
                told = "its disk is full" if full else error.problem
                hint = f"Free some there; edgekd's own files are in {self._home}." if full else error.hint
                raise EdgekdError(f"{path.name} cannot be put on the device: {told}", hint) from None
            raise


def _sums(path: Path) -> str:
    """The lines that `sha256sum -c` checks beside the file or folder."""
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    return "".join(f"{_sha256(file)}  {file.relative_to(path.parent).as_posix()}\n" for file in files)


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
