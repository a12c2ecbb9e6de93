"""Reading rows: files by the library `datasets`, and data sets of the Hugging Face hub, as columns of cells."""

import csv
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekd import columns, delimited, json_lines, receipts
from edgekd.data_options import SUFFIXES, DataOptions
from edgekd.decoding import decoded
from edgekd.errors import EdgekdError, nearest
from edgekd.paths import expanded, is_file, is_there
from edgekd.task import TASKS

if TYPE_CHECKING:
    from datasets import Dataset

_MOST_COLUMNS = 10_000
Table = Mapping[str, list[Any]]
# Reader of `datasets` by the file's ending.
_READERS = {".csv": "csv", ".tsv": "csv", ".jsonl": "json", ".json": "json", ".parquet": "parquet"}
_FORMS = {
    "csv": "Check the file's form, 'columns' and 'quoting'.",
    "json": "It holds a list of objects, or an object a line.",
    "parquet": "Was it copied whole? Write it again.",
}
# Names under which a folder keeps a split, most usual first.
_STEMS = {"train": ("train", "training"), "dev": ("dev", "validation", "valid", "eval", "test")}


@dataclass(frozen=True)
class Tables:
    """Both splits as columns, the label names the source declares, and where a row stands (-1: its split)."""

    train: Table
    dev: Table
    place: Callable[[str, int], str]
    names: tuple[str, ...] = ()
    dropped: Mapping[str, int] = field(default_factory=dict)

    def __getitem__(self, role: str) -> Table:
        return {"train": self.train, "dev": self.dev}[role]

    def filled(self, columns: Sequence[str]) -> "Tables":
        """Without the rows that have an empty cell in one of these columns, which are there."""
        kept = {
            role: [
                row
                for row, cells in enumerate(zip(*(self[role][column] for column in columns), strict=True))
                if not any(map(empty, cells))
            ]
            for role in ("train", "dev")
        }
        train, dev = ({name: [cells[row] for row in kept[role]] for name, cells in self[role].items()} for role in kept)
        dropped = {role: len(self[role][columns[0]]) - len(rows) for role, rows in kept.items()}

        def place(role: str, row: int) -> str:
            return self.place(role, row if row < 0 else kept[role][row])

        return replace(self, train=train, dev=dev, place=place, dropped=dropped)

    def check(self, columns: Sequence[str]) -> None:
        """Raises EdgekdError at the first empty split, or empty cell of these columns, which are there."""
        for role in ("train", "dev"):
            table = self[role]
            if not table[columns[0]]:
                raise EdgekdError(f"{role} has no rows", "Name a source with rows.", self.place(role, -1))
            for column in columns:
                missing = next((row for row, cell in enumerate(table[column]) if empty(cell)), None)
                if missing is not None:
                    where = self.place(role, missing)
                    raise EdgekdError(f"column '{column}' has no value", _FILL_IN, where)


_FILL_IN = "Fill it in, or leave all such rows out: data.empty: drop."


def empty(cell: Any) -> bool:
    """Whether a cell holds nothing, or white space."""
    return cell is None or cell != cell or (isinstance(cell, str) and not cell.strip())


def check_columns(told: str, known: Iterable[str], options: DataOptions) -> None:
    """Raises EdgekdError, which knows the option, where a column of the text or the label is none of `told`'s."""
    names = list(known)
    fields: list[tuple[tuple[int | str, ...], str]] = [(("text", at), name) for at, name in enumerate(options.text)]
    for path, column in [*fields, (("label",), options.label)]:
        if column not in names:
            hint = f"{nearest(column, names)} Set data.{path[0]}.".strip()
            raise EdgekdError(f"{told} has no column '{column}'", hint, path=("data", *path))
        if names.count(column) > 1:
            raise EdgekdError(
                f"{told} has column '{column}' twice", "Give each a name of its own.", path=("data", *path)
            )


def check_headers(options: DataOptions) -> bool:
    """As `check_columns`, of each delimited file of a local source; whether all of its files are such."""
    files = find(options).values()
    delimiting = [file for file in files if _reader(file) == "csv"]
    for file in delimiting:
        header = delimited.header(file, _delimited(file, options))
        if len(header) == 1 and not options.columns:
            hint = "Part columns by ',' or ';', or by a tab in a .tsv."
            raise EdgekdError(f"{file} has one column, '{header[0]}'", hint, path=_SOURCE)
        if len(header) > _MOST_COLUMNS:
            hint = "Is each row on a line of its own? Leave out what is not read."
            raise EdgekdError(f"{file} has {len(header):,} columns", hint, path=_SOURCE)
        check_columns(str(file), header, options)
    return len(delimiting) == len(files)


def from_hub(options: DataOptions, commit: str) -> Tables:
    """A data set of the hub at a commit. Raises EdgekdError where it cannot be read or has no such split."""
    from datasets import ClassLabel, disable_progress_bars, load_dataset

    disable_progress_bars()
    try:
        loaded = load_dataset(options.source, options.config, revision=commit)
    except Exception as error:  # datasets, the hub's client and pyarrow each raise their own
        raise EdgekdError(
            f"data set {options.source} could not be read: {type(error).__name__}: {error}",
            "Check source, config and the network.",
        ) from None
    parts = []
    for name in (options.splits.train or "train", options.splits.dev or "validation"):
        if name not in loaded:
            raise EdgekdError(f"data set {options.source} has no split '{name}'", nearest(name, loaded))
        parts.append({column: list(loaded[name][column]) for column in loaded[name].column_names})
    feature = loaded[options.splits.train or "train"].features.get(options.label)
    feature = getattr(feature, "feature", feature)  # of each of a list's entries
    names = tuple(feature.names) if isinstance(feature, ClassLabel) else ()

    def place(role: str, row: int) -> str:
        return f"{options.source}, {role}" + (f" row {row + 1}" if row >= 0 else "")

    return Tables(parts[0], parts[1], place, names)


def from_files(options: DataOptions, seed: int) -> Tables:
    """A file, or a folder with a file a split. Where there is one file only, a seeded share of it is the dev split."""
    files = find(options)
    tables = {role: _read(file, options) for role, file in files.items()}
    kept: Mapping[str, Any] = {role: range(len(next(iter(table.values()), []))) for role, table in tables.items()}
    if "dev" not in tables:
        tables, kept = _hold_out(tables["train"], options.dev_fraction, seed)

    def place(role: str, row: int) -> str:
        """file:line, right as long as no quoted cell runs over a line's end."""
        file = files.get(role, files["train"])
        if row < 0 or file.suffix == ".parquet":
            return str(file) if row < 0 else f"{file}, row {kept[role][row] + 1}"
        if file.suffix in columns.SUFFIXES:
            return f"{file}:{columns.line(file, kept[role][row])}"
        header = 0 if options.columns or file.suffix in {".json", ".jsonl"} else 1
        return f"{file}:{kept[role][row] + 1 + header}"

    return Tables(tables["train"], tables["dev"], place)


def find(options: DataOptions) -> dict[str, Path]:
    """role -> file of a local source; no 'dev' where one file holds all rows."""
    root = expanded(options.source)
    if not is_there(root):
        seen = "" if root.is_absolute() else f", seen from {Path.cwd()}"
        raise EdgekdError(f"no such file or folder: {root}{seen}", "Set data.source.", path=_SOURCE)
    if root.is_file():
        _reader(root)
        return {"train": root}
    found: dict[str, Path] = {}
    for role, wanted in (("train", options.splits.train), ("dev", options.splits.dev)):
        names = [f"{stem}{suffix}" for stem in ((wanted,) if wanted else _STEMS[role]) for suffix in SUFFIXES]
        file = next((root / name for name in names if is_file(root / name)), None)
        if file is not None:
            found[role] = file
        elif wanted:
            there = {entry.stem for entry in root.iterdir() if entry.suffix in SUFFIXES}
            path = ("data", "splits", role)
            raise EdgekdError(f"{root} holds no split '{wanted}'", nearest(wanted, there), path=path)
    if "train" not in found:
        hint = f"Name one train{', train'.join(SUFFIXES)}."
        raise EdgekdError(f"{root} holds no train file", hint, path=_SOURCE)
    return found


_SOURCE = ("data", "source")


def checked_bytes(file: Path) -> bytes:
    """A text file's bytes. Raises EdgekdError with line and column where it is empty or not UTF-8."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise EdgekdError(f"cannot be read: {error.strerror}", "Check its permissions.", str(file)) from None
    if not content.strip():
        raise EdgekdError("the file is empty", "Name a file with rows.", str(file))
    if file.suffix != ".parquet":
        decoded(content, str(file))
    return content


def _hold_out(table: Table, share: float, seed: int) -> tuple[dict[str, dict[str, list[Any]]], dict[str, list[int]]]:
    """Split one table into train and dev by a seeded draw; also which rows went where."""
    import numpy as np

    rows = len(next(iter(table.values()), []))
    if rows == 1:
        raise EdgekdError("one row: none would be left to score", "Add rows, or a dev file beside it.", path=_SOURCE)
    order = np.random.default_rng(seed).permutation(rows)
    cut = max(1, round(rows * share)) if rows else 0
    kept = {"dev": np.sort(order[:cut]).tolist(), "train": np.sort(order[cut:]).tolist()}
    parts = {
        role: {name: [cells[row] for row in chosen] for name, cells in table.items()} for role, chosen in kept.items()
    }
    return parts, kept


def _reader(file: Path) -> str:
    if file.suffix not in SUFFIXES:
        hint = nearest(file.suffix, SUFFIXES)
        raise EdgekdError(f"{file}: files ending in '{file.suffix}' are not read", hint, path=_SOURCE)
    return _READERS.get(file.suffix, "")


def _read(file: Path, options: DataOptions) -> dict[str, list[Any]]:
    """All columns of a file: tagged words by `columns`, everything else by `datasets`."""
    checked_bytes(file)
    if file.suffix in columns.SUFFIXES:
        return columns.read(file)
    table = _load(file, options)
    read = {name: list(table[name]) for name in table.column_names}
    return receipts.marked(read) if options.preset == "sroie" else read


def _delimited(file: Path, options: DataOptions) -> dict[str, Any]:
    """How pandas is to read delimited text."""
    # keep_default_na off: "NA", "null" and "None" are words of a sentence, not missing cells.
    settings: dict[str, Any] = {
        "delimiter": delimited.separator(file),
        "keep_default_na": False,
        "na_values": [""],
    }
    if options.quoting == "none":
        settings["quoting"] = csv.QUOTE_NONE
    if options.columns:
        settings["names"] = list(options.columns)
    # As written: "007" is no 7, and a label 1 no 1.0.
    kept = options.text if TASKS.get(options.task).continuous() else (*options.text, options.label)
    return {**settings, "converters": dict.fromkeys(kept, str)}


def _load(file: Path, options: DataOptions) -> "Dataset":
    import datasets

    datasets.disable_progress_bars()
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)  # what goes wrong is raised, and told once
    kind, settings = _reader(file), dict[str, Any]()
    if kind == "csv":
        settings = _delimited(file, options)
        delimited.check_width(file, settings)
    try:
        table: Dataset = getattr(datasets.Dataset, f"from_{kind}")(str(file), keep_in_memory=True, **settings)
    except Exception as error:  # pandas, pyarrow and datasets each raise their own
        cause = " ".join(str(error.__cause__ or error).split())
        if "corresponds to no data" in str(error) or "BatchSize must be greater than 0" in cause:
            raise EdgekdError("the file has no rows", "Name a file with rows.", str(file)) from None
        if file.suffix == ".jsonl":
            json_lines.check(file)
        if never := re.search(r"EOF inside string starting at row (\d+)", cause):
            hint = "Close it, or set data.quoting: none, where quotation marks are text."
            raise EdgekdError("a quotation mark is never closed", hint, f"{file}:{int(never[1]) + 1}") from None
        raise EdgekdError(f"cannot be read as {kind}: {cause}", _FORMS[kind], str(file)) from None
    return table
