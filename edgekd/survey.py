"""A user's own file, looked at before a recipe is written for it: which columns, which task, and what to beware of."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from edgekd.data_options import DataOptions
from edgekd.errors import EdgekdError, nearest
from edgekd.paths import expanded, is_there
from edgekd.tables import Table, Tables, empty, from_files

_TASKS = ("classification", "regression")
_LABEL_NAMES = ("label", "labels", "target", "class", "category", "sentiment", "stars", "rating", "score")
_MOST_LABELS = 50  # distinct values, above which words are taken for texts
_FEW, _RARE = 200, 20  # rows in all, and of a label, that are few to learn from
_UNEVEN = 4  # times the rarest label, from which accuracy flatters
_PIECES = 1.5  # tokens a word of a text, and three around them
_LENGTHS = (32, 64, 128, 256, 512)
_LOOKED_AT, _OTHERS = 500, 0.01  # texts whose letters are counted; their share that English does not have

_HEADLESS = (
    "Where the files have no header line, give each the same one, or name the columns in a recipe of your own, such as "
    "data: {source: FOLDER, columns: [origin, label, mark, sentence], text: sentence, quoting: none}. For a task of "
    "GLUE add its preset, such as preset: cola. edgekd explain data lists all fields."
)
_TAGGED = (
    "Begin with recipes/ner_dictionary.yaml, and set data: {source: FOLDER, task: tokens, text: [words], label: tags}."
)


@dataclass(frozen=True)
class Survey:
    """What a recipe for the file says; `advice` is a sentence each."""

    text: tuple[str, ...]
    label: str
    task: str
    metric: str
    max_length: int
    rows: int
    foreign: bool
    gaps: bool  # rows without a text or a label, which the recipe leaves out
    advice: tuple[str, ...]


def survey(source: str, text: Sequence[str] = (), label: str = "", task: str = "") -> Survey:
    """Look at the train split of a file or folder; what is not given is guessed.

    Raises EdgekdError where it cannot be read, a column is not there, or nothing in it looks like a text or a label.
    """
    if not is_there(expanded(source)):
        raise EdgekdError(f"no such file or folder: {source}", "Name another: --data FILE.")
    options = DataOptions(source=source, text=tuple(text) or ("text",), label=label or "label")
    tables = from_files(options, 42)
    table = tables.train
    if task and task not in _TASKS:
        raise EdgekdError(f"no recipe is written for task '{task}'", nearest(task, _TASKS))
    if len(table) < 2:
        hint = "It needs a column of texts and one of labels, parted by ',' or by a tab in a .tsv."
        raise EdgekdError(f"{source} has one column, '{next(iter(table), '')}'", hint)
    for name in (*text, *filter(None, [label])):
        if name not in table:
            raise EdgekdError(f"{source} has no column '{name}'", nearest(name, table))
    lists = {
        name for name, cells in table.items() if any(isinstance(cell, (list, dict)) for cell in cells[:_LOOKED_AT])
    }
    if chosen := lists.intersection((*text, label)) or (lists if len(table) - len(lists) < 2 else set()):
        problem = (
            f"column '{min(chosen)}' of {source} holds lists, as tagged words do, and no recipe is written for those"
        )
        raise EdgekdError(problem, _TAGGED)
    table = {name: cells for name, cells in table.items() if name not in lists}
    label = label or _label(source, table, text)
    text = tuple(text) or (_text(source, table, label),)
    if missing := next((name for name in (*text, label) if name not in tables.dev), None):
        problem = f"dev has no column '{missing:.60}', which train has: the splits' columns, or first lines, differ"
        raise EdgekdError(problem, _HEADLESS, tables.place("dev", -1))
    cells = [str(cell).strip() for cell in table[label] if not empty(cell)]
    if not cells:
        raise EdgekdError(f"column '{label}' of {source} is empty", "Name another: --label COLUMN.")
    gaps = list(_missing(tables, (*text, label)))
    table = tables.filled((*text, label)).train
    if not table[label]:
        raise EdgekdError(f"no row of {source} has a text and a label", "Name other columns: --text, --label.")
    cells = [str(cell).strip() for cell in table[label]]
    counts = Counter(cells)
    task = task or ("regression" if _measured(cells) else "classification")
    metric = "accuracy" if len(counts) == 2 and not _uneven(counts) else "macro_f1"
    tokens = _tokens(table, text)
    length = next((size for size in _LENGTHS if size >= tokens[int(0.98 * (len(tokens) - 1))]), _LENGTHS[-1])
    foreign = _foreign(table, text)
    advice = [*gaps, *_header(label, counts), *_texts(tokens, length, foreign)]
    if task == "classification" and len(counts) < 2:
        problem = f"the only label is '{next(iter(counts))}', in column '{label}' of {source}"
        raise EdgekdError(problem, "A classification needs two; or name another column: --label COLUMN.")
    if task == "classification":
        advice += _labels(counts)
    return Survey(
        text=text,
        label=label,
        task=task,
        metric="pearson" if task == "regression" else metric,
        max_length=length,
        rows=len(tokens),
        foreign=foreign,
        gaps=bool(gaps),
        advice=tuple(advice),
    )


def _label(source: str, table: Table, text: Sequence[str]) -> str:
    """The column with a label's name, else the one with the fewest values that repeat."""
    others = [name for name in table if name not in text]
    named = [name for wanted in _LABEL_NAMES for name in others if name.lower() == wanted]
    few = sorted((len(set(map(str, table[name]))), name) for name in others)
    found = named or [name for count, name in few if 1 < count <= min(_MOST_LABELS, len(table[name]) // 2)]
    if not found and (same := [name for count, name in few if count == 1]):
        problem = f"the only label is '{table[same[0]][0]}', in column '{same[0]}' of {source}"
        raise EdgekdError(problem, "A classification needs two; or name another column: --label COLUMN.")
    if not found:
        raise EdgekdError(f"no column of {source} looks like a label", f"Name it: --label, one of {', '.join(table)}.")
    return found[0]


def _text(source: str, table: Table, label: str) -> str:
    """The column with the longest cells."""
    lengths = {name: sum(len(str(cell)) for cell in table[name]) for name in table if name != label}
    if not lengths:
        raise EdgekdError(f"no column of {source} looks like a text", f"Name it: --text, one of {', '.join(table)}.")
    return max(lengths, key=lambda name: lengths[name])


def _measured(cells: Sequence[str]) -> bool:
    """Whether the cells are numbers on a scale, and no numbers of labels."""
    try:
        values = [float(cell) for cell in cells]
    except ValueError:
        return False
    whole = all(math.isfinite(value) and value == int(value) for value in values)
    return not whole or len(set(values)) > _MOST_LABELS


def _tokens(table: Table, text: Sequence[str]) -> list[float]:
    """About how many tokens each row has, in rising order."""
    rows = zip(*(table[name] for name in text), strict=True)
    return sorted(_PIECES * sum(len(str(cell).split()) for cell in row) + 3 for row in rows)


def _foreign(table: Table, text: Sequence[str]) -> bool:
    """Whether letters occur that English does not have."""
    letters = [letter for name in text for cell in table[name][:_LOOKED_AT] for letter in str(cell) if letter.isalpha()]
    return sum(not letter.isascii() for letter in letters) > _OTHERS * len(letters)


def _uneven(counts: Counter[str]) -> bool:
    return max(counts.values()) > _UNEVEN * min(counts.values())


def _missing(tables: Tables, columns: Sequence[str]) -> Iterator[str]:
    for name in columns:
        for role in ("train", "dev"):
            if found := [row for row, cell in enumerate(tables[role].get(name, [])) if empty(cell)]:
                where = tables.place(role, found[0])
                yield (
                    f"column '{name}' has no value in {len(found)} rows of {role}, the first at {where}: they are left "
                    "out (empty: drop). Fill them in, or let a run stop there (empty: refuse)."
                )


def _header(label: str, counts: Counter[str]) -> Iterator[str]:
    if label in counts or _measured([label]):
        yield (
            f"the label's column is named '{label}', as a row's label might be: if the first line is no header, "
            "write one above it, or its row is lost."
        )


def _texts(tokens: Sequence[float], length: int, foreign: bool) -> Iterator[str]:
    if len(tokens) < _FEW:
        yield f"{len(tokens)} rows are few to learn from, and scores on the rows held out say little."
    if cut := sum(count > length for count in tokens):
        yield f"about {cut} of {len(tokens)} texts are longer than max_length, {length} tokens, and are cut there."
    if foreign:
        yield "the texts are not all English: the teacher is a multilingual encoder, which needs the model hub."


def _labels(counts: Counter[str]) -> Iterator[str]:
    if rare := [f"'{name}' ({count})" for name, count in counts.items() if count < _RARE]:
        yield f"labels with few rows are hardly learnt: {', '.join(rare[:5])}{' ...' if len(rare) > 5 else ''}."
    if _uneven(counts):
        name, most = counts.most_common(1)[0]
        share = most / counts.total()
        yield f"labels are uneven, always '{name}' would be right in {share:.0%}: macro_f1 counts every label alike."
