"""Delimited text, looked at before it is read: its separator, its header, and rows that are too wide."""

import csv
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edgekd.errors import EdgekdError


def separator(file: Path) -> str:
    """A tab in a .tsv. In a .csv a comma, or the semicolon or tab of a first line that holds no comma."""
    if file.suffix == ".tsv":
        return "\t"
    with file.open(encoding="utf-8-sig") as stream:
        first = next(filter(str.strip, stream), "")
    return next((mark for mark in ",;\t" if mark in first), ",")


def header(file: Path, settings: Mapping[str, Any]) -> list[str]:
    """The columns' names: those that are told, or the first row that holds something."""
    with _rows(file, settings) as rows:
        return list(settings.get("names") or next(rows, (0, []))[1])


_MOST = 1_000  # columns: readers take time by their square, and nobody names one among so many


def check_width(file: Path, settings: Mapping[str, Any]) -> None:
    """Raises EdgekdError at the first row that is wider than the header, and for a header of more than 1,000 columns.

    The first row must be as wide: the reader would take a cell too many as a row's number.
    """
    wide = len(header(file, settings))
    if wide > _MOST:
        hint = f"Up to {_MOST:,} are read. Is {settings['delimiter']!r} between them? Keep what is needed."
        raise EdgekdError(f"{wide:,} columns", hint, f"{file}:1")
    with _rows(file, settings) as rows:
        if not settings.get("names"):
            next(rows, None)
        for number, (line, row) in enumerate(rows):
            if len(row) > wide or (number == 0 and len(row) != wide):
                raise EdgekdError(
                    f"{len(row)} cells in this row, {wide} columns",
                    f"Put quotation marks around a cell with '{settings['delimiter']}' in it; check 'columns' too.",
                    f"{file}:{line}",
                )


@contextmanager
def _rows(file: Path, settings: Mapping[str, Any]) -> Iterator[Iterator[tuple[int, list[str]]]]:
    """The rows that hold something, each with its last line; none after one that Python's reader cannot take."""
    with file.open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.reader(stream, delimiter=settings["delimiter"], quoting=settings.get("quoting", csv.QUOTE_MINIMAL))

        def found() -> Iterator[tuple[int, list[str]]]:
            try:
                yield from ((reader.line_num, row) for row in reader if row)
            except csv.Error:  # a cell beyond its limit: left to the reader of the whole file
                return

        yield found()
