"""What a process tells the one that started it: JSON lines on standard output.

Each stands behind a prefix, so that what a library prints cannot be taken for a record. The last is {"kind": "end"}:
without it the output was cut off.
"""

import json
import os
import sys
import threading
from collections.abc import Generator, Iterable
from contextlib import suppress
from pathlib import Path
from time import sleep
from typing import Any, NoReturn, TextIO

from edgekd.errors import EdgekdError, RefusedError

_PREFIX = "@edgekd "
_lent: list[str] = []


def asked() -> dict[str, Any]:
    """The one JSON job, the first line of standard input. The process ends when that is closed: whoever asked is gone,
    and no signal need reach this machine for it.
    """
    job: dict[str, Any] = json.loads(sys.stdin.readline())
    end_with_input()
    return job


def end_with_input() -> None:
    """End this process when its standard input is closed, whatever it does then."""
    threading.Thread(target=_wait_for_end, daemon=True).start()


def end_after(seconds: float) -> None:
    """End this process after so long, whatever it does then: also on a machine that nobody reaches any more."""
    late = threading.Timer(min(seconds, threading.TIMEOUT_MAX), os._exit, (1,))
    late.daemon = True
    late.start()


def lend(file: str) -> None:
    """A file that this process writes for whoever asked: it goes when that one is gone."""
    _lent.append(file)


def wait() -> NoReturn:
    """Until standard input is closed: what was told of, a lock or a file, is there until then."""
    while True:
        sleep(3600)


def _wait_for_end() -> None:
    # Not by sys.stdin: its lock would be held when the interpreter ends.
    while os.read(0, 4096):
        pass
    for file in _lent:
        with suppress(OSError):
            Path(file).unlink()
    os._exit(1)


def say(kind: str, to: TextIO | None = None, **values: Any) -> None:
    """Tell one record, on standard output or another stream."""
    print(_PREFIX + json.dumps({"kind": kind, **values}), file=to, flush=True)


def say_error(error: EdgekdError, to: TextIO | None = None) -> None:
    """Tell what ended the work, for `read` to raise there."""
    refused = isinstance(error, RefusedError)
    say("error", to, problem=error.problem, hint=error.hint, where=error.where, refused=refused)


def read(lines: Iterable[str]) -> Generator[dict[str, Any], None, None]:
    """The records among lines: objects with a `kind`, whatever else they hold.

    Raises the EdgekdError that one of them tells, and one where the output was cut off or holds what is no record.
    """
    last: dict[str, Any] = {"kind": None}
    try:
        for line in lines:
            _, found, text = line.partition(_PREFIX)
            if not found:
                continue
            last = _record(text)
            if last["kind"] == "error":
                kind = RefusedError if last.get("refused") else EdgekdError
                problem, hint, where = (str(last.get(part) or "") for part in ("problem", "hint", "where"))
                raise kind(problem.strip() or "an error without a word", hint, where)
            if last["kind"] is None:
                break
            yield last
    finally:
        # Who stops reading ends the process that tells: at once, not when its lines are no longer referred to.
        if isinstance(lines, Generator):
            lines.close()
    if last["kind"] != "end":
        raise EdgekdError("the agent's output was cut off: it ended without its last record", "Run it again.")


def _record(text: str) -> dict[str, Any]:
    """A line's record; of kind None where the line was cut off, or never was one."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    return found if isinstance(found, dict) and isinstance(found.get("kind"), str) else {"kind": None}
