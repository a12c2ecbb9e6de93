"""Temporary folders that nobody has to clear up after: what a killed process left, a later one removes.

Each is locked by the process that made it, and the kernel's locks end with their process.
"""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

_MARK = "tmp-"  # so that no folder of somebody's own is taken for one of these
_DRAWN = "[a-z0-9_]{8}"  # what tempfile puts behind a prefix


@contextmanager
def folder(prefix: str = "edgekd-", within: Path | None = None) -> Iterator[Path]:
    """A new folder, removed in the end. `within`: default, where the system keeps such."""
    place = within or Path(tempfile.gettempdir())
    _clear(place, prefix + _MARK)
    path, held = _made(place, prefix + _MARK)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        if held is not None:
            os.close(held)


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
                    shutil.rmtree(entry.path, ignore_errors=True)
                    os.close(held)


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
