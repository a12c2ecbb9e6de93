"""Plain text files, one text a line."""

from pathlib import Path

from edgekd.errors import EdgekdError


def lines(file: Path) -> list[str]:
    """The lines that hold something. Raises EdgekdError where there are none, or the file cannot be read as UTF-8."""
    try:
        found = [line for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise EdgekdError(f"{file} cannot be read: {error}", "It is UTF-8 text, one text a line.") from None
    if not found:
        raise EdgekdError(f"{file} holds no text", "It is UTF-8 text, one text a line.")
    return found
