"""Temporary folders that nobody has to clear up after: what a killed process left, a later one removes.

Each is locked by the process that made it, and the kernel's locks end with their process.
"""

import os
import re
import shutil
import socket
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from hashlib import sha256
from pathlib import Path

_DRAWN = "[a-z0-9_]{8}"  # what tempfile puts behind a prefix
_BOOT = Path("/proc/sys/kernel/random/boot_id")


@contextmanager
def folder(prefix: str = "edgekd-", within: Path | None = None) -> Iterator[Path]:
    """A new folder, removed in the end. `within`: default, where the system keeps such."""
    place, prefix = within or Path(tempfile.gettempdir()), prefix + mark()
    _clear(place, prefix)
    path, held = _made(place, prefix)
    try:
        yield path
    finally:
        _remove(path)
        if held is not None:
            os.close(held)


@cache
def mark() -> str:
    """Of names here: no folder of somebody's own is taken for one of these, nor one of another machine, since on
    storage that several share each has locks of its own.
    """
    boot = _BOOT.read_text() if _BOOT.is_file() else ""
    return f"tmp-{sha256(f'{socket.gethostname()} {boot}'.encode()).hexdigest()[:6]}-"


def _made(place: Path, prefix: str) -> tuple[Path, int | None]:
    while True:
        path = Path(tempfile.mkdtemp(prefix=prefix, dir=place))
        held = _lock(path, wait=True)
        if path.is_dir():  # else another process cleared it away before it was locked
            return path, held
        if held is not None:
            os.close(held)


@cache
def _clear(place: Path, prefix: str) -> None:
    """Remove this user's folders that no process holds; once in a process."""
    named = re.compile(re.escape(prefix) + _DRAWN)
    with suppress(OSError), os.scandir(place) as found:
        for entry in found:
            with suppress(OSError):
                ours = named.fullmatch(entry.name) and entry.stat(follow_symlinks=False).st_uid == os.getuid()
                if ours and (held := _lock(Path(entry.path))) is not None:
                    _remove(Path(entry.path))
                    os.close(held)


def _remove(path: Path) -> None:
    """All of it, also folders that may not be written, as copies from a store that is read only have them."""
    for folder, _, _ in os.walk(path):
        with suppress(OSError):
            Path(folder).chmod(stat.S_IRWXU)
    shutil.rmtree(path, ignore_errors=True)


def _lock(path: Path, wait: bool = False) -> int | None:
    """A folder's lock as an open file; None where another process has it, or there is no such lock here."""
    try:
        import fcntl

        opened = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except (ImportError, AttributeError, OSError):  # no Unix; no folder, or no more
        return None
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        os.close(opened)
        return None
    return opened
