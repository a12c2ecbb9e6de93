"""The data of a recipe: its options, its splits with checked labels, and its digest.

Sources: `embedded/NAME` (made by edgekd itself), a file or folder (CSV, TSV, JSON lines, Parquet), or a data set of the
Hugging Face hub.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from edgekd import glue, hub
from edgekd.errors import EdgekdError, nearest
from edgekd.options import Options
from edgekd.tables import Tables, checked_bytes, find, from_files, from_hub
from edgekd.task import TASKS, Task
from edgekd.tokens import Encoded, encode, load_tokenizer

if TYPE_CHECKING:
    from numpy.typing import NDArray

_EMBEDDED = "embedded/"


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
class Split:
    """Rows of one split: `texts[i]` holds one or two sentences, `targets` has shape (rows,)."""

    texts: tuple[tuple[str, ...], ...]
    targets: "NDArray[Any]"

    def __len__(self) -> int:
        return len(self.texts)

    def encode(self, tokenizer: Path, max_length: int) -> Encoded:
        """Encode with an artifact's tokenizer.json, cut at `max_length` tokens."""
        return encode(load_tokenizer(tokenizer, max_length), self.texts)


class Data:
    """A data set of a recipe. Cheap until rows are asked for; `fingerprint` reads no row of a hub data set."""

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
        for file in find(self.options).values():
            digest.update(checked_bytes(file))
        return {**chosen, "source": "files", "sha256": digest.hexdigest(), "seed": self.seed}

    @property
    def digest(self) -> str:
        return hashlib.sha256(repr(sorted(self.fingerprint.items())).encode()).hexdigest()

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The declared labels, or else those of the train split, sorted."""
        if self.options.labels or self.options.task != "classification":
            return self.options.labels
        found = sorted({str(cell).strip() for cell in self._tables.train[self.options.label]})
        return self._tables.names or tuple(found)

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
                raise error.at(self._tables.place(role, row)) from None
        kind = np.float32 if self.options.task == "regression" else np.int64
        return Split(texts, np.array(targets, dtype=kind))

    @cached_property
    def _tables(self) -> Tables:
        options, source = self.options, self.options.source
        if source.startswith(_EMBEDDED):
            rows = _embedded(source).generate(self.seed)
            parts = (rows["train"], rows["validation"])
            train, dev = ({name: [row[name] for row in part] for name in part[0]} for part in parts)
            tables = Tables(train, dev, lambda role, row: f"{source}, {role} row {row + 1}")
        elif options.on_hub:
            tables = from_hub(options, self.fingerprint["commit"])
        else:
            tables = from_files(options, self.seed)
        tables.check((options.label, *options.text))
        return tables


def _embedded(source: str) -> Any:
    import pkgutil

    from edgekd import embedded

    name = source.removeprefix(_EMBEDDED)
    known = [module.name for module in pkgutil.iter_modules(embedded.__path__) if not module.name.endswith("_words")]
    if name not in known:
        raise ValueError(f"unknown embedded data set '{name}'. {nearest(name, known)}")
    return import_module(f"edgekd.embedded.{name}")
