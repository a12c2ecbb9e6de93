"""Memory of this process, in bytes: resident now and at its peak; what is free, given back; and when none was left."""

import ctypes
import resource
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path

# What is said, in any case of letters, by PyTorch and CUDA, the system, ONNX Runtime and C++, in errors of their own.
_EXHAUSTED = (
    "out of memory",
    "can't allocate memory",
    "cannot allocate memory",
    "failed to allocate memory",
    "bad_alloc",
    "bad allocation",
)


def exhausted(error: BaseException) -> bool:
    """Whether it says that there was no memory left."""
    told = str(error).lower()
    return isinstance(error, MemoryError) or any(words in told for words in _EXHAUSTED)


def resident() -> int:
    """Now. Where the system has no /proc: the peak so far, so growth is then a lower bound."""
    return _status("VmRSS") or _peak()


def peak() -> int:
    """The largest so far. Linux keeps in ru_maxrss what the parent had when it started us, so VmHWM comes first."""
    return _status("VmHWM") or _peak()


def give_back() -> None:
    """Return to the system what is allocated to nobody: glibc keeps it, and a process that loads and closes models
    would be seen to hold one or two more than are open. Elsewhere allocators do so by themselves.
    """
    with suppress(AttributeError, OSError):
        _library().malloc_trim(0)


@cache
def _library() -> ctypes.CDLL:
    """The C library. Opened once: each opening makes classes of its own, which a process that opens many keeps."""
    return ctypes.CDLL(None)


def _status(field: str) -> int:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:")), 0)


def _peak() -> int:
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest if sys.platform == "darwin" else largest * 1024
