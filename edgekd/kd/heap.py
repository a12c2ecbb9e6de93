"""The C library's heap while a model trains: freed blocks are kept.

A dense embedding gradient is tens of megabytes. glibc hands such a block back to the system at every free, so each step
would fault all its pages in anew: a quarter of a step of a small student on a CPU.
"""

import ctypes
import platform
from collections.abc import Iterator
from contextlib import contextmanager

# malloc.h; the defaults are mallopt(3)'s.
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
_KEEP = {_MMAP_MAX: 0, _TRIM_THRESHOLD: -1}
_DEFAULT = {_MMAP_MAX: 65536, _TRIM_THRESHOLD: 128 * 1024}


@contextmanager
def kept_heap() -> Iterator[None]:
    """Inside, memory that is freed stays with the process; afterwards it goes back. Another C library is left alone."""
    if platform.libc_ver()[0] != "glibc":
        yield
        return
    libc = ctypes.CDLL(None)
    _set(libc, _KEEP)
    try:
        yield
    finally:
        _set(libc, _DEFAULT)
        libc.malloc_trim(0)


def _set(libc: ctypes.CDLL, options: dict[int, int]) -> None:
    for option, value in options.items():
        libc.mallopt(option, value)
