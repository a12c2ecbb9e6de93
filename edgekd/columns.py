"""Files of tagged words: a word and its tag a line, a blank line after each sentence, as in CoNLL's tasks."""

from collections.abc import Iterator
from pathlib import Path

from edgekd.errors import EdgekdError

SUFFIXES = (".bio", ".bmes", ".bioes", ".conll")
WORDS, TAGS = "words", "tags"

Sentence = tuple[int, list[tuple[str, str]]]


def read(file: Path) -> dict[str, list[list[str]]]:
    """Sentences as two columns of lists. Of more cells a line the first is the word and the last the tag.

    Cells are parted by tabs or, where a line has none, by spaces. Raises EdgekdError for a line of one cell.
    """
    sentences = [cells for _, cells in _sentences(file)]
    return {
        WORDS: [[word for word, _ in cells] for cells in sentences],
        TAGS: [[tag for _, tag in cells] for cells in sentences],
    }


def line(file: Path, row: int) -> int:
    """The line, from 1, on which a sentence begins."""
    return next(number for at, (number, _) in enumerate(_sentences(file)) if at == row)


def _sentences(file: Path) -> Iterator[Sentence]:
    start, cells = 1, list[tuple[str, str]]()
    lines = file.read_text(encoding="utf-8-sig").split("\n")
    for number, text in enumerate([*lines, ""], start=1):
        parts = text.rstrip("\r").split("\t") if "\t" in text else text.split()
        if not text.strip() or parts[0] == "-DOCSTART-":
            if cells:
                yield start, cells
            start, cells = number + 1, []
        elif len(parts) == 1:
            raise EdgekdError("one cell in this line", "A line is a word and its tag.", f"{file}:{number}")
        else:
            cells.append((parts[0], parts[-1].strip()))
