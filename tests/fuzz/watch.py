"""What no input may make edgekd do: run on for a second, write outside its folder, start a program, open a socket."""

import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SECONDS = 1.0  # of processor time: others on this machine do not count


class OffenceError(BaseException):
    """Not an Exception: edgekd's own handlers must not take it for a fault of a library."""


_PATHS = {
    "os.rename": (0, 1),
    "os.link": (1,),
    "os.symlink": (1,),
    "os.mkdir": (0,),
    "os.rmdir": (0,),
    "os.remove": (0,),
    "os.truncate": (0,),
    "os.chmod": (0,),
    "os.chown": (0,),
    "os.utime": (0,),
    "shutil.rmtree": (0,),
}
_NEVER = {
    *("subprocess.Popen", "os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "pty.spawn"),
    *("socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo", "socket.gethostbyname"),
}
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_allowed: list[str] = []  # the folder of the input that runs now


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if not _allowed:
        return
    if event == "open":
        path, _, flags = arguments
        if isinstance(path, (str, bytes, os.PathLike)) and flags & _WRITES:
            _inside(event, path)
    elif event in _PATHS:
        for place in _PATHS[event]:
            _inside(event, arguments[place], arguments[-1])
    elif event in _NEVER:
        raise OffenceError(f"{event} {arguments!r:.200}")


def _inside(event: str, path: Any, folder: Any = -1) -> None:
    """`folder`: a handle of the one that a relative path is seen from."""
    if isinstance(path, int):
        return
    root = Path(f"/proc/self/fd/{folder}") if isinstance(folder, int) and folder >= 0 else Path()
    real = os.path.realpath(root / os.fsdecode(path))
    if real != os.devnull and not f"{real}/".startswith(f"{_allowed[0]}/"):
        raise OffenceError(f"{event} outside of its folder: {real}")


def _late(signum: int, frame: Any) -> None:
    raise OffenceError(f"ran for {SECONDS:g} s")


@contextmanager
def watched(folder: Path) -> Iterator[None]:
    """Raises OffenceError inside for any of that."""
    if not getattr(sys, "_edgekd_watched", False):
        sys.addaudithook(_hook)  # for good: there is no way to take one away
        sys._edgekd_watched = True  # type: ignore[attr-defined]
    signal.signal(signal.SIGVTALRM, _late)
    scratch = tempfile.tempdir
    _allowed[:] = [os.path.realpath(folder)]
    tempfile.tempdir = _allowed[0]
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        _allowed.clear()
        signal.signal(signal.SIGVTALRM, signal.SIG_IGN)  # one that comes late ends nobody
        tempfile.tempdir = scratch
