"""What a process tells the one that started it: JSON lines on standard output.

Each stands behind a prefix, so that what a library prints cannot be taken for a record. The last is {"kind": "end"}:
without it the output was cut off.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any, TextIO

from edgekd.errors import EdgekdError, RefusedError

_PREFIX = "@edgekd "


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
    for line in lines:
        _, found, text = line.partition(_PREFIX)
        if not found:
            continue
        last = json.loads(text)
        match last["kind"]:
            case "error":
                kind = RefusedError if last["refused"] else EdgekdError
                raise kind(last["problem"], last["hint"], last["where"])
            case "bug":
                raise RuntimeError(last["trace"])
        yield last
    if last["kind"] != "end":
        raise EdgekdError("the worker's output was cut off", "Run it again.")
