"""Text to token batches: reads a data set, checks its labels, encodes its sentences, and knows its digest.

Sources: `embedded/NAME` (made by edgekd itself), a file or folder (CSV, TSV, JSON lines, Parquet), or a data set of the
Hugging Face hub. Files are read by the library `datasets`; nothing is fetched but the data set itself.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn, Self

from pydantic import Field, model_validator

from edgekd import glue, hub
from edgekd.artifact import TOKENIZER
from edgekd.errors import EdgekdError, nearest
from edgekd.options import Options
from edgekd.task import TASKS, Task

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_EMBEDDED = "embedded/"
# Reader of `datasets` and its options, by the file's ending.
_READERS: dict[str, tuple[str, dict[str, Any]]] = {
    ".csv": ("csv", {}),
    ".tsv": ("csv", {"delimiter": "\t"}),
    ".jsonl": ("json", {}),
    ".json": ("json", {}),
    ".parquet": ("parquet", {}),
}
# Names under which a folder keeps a split, most usual first.
_STEMS = {"train": ("train", "training"), "dev": ("dev", "validation", "valid", "eval", "test")}


class Splits(Options):
    """Names of the source's splits."""

    train: str = Field("train", description="Split to train on")
    dev: str = Field("validation", description="Split to score on")


class DataOptions(Options):
    """The task and where its rows come from. `preset` and embedded sources fill in what is not given."""

    source: str = Field(description="embedded/NAME, a file, a folder, or a data set of the hub")
    config: str | None = Field(None, description="Configuration of a hub data set, such as cola")
    revision: str | None = Field(None, description="Branch, tag or commit of a hub data set (default: its main branch)")
    preset: str | None = Field(None, description="A GLUE task's columns, labels and metric: " + ", ".join(glue.PRESETS))
    task: str = Field("classification", description="Kind of task: classification or regression")
    text: Annotated[tuple[str, ...], Field(min_length=1, max_length=2)] = Field(
        description="Column of the sentence, or the two columns of a pair"
    )
    label: str = Field("label", description="Column of the label")
    labels: tuple[str, ...] = Field((), description="Names of the labels, in the order of their numbers")
    metric: str | None = Field(None, description="The score that counts; default: the task's own")
    columns: tuple[str, ...] | None = Field(None, description="Column names of files that have no header line")
    quoting: Literal["auto", "none"] = Field("auto", description="'none' reads quotation marks in CSV/TSV as text")
    splits: Splits = Field(Splits(), description="Names of the source's train and dev splits")
    dev_fraction: float = Field(0.1, gt=0, lt=1, description="Share held out for dev where the source has one split")
    max_length: int = Field(128, ge=8, le=512, description="Longest input in tokens; longer ones are cut")
    limit: int | None = Field(None, ge=1, description="Train on the first N rows only (for a quick look)")

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, given: Any) -> Any:
        """Defaults that depend on the source: an embedded corpus declares its own, a preset is GLUE's."""
        if not isinstance(given, Mapping) or not isinstance(source := given.get("source", glue.REPOSITORY), str):
            return given
        preset, config = given.get("preset"), given.get("config")
        if preset is None and source == glue.REPOSITORY and config in glue.PRESETS:
            preset = config
        defaults: dict[str, Any] = {}
        if preset is not None:
            if preset not in glue.PRESETS:
                raise ValueError(f"unknown preset '{preset}'. {nearest(str(preset), glue.PRESETS)}")
            defaults = dict(glue.PRESETS[preset])
            if source == glue.REPOSITORY:
                defaults |= {"source": source, "config": glue.CONFIGURATIONS.get(preset, preset)}
            else:
                defaults.pop("splits")
        elif source.startswith(_EMBEDDED):
            defaults = dict(_embedded(source).DEFAULTS)
        return defaults | dict(given)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(set(self.labels)) != len(self.labels):
            raise ValueError("labels name the same label twice")
        if self.task not in TASKS:
            raise ValueError(f"unknown task '{self.task}'. {nearest(self.task, TASKS.names)}")
        if self.config and not self.on_hub:
            raise ValueError("config belongs to a hub data set; for GLUE's columns of local files say 'preset'")
        return self

    @property
    def on_hub(self) -> bool:
        return not self.source.startswith(_EMBEDDED) and hub.needs_hub(self.source)

    @property
    def kind(self) -> Task:
        return TASKS.get(self.task)()


@dataclass(frozen=True)
class Encoded:
    """Token ids of a split's rows, ragged; `types` are 0 for the first sentence of a pair, 1 for the second."""

    ids: "list[NDArray[np.int64]]"
    types: "list[NDArray[np.int64]]"

    @property
    def lengths(self) -> "NDArray[np.int64]":
        import numpy as np

        return np.array([len(row) for row in self.ids], dtype=np.int64)

    def pad(self, rows: Sequence[int], pad_id: int = 0) -> "dict[str, NDArray[np.int64]]":
        """input_ids, attention_mask, token_type_ids of shape (len(rows), longest of them), int64."""
        return pad_rows(self.ids, self.types, rows, pad_id)


def pad_rows(ids: Any, types: Any, rows: Sequence[int], pad_id: int = 0) -> "dict[str, NDArray[np.int64]]":
    """Stack ragged rows to arrays (rows, longest), padded on the right."""
    import numpy as np

    width = max(len(ids[row]) for row in rows)
    batch = {name: np.zeros((len(rows), width), dtype=np.int64) for name in ("attention_mask", "token_type_ids")}
    batch["input_ids"] = np.full((len(rows), width), pad_id, dtype=np.int64)
    for position, row in enumerate(rows):
        length = len(ids[row])
        batch["input_ids"][position, :length] = ids[row]
        batch["attention_mask"][position, :length] = 1
        batch["token_type_ids"][position, :length] = types[row]
    return batch


@dataclass(frozen=True)
class Split:
    """Rows of one split: `texts[i]` holds one or two sentences, `targets` has shape (rows,)."""

    texts: tuple[tuple[str, ...], ...]
    targets: "NDArray[Any]"

    def __len__(self) -> int:
        return len(self.texts)

    def encode(self, tokenizer: Path, max_length: int) -> Encoded:
        """Encode with an artifact's tokenizer.json, cut at `max_length` tokens."""
        return encode(load_tokenizer(tokenizer, max_length), self.texts)


def load_tokenizer(path: Path, max_length: int) -> Any:
    """The Rust tokenizer of a tokenizer.json, set to cut and not to pad."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(path / TOKENIZER if path.is_dir() else path))
    tokenizer.enable_truncation(max_length)
    tokenizer.no_padding()
    return tokenizer


def encode(tokenizer: Any, texts: Sequence[Sequence[str]]) -> Encoded:
    import numpy as np

    rows = tokenizer.encode_batch([row[0] if len(row) == 1 else tuple(row) for row in texts])
    return Encoded(
        [np.array(row.ids, dtype=np.int64) for row in rows], [np.array(row.type_ids, dtype=np.int64) for row in rows]
    )


class Data:
    """A data set of a recipe. Cheap until rows are asked for; `fingerprint` identifies them without reading hub data."""

    def __init__(self, options: DataOptions, seed: int = 42) -> None:
        self.options, self.seed = options, seed

    @cached_property
    def fingerprint(self) -> dict[str, Any]:
        """What the rows are, for cache keys and reports: never where they lie."""
        chosen = self.options.model_dump(mode="json", exclude={"source", "revision", "preset"}, exclude_none=True)
        source = self.options.source
        if source.startswith(_EMBEDDED):
            return {**chosen, "source": source, "version": _embedded(source).VERSION, "seed": self.seed}
        if self.options.on_hub:
            return {**chosen, "source": source, "commit": hub.commit(source, self.options.revision, "dataset")}
        digest = hashlib.sha256()
        for file in sorted(set(self._files().values())):
            digest.update(_checked_bytes(file))
        return {**chosen, "source": "files", "sha256": digest.hexdigest(), "seed": self.seed}

    @property
    def digest(self) -> str:
        return hashlib.sha256(repr(sorted(self.fingerprint.items())).encode()).hexdigest()

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The declared labels, or else those of the train split, sorted."""
        if self.options.labels or self.options.task != "classification":
            return self.options.labels
        named = self._tables["names"]
        return named or tuple(sorted({str(cell).strip() for cell in self._tables["train"][self.options.label]}))

    @property
    def task(self) -> Task:
        return self.options.kind

    @property
    def metric(self) -> str:
        return self.options.metric or self.task.default_metric

    @cached_property
    def train(self) -> Split:
        split = self._split("train")
        limit = self.options.limit or len(split)
        return Split(split.texts[:limit], split.targets[:limit])

    @cached_property
    def dev(self) -> Split:
        return self._split("dev")

    def _split(self, role: str) -> Split:
        import numpy as np

        table = self._tables[role]
        texts = tuple(zip(*(map(str, table[column]) for column in self.options.text), strict=True))
        task, targets = self.task, []
        for row, value in enumerate(table[self.options.label]):
            try:
                targets.append(task.target(value, self.labels))
            except EdgekdError as error:
                raise error.at(self._tables["place"](role, row)) from None
        kind = np.float32 if self.options.task == "regression" else np.int64
        return Split(texts, np.array(targets, dtype=kind))

    @cached_property
    def _tables(self) -> dict[str, Any]:
        """train and dev as columns, the label names the source declares, and where a row stands."""
        source = self.options.source
        if source.startswith(_EMBEDDED):
            rows = _embedded(source).generate(self.seed)
            parts = {"train": rows["train"], "dev": rows["validation"]}
            tables = {role: {name: [row[name] for row in part] for name in part[0]} for role, part in parts.items()}
            return {**tables, "names": (), "place": lambda role, row: f"{source}, {role} row {row + 1}"}
        tables = self._from_hub() if self.options.on_hub else self._from_files()
        for role in ("train", "dev"):
            table = tables[role]
            for column in (*self.options.text, self.options.label):
                if column not in table:
                    known = nearest(column, table)
                    raise EdgekdError(f"{role} has no column '{column}'", known, tables["place"](role, -1))
            if not len(table[self.options.label]):
                raise EdgekdError(f"{role} has no rows", "Name a source with rows.", tables["place"](role, -1))
            for column in (*self.options.text, self.options.label):
                missing = next((row for row, cell in enumerate(table[column]) if cell is None or cell != cell), None)
                if missing is not None:
                    raise EdgekdError(
                        f"column '{column}' has no value", "Fill it in, or drop the row.", tables["place"](role, missing)
                    )
        return tables

    def _from_hub(self) -> dict[str, Any]:
        from datasets import ClassLabel, disable_progress_bars, load_dataset

        disable_progress_bars()
        options = self.options
        try:
            loaded = load_dataset(options.source, options.config, revision=self.fingerprint["commit"])
        except Exception as error:  # datasets, the hub's client and pyarrow each raise their own
            raise EdgekdError(
                f"data set {options.source} could not be read: {type(error).__name__}: {error}",
                "Check source, config and the network.",
            ) from None
        tables: dict[str, Any] = {"names": ()}
        for role, name in (("train", options.splits.train), ("dev", options.splits.dev)):
            if name not in loaded:
                raise EdgekdError(f"data set {options.source} has no split '{name}'", nearest(name, loaded))
            tables[role] = {column: loaded[name][column] for column in loaded[name].column_names}
        feature = loaded[options.splits.train].features.get(options.label)
        if isinstance(feature, ClassLabel):
            tables["names"] = tuple(feature.names)
        return {**tables, "place": lambda role, row: f"{options.source}, {role} row {row + 1}"}

    def _from_files(self) -> dict[str, Any]:
        from datasets import disable_progress_bars

        disable_progress_bars()
        files = self._files()
        tables: dict[str, Any] = {role: _read(file, self.options) for role, file in files.items()}
        if "dev" not in tables:
            tables["train"], tables["dev"], kept = _hold_out(tables["train"], self.options.dev_fraction, self.seed)
        else:
            kept = {role: range(len(next(iter(table.values()), []))) for role, table in tables.items()}

        def place(role: str, row: int) -> str:
            """file:line, right as long as no quoted cell runs over a line's end."""
            file = files.get(role, files["train"])
            if row < 0 or file.suffix == ".parquet":
                return str(file) if row < 0 else f"{file}, row {kept[role][row] + 1}"
            header = 0 if self.options.columns or file.suffix in {".json", ".jsonl"} else 1
            return f"{file}:{kept[role][row] + 1 + header}"

        return {**tables, "names": (), "place": place}

    def _files(self) -> dict[str, Path]:
        """role -> file of a local source; no 'dev' where one file holds all rows."""
        root = Path(self.options.source).expanduser()
        if not root.exists():
            raise EdgekdError(f"no such file or folder: {root}", "Set data.source.")
        if root.is_file():
            _reader(root)
            return {"train": root}
        found: dict[str, Path] = {}
        for role, wanted in (("train", self.options.splits.train), ("dev", self.options.splits.dev)):
            names = (f"{stem}{suffix}" for stem in (wanted, *_STEMS[role]) for suffix in _READERS)
            file = next((root / name for name in names if (root / name).is_file()), None)
            if file is not None:
                found[role] = file
        if "train" not in found:
            raise EdgekdError(f"{root} holds no train file", f"Name one train{', train'.join(_READERS)}.")
        return found


def _hold_out(table: Mapping[str, Any], share: float, seed: int) -> tuple[Any, Any, Any]:
    """Split one table into train and dev by a seeded draw; also which rows went where."""
    import numpy as np

    rows = len(next(iter(table.values()), []))
    order = np.random.default_rng(seed).permutation(rows)
    cut = max(1, round(rows * share)) if rows > 1 else 0
    kept = {"dev": np.sort(order[:cut]).tolist(), "train": np.sort(order[cut:]).tolist()}
    parts = {
        role: {name: [cells[row] for row in chosen] for name, cells in table.items()} for role, chosen in kept.items()
    }
    return parts["train"], parts["dev"], kept


def _reader(file: Path) -> tuple[str, dict[str, Any]]:
    if file.suffix not in _READERS:
        raise EdgekdError(f"{file}: files ending in '{file.suffix}' are not read", nearest(file.suffix, _READERS))
    return _READERS[file.suffix]


def _read(file: Path, options: DataOptions) -> dict[str, list[Any]]:
    """All columns of a file, read by `datasets`."""
    import csv

    from datasets import Dataset

    _checked_bytes(file)
    kind, settings = _reader(file)
    if kind == "csv":
        # keep_default_na off: "NA", "null" and "None" are words of a sentence, not missing cells.
        settings = {**settings, "keep_default_na": False, "na_values": [""]}
        if options.quoting == "none":
            settings["quoting"] = csv.QUOTE_NONE
        if options.columns:
            settings["names"] = list(options.columns)
        dtype = {column: "str" for column in options.text}
        settings["dtype"] = dtype if options.task == "regression" else {**dtype, options.label: "str"}
    try:
        table = getattr(Dataset, f"from_{kind}")(str(file), keep_in_memory=True, **settings)
    except Exception as error:  # pandas, pyarrow and datasets each raise their own
        cause = error.__cause__ or error
        raise EdgekdError(f"cannot be read as {kind}: {cause}", "Check the file's form, 'columns' and 'quoting'.", str(file)) from None
    return {name: list(table[name]) for name in table.column_names}


def _checked_bytes(file: Path) -> bytes:
    """A text file's bytes. Raises EdgekdError with line and column where it is empty or not UTF-8."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise EdgekdError(f"cannot be read: {error.strerror}", "Set data.source.", str(file)) from None
    if not content.strip():
        raise EdgekdError("the file is empty", "Set data.source to a file with rows.", str(file))
    if file.suffix != ".parquet":
        try:
            content.decode()
        except UnicodeDecodeError as error:
            _not_utf8(file, content, error.start)
    return content


def _not_utf8(file: Path, content: bytes, offset: int) -> NoReturn:
    line = content.count(b"\n", 0, offset) + 1
    column = offset - (content.rfind(b"\n", 0, offset) + 1) + 1
    raise EdgekdError(
        f"byte 0x{content[offset]:02x} is not UTF-8",
        f"Convert it: iconv -f WINDOWS-1252 -t UTF-8 {file.name} > utf8_{file.name}",
        f"{file}:{line}:{column}",
    )


def _embedded(source: str) -> Any:
    import pkgutil

    from edgekd import embedded

    name = source.removeprefix(_EMBEDDED)
    known = [module.name for module in pkgutil.iter_modules(embedded.__path__) if not module.name.endswith("_words")]
    if name not in known:
        raise ValueError(f"unknown embedded data set '{name}'. {nearest(name, known)}")
    return import_module(f"edgekd.embedded.{name}")


def batches(
    lengths: "NDArray[np.int64]", size: int, seed: int, bucket: int = 50
) -> "Iterator[NDArray[np.int64]]":
    """One epoch of shuffled batches of row numbers, each of rows of similar length, so that little is padding.

    Rows are shuffled, cut into buckets of `bucket` batches, sorted by length inside a bucket; then batches are shuffled.
    """
    import numpy as np

    draw = np.random.default_rng(seed)
    order = draw.permutation(len(lengths))
    span = size * bucket
    parts = []
    for start in range(0, len(order), span):
        rows = order[start : start + span]
        rows = rows[np.argsort(lengths[rows], kind="stable")]
        parts += [rows[cut : cut + size] for cut in range(0, len(rows), size)]
    for position in draw.permutation(len(parts)):
        yield parts[position]
