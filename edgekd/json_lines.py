"""JSON lines that cannot be read: which of them, and why."""

import json
from pathlib import Path

from edgekd.errors import EdgekdError

_FORM = 'Write an object a line, such as {"sentence": "A text.", "label": "a label"}.'


def check(file: Path) -> None:
    """Raises EdgekdError with the first line that is no object, and the column where it stops being one."""
    for number, line in enumerate(file.read_text(encoding="utf-8-sig").split("\n"), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except RecursionError:
            raise EdgekdError("the line is nested too deeply", _FORM, f"{file}:{number}") from None
        except ValueError as error:
            told, column = getattr(error, "msg", str(error)), getattr(error, "colno", 1)
            raise EdgekdError(f"the line is no JSON: {told}", _FORM, f"{file}:{number}:{column}") from None
        if not isinstance(value, dict):
            raise EdgekdError("the line is no JSON object", _FORM, f"{file}:{number}")
