"""What a recipe says of its data: the task, the source, the columns. Presets and embedded corpora fill in their own."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from edgekd import columns, embedded, glue, hub, receipts
from edgekd.errors import FieldError, nearest
from edgekd.options import Options
from edgekd.task import TASKS, Task

# Endings of the files that are read.
SUFFIXES = (".csv", ".tsv", ".jsonl", ".json", ".parquet", *columns.SUFFIXES)
PRESETS = {**glue.PRESETS, "sroie": receipts.PRESET}


class Splits(Options):
    """Names of the source's splits."""

    train: str | None = Field(None, description="Split to train on; default: train, or the file of a like name")
    dev: str | None = Field(None, description="Split to score on; default: validation, or the file of a like name")


class DataOptions(Options):
    """The task and where its rows come from. `preset` and embedded sources fill in what is not given."""

    source: str = Field(description="embedded/NAME, a file, a folder, or a data set of the hub")
    config: str | None = Field(None, description="Configuration of a hub data set, such as cola")
    revision: str | None = Field(None, description="Branch, tag or commit of a hub data set (default: its main branch)")
    preset: str | None = Field(
        None, description="Columns, labels and metric of a known data set: " + ", ".join(PRESETS)
    )
    task: str = Field("classification", description="Kind of task: classification, regression or tokens")
    text: Annotated[tuple[str, ...], Field(min_length=1, max_length=2)] = Field(
        description="Column of the sentence, or the two of a pair; for tokens, of a row's words (default: words)"
    )
    label: str = Field("label", description="Column of the label; for tokens, of the words' tags (default: tags)")
    labels: tuple[str, ...] = Field((), description="Names of the labels, in the order of their numbers")
    metric: str | None = Field(None, description="The score that counts; default: the task's own")
    columns: tuple[str, ...] | None = Field(None, description="Column names of files that have no header line")
    quoting: Literal["auto", "none"] = Field("auto", description="'none' reads quotation marks in CSV/TSV as text")
    empty: Literal["refuse", "drop"] = Field(
        "refuse", description="Rows without a text or a label: 'refuse' stops there, 'drop' leaves them out"
    )
    splits: Splits = Field(Splits(), description="Names of the source's train and dev splits")
    dev_fraction: float = Field(0.1, gt=0, lt=1, description="Share held out for dev where the source has one split")
    max_length: int = Field(128, ge=8, le=512, description="Longest input in tokens; longer ones are cut")
    limit: int | None = Field(None, ge=1, description="Train on the first N rows only (for a quick look)")
    per_class: int | None = Field(
        None, ge=1, description="Train on so many rows of each label, drawn by the recipe's seed (few-sample runs)"
    )

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, given: Any) -> Any:
        """Defaults that depend on the source: an embedded corpus declares its own, a preset is GLUE's."""
        if not isinstance(given, Mapping) or not isinstance(source := given.get("source", glue.REPOSITORY), str):
            return given
        if not all(isinstance(given.get(name), str | None) for name in ("preset", "config", "task")):
            return given
        if isinstance(given.get("text"), str):
            given = {**given, "text": [given["text"]]}
        preset, config = given.get("preset"), given.get("config")
        if preset is None and source == glue.REPOSITORY and isinstance(config, str) and config in glue.PRESETS:
            preset = config
        defaults: dict[str, Any] = {}
        if preset is not None:
            if preset not in PRESETS:
                raise FieldError(f"unknown preset '{preset}'", nearest(preset, PRESETS), "preset")
            defaults = dict(PRESETS[preset])
            if preset in glue.PRESETS and source == glue.REPOSITORY:
                defaults |= {"source": source, "config": glue.CONFIGURATIONS.get(preset, preset)}
            else:
                defaults.pop("splits", None)
        elif given.get("task") == "tokens" and not embedded.is_embedded(source):
            defaults = {"text": (columns.WORDS,), "label": columns.TAGS}
        elif embedded.is_embedded(source):
            defaults = dict(embedded.module(source).DEFAULTS)
        return defaults | dict(given)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(set(self.labels)) != len(self.labels):
            raise FieldError("labels name the same label twice", "Keep one of them.", "labels")
        if not all(map(str.strip, self.labels)):
            raise FieldError("a label is empty", "Give it a name.", "labels")
        if self.columns and len(set(self.columns)) != len(self.columns):
            raise FieldError("columns name the same column twice", "Give each a name of its own.", "columns")
        if self.task not in TASKS:
            raise FieldError(f"unknown task '{self.task}'", nearest(self.task, TASKS.names), "task")
        if len(self.labels) == 1:
            raise FieldError(f"the only label is {self.labels[0]!r}", "Name two at least.", "labels")
        if self.per_class and self.task != "classification":
            problem = f"per_class draws rows by their label, and a {self.task} has none for a row"
            raise FieldError(problem, "Set limit.", "per_class")
        if self.kind.per_token and len(self.text) > 1:
            raise FieldError("the words of a row are one column", "Name it in data.text.", "text")
        if self.config and not self.on_hub:
            hint = "Leave it out; for GLUE's columns of local files say preset."
            raise FieldError("config belongs to a hub data set", hint, "config")
        return self

    @property
    def on_hub(self) -> bool:
        # A name that ends like a data file means one, also where it does not lie there.
        named_file = self.source.endswith(SUFFIXES)
        return not embedded.is_embedded(self.source) and not named_file and hub.needs_hub(self.source)

    @property
    def kind(self) -> Task:
        return TASKS.get(self.task)()
