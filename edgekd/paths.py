"""Paths as a recipe or a manifest names them: also such that no file can have."""

from pathlib import Path

from edgekd.errors import EdgekdError


def is_there(path: Path | str) -> bool:
    """Whether something lies there, as far as it can be told."""
    try:
        return Path(path).exists()
    except OSError:  # too long, or behind a folder that may not be read
        return False


def is_file(path: Path | str) -> bool:
    """As `is_there`, of a file."""
    try:
        return Path(path).is_file()
    except OSError:
        return False


def expanded(path: Path | str) -> Path:
    """With ~ and ~USER as the folders that they mean. Raises EdgekdError where there is no such user."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise EdgekdError(f"{path}: there is no such user", "Write the folder out.") from None
