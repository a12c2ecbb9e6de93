"""Plain text files, one text a line."""

from pathlib import Path

from edgekd.decoding import decoded
from edgekd.errors import EdgekdError


def lines(file: Path) -> list[str]:
    """The lines that hold something. Raises EdgekdError where there are none, or the file cannot be read as UTF-8."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise EdgekdError(f"{file} cannot be read: {error.strerror}", "It is UTF-8 text, one text a line.") from None
    found = [line for line in decoded(content, str(file)).splitlines() if line.strip()]
    if not found:
        raise EdgekdError(f"{file} holds no text", "It is UTF-8 text, one text a line.")
    return found
