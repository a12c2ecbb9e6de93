"""What is asked of a model on the command line: the texts given there, or a line of standard input each."""

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from edgekd.artifact import Artifact
from edgekd.errors import EdgekdError
from edgekd.reading import whole


def asked(folder: Path, texts: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """The rows that an artifact is to answer for: `texts` as one of them, or where there are none the lines of standard
    input.

    Raises EdgekdError where there are more texts than it takes, and for a line as `rows` does.
    """
    columns = Artifact.load(folder, check=False).manifest.text
    if len(texts) > len(columns):
        one = f'Put a text in quotation marks: "{" ".join(texts)}"'
        raise EdgekdError(f"{len(texts)} texts given, the model takes {len(columns)}", one)
    return iter([whole(tuple(texts))]) if texts else rows(sys.stdin.buffer, columns)


def rows(lines: Iterable[bytes], columns: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """A row a line: plain text, or JSON (a string, a list, an object with the columns).

    Raises EdgekdError with the line where one is blank, not UTF-8, begins as a list or an object and is no JSON, lacks
    a column or holds something else than text; and where there is no line at all.
    """
    number = 0
    for number, line in enumerate(lines, start=1):
        try:
            yield _row(line, columns)
        except EdgekdError as error:
            raise error.at(f"stdin:{number}") from None
    if not number:
        raise EdgekdError("standard input is empty", "Give a text in quotation marks, or one text a line.")


def _row(line: bytes, columns: Sequence[str]) -> tuple[str, ...]:
    try:
        text = line.decode().rstrip("\r\n")
    except UnicodeDecodeError as error:
        coding = "UTF-16" if line[:2] in (b"\xff\xfe", b"\xfe\xff") else "WINDOWS-1252"
        raise EdgekdError(
            f"byte 0x{line[error.start]:02x} is not UTF-8",
            f"Convert it: iconv -f {coding} -t UTF-8 FILE, and give what that prints.",
        ) from None
    if not text.strip():
        raise EdgekdError("the line is blank", "Leave it out: each line gets one answer.")
    value: Any = text
    first = text.lstrip()[0]
    if first in '"[{':
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            if first != '"':  # a sentence may begin with a quotation mark
                told = "it is nested too deeply"
                if isinstance(error, json.JSONDecodeError):
                    told = f"{error.msg} (column {error.colno})"
                raise EdgekdError(
                    f"the line begins as JSON and is none: {told}", "Mend it, or give the text as a JSON string."
                ) from None
    if isinstance(value, dict):
        if missing := [name for name in columns if name not in value]:
            raise EdgekdError(f"no field '{missing[0]}'", f"Each object needs {', '.join(columns)}.")
        value = [value[name] for name in columns]
    row = tuple(value) if isinstance(value, list) else (value,)
    if not all(isinstance(part, str) for part in row):
        raise EdgekdError("a text is no string", f"Give strings: {' and '.join(columns)}.")
    if len(row) != len(columns):
        raise EdgekdError(
            f"{len(row)} sentence{'s' * (len(row) != 1)} given, the model takes {len(columns)}",
            f"Give {' and '.join(columns)}.",
        )
    return whole(row)
