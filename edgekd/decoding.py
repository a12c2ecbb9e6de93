"""Bytes of a file that somebody wrote, as text or as JSON."""

import json
import shlex
from pathlib import Path
from typing import Any

from edgekd.errors import EdgekdError

# How files begin that are no text, and what makes text of them.
_NO_TEXT = {
    b"\x1f\x8b": "It is compressed: unpack it, with gunzip.",
    b"PK\x03\x04": "It is an archive or a spreadsheet: unpack it, or save it as CSV.",
    b"PAR1": "It is Parquet: name it so, .parquet.",
    b"\xff\xfe": "It is UTF-16. Convert it: iconv -f UTF-16 -t UTF-8 {name} > {made}",
    b"\xfe\xff": "It is UTF-16. Convert it: iconv -f UTF-16 -t UTF-8 {name} > {made}",
}
_WINDOWS = "Convert it: iconv -f WINDOWS-1252 -t UTF-8 {name} > {made}"


def json_object(file: Path) -> dict[str, Any]:
    """A file's JSON object. Raises ValueError, which says why, where it holds none, and OSError as reading does."""
    try:
        found = json.loads(file.read_bytes().decode())
    except UnicodeDecodeError as error:
        raise ValueError(f"byte 0x{error.object[error.start]:02x} is not UTF-8") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(found, dict):
        raise ValueError("it holds no object")
    return found


def decoded(content: bytes, place: str) -> str:
    """Bytes as text. Raises EdgekdError with line and column, behind the file's `place`, where they are not UTF-8, or
    NUL, which no text has.
    """
    try:
        text, at = content.decode(), content.find(0)
    except UnicodeDecodeError as error:
        text, at = "", error.start
    if at < 0:
        return text
    hint = next((hint for start, hint in _NO_TEXT.items() if content.startswith(start)), _WINDOWS)
    if content[at] == 0 and hint is _WINDOWS:
        hint = "Take it out. Is it a text file?"
    line, column = content.count(b"\n", 0, at) + 1, at - content.rfind(b"\n", 0, at)
    name = place.rpartition("/")[2]
    names = {"name": shlex.quote(name), "made": shlex.quote(f"utf8_{name}")}
    problem = f"byte 0x{content[at]:02x} is not UTF-8" if content[at] else "the character NUL is no text"
    raise EdgekdError(problem, hint.format(**names), f"{place}:{line}:{column}")
