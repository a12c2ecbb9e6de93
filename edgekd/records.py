"""What a process tells the one that started it: JSON lines on standard output.

Each stands behind a prefix, so that what a library prints cannot be taken for a record. The last is {"kind": "end"}:
without it the output was cut off.
"""

import json
import os
import sys
import threading
from collections.abc import Generator, Iterable, Iterator
from typing import Any, TextIO

from edgekd.errors import EdgekdError, RefusedError

_PREFIX = "@edgekd "


def asked() -> dict[str, Any]:
    """The one JSON job, the first line of standard input. The process ends when that is closed: whoever asked is gone,
    and no signal need reach this machine for it.
    """
    job: dict[str, Any] = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_input, daemon=True).start()
    return job


def end_after(seconds: float) -> None:
    """End this process after so long, whatever it does then: also on a machine that nobody reaches any more."""
    late = threading.Timer(min(seconds, threading.TIMEOUT_MAX), os._exit, (1,))
    late.daemon = True
    late.start()


def _end_with_input() -> None:
    # Not by sys.stdin: its lock would be held when the interpreter ends.
    while os.read(0, 4096):
        pass
    os._exit(1)


def say(kind: str, to: TextIO | None = None, **values: Any) -> None:
    """Tell one record, on standard output or another stream."""
    print(_PREFIX + json.dumps({"kind": kind, **values}), file=to, flush=True)


def say_error(error: EdgekdError, to: TextIO | None = None) -> None:
    """Tell what ended the work, for `read` to raise there."""
    refused = isinstance(error, RefusedError)
    say("error", to, problem=error.problem, hint=error.hint, where=error.where, refused=refused)


def read(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """The records among lines. Raises the EdgekdError that one of them tells, and one where the output was cut off."""
    last: dict[str, Any] = {"kind": None}
    try:
        for line in lines:
            _, found, text = line.partition(_PREFIX)
            if not found:
                continue
            try:
                last = json.loads(text)
            except ValueError:  # the line itself was cut off
                break
            match last["kind"]:
                case "error":
                    kind = RefusedError if last["refused"] else EdgekdError
                    raise kind(last["problem"], last["hint"], last["where"])
                case "bug":
                    raise RuntimeError(last["trace"])
            yield last
    finally:
        # Who stops reading ends the process that tells: at once, not when its lines are no longer referred to.
        if isinstance(lines, Generator):
            lines.close()
    if last["kind"] != "end":
        raise EdgekdError("the agent's output was cut off: it ended without its last record", "Run it again.")
