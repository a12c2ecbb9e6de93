"""A command as a stream of lines: what every connection runs, whichever program carries it to the device."""

import contextlib
import os
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import IO

from edgekd.errors import EdgekdError

# Set for edgekd's own training, where nobody has set it; other processes run as their libraries' defaults have it.
# OpenMP threads spin while they wait, so training slows fortyfold when another process takes one of two cores, and
# without any spinning it takes twice as long when none does: a short spin is near the best of both. oneDNN keeps the
# code of 1,024 products, one for each length of a batch, which no training meets again soon enough: 100 MB for nothing.
# Read once, when torch loads.
KERNELS = "ONEDNN_PRIMITIVE_CACHE_CAPACITY"
TRAINING = {"GOMP_SPINCOUNT": "1000", KERNELS: "128"}
SERVING_KERNELS = "32"  # what a process that serves by oneDNN sets: a training after it wants more
_OURS = {*TRAINING.items(), (KERNELS, SERVING_KERNELS)}


def for_training() -> None:
    """Set this process's environment for training, before torch is loaded."""
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", TRAINING["GOMP_SPINCOUNT"])
    if os.environ.get(KERNELS, SERVING_KERNELS) == SERVING_KERNELS:
        os.environ[KERNELS] = TRAINING[KERNELS]


def inherited() -> dict[str, str]:
    """This process's environment without what edgekd set for itself: what a user set stays."""
    return dict(item for item in os.environ.items() if item not in _OURS)


# Characters: of a line, which may hold the times of an hour, and of a line of standard error. A device may send on.
_LINE, _ERROR_LINE = 2**28, 2000


class EndedError(EdgekdError):
    """A command that failed or ran over; the hint is the end of its standard error."""

    status: int | None = None  # its exit status, None where it ran over


def lines(
    argv: Sequence[str], env: Mapping[str, str], stdin: str, deadline: float, name: str, hold: bool = False
) -> Iterator[str]:
    """Run a command, yield its standard output line by line.

    `deadline` is in seconds, or infinite. `hold`: its standard input stays open until it has ended.
    Raises EndedError with the end of standard error when it fails or runs over, EdgekdError where it cannot start or a
    line has no end.
    """
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
            env=dict(env),
        )
    except OSError as error:
        raise EdgekdError(f"{argv[0]}: {error.strerror}", "Is it installed, and named right?") from None
    assert process.stdin and process.stdout and process.stderr
    late = threading.Timer(min(deadline, threading.TIMEOUT_MAX), process.kill)
    late.start()
    errors, standard_error = deque[str](maxlen=15), process.stderr
    # Standard error is drained beside, or a full pipe would stop the worker.
    drain = threading.Thread(target=lambda: errors.extend(_cut(standard_error, _ERROR_LINE)), daemon=True)
    drain.start()
    try:
        try:
            process.stdin.write(stdin)
            process.stdin.flush()
            if not hold:
                process.stdin.close()
        except BrokenPipeError:
            pass  # it died early; its status and standard error say why
        for line in _cut(process.stdout, _LINE):
            if len(line) == _LINE:
                raise EdgekdError(f"{name} said a line without end", "Is it edgekd's own agent that runs there?")
            yield line
        status = process.wait()
        drain.join(timeout=5)
        if status != 0:
            over = status < 0 and not late.is_alive()
            reason = f"ran over its {deadline:.0f} s" if over else f"ended with status {status}"
            told = "".join(errors).strip()
            if not told and status == -signal.SIGKILL and not over:
                told = "It was killed: by someone, or for lack of memory. Run it again; it goes on where it stopped."
            ended = EndedError(f"{name} {reason}", told)
            ended.status = None if over else status
            raise ended
    finally:
        late.cancel()
        if process.poll() is None:
            process.kill()
            process.wait()
        for stream in (process.stdin, process.stdout):
            with contextlib.suppress(BrokenPipeError):
                stream.close()


def _cut(stream: IO[str], longest: int) -> Iterator[str]:
    """Lines, those that are longer in pieces."""
    return iter(lambda: stream.readline(longest), "")
