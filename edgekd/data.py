"""The data of a recipe: its options, its splits with checked labels, and its digest.

Sources: `embedded/NAME` (made by edgekd itself), a file or folder (CSV, TSV, JSON lines, Parquet), or a data set of the
Hugging Face hub.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, Any

from edgekd import embedded, hub
from edgekd.data_options import DataOptions
from edgekd.errors import EdgekdError
from edgekd.tables import Tables, check_columns, check_headers, checked_bytes, find, from_files, from_hub
from edgekd.task import Task

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Split:
    """Rows of one split: `texts[i]` holds one or two sentences, `targets` has shape (positions,).

    `counts` are the positions of each row; None: one a row.
    """

    texts: tuple[tuple[str, ...], ...]
    targets: "NDArray[Any]"
    counts: "NDArray[np.int64] | None" = None

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def ends(self) -> "NDArray[np.int64]":
        """Where each row's positions end."""
        import numpy as np

        return np.arange(1, len(self) + 1) if self.counts is None else np.cumsum(self.counts)

    def positions(self, rows: "NDArray[np.intp]") -> "NDArray[np.int64]":
        """The numbers of these rows' positions."""
        import numpy as np

        ends = self.ends
        starts = np.concatenate([[0], ends[:-1]])
        return np.concatenate([np.arange(starts[row], ends[row]) for row in rows])

    def first(self, rows: int) -> "Split":
        """The first so many rows."""
        if len(self) <= rows:
            return self
        counts = None if self.counts is None else self.counts[:rows]
        return Split(self.texts[:rows], self.targets[: self.ends[rows - 1]], counts)


_DRAWN = (
    "The row was drawn for dev, and the labels known are those of the others. Add rows with this one, drop it, or give "
    "a dev split of its own: a folder with train and dev files."
)


class Data:
    """A data set of a recipe. Cheap until rows are asked for; `fingerprint` reads no row of a hub data set."""

    def __init__(self, options: DataOptions, seed: int = 42) -> None:
        self.options, self.seed = options, seed

    @cached_property
    def fingerprint(self) -> dict[str, Any]:
        """What the rows are, for cache keys and reports: never where they lie."""
        unsaid = {"source", "revision", "preset", "metric", *(["empty"] if self.options.empty == "refuse" else [])}
        chosen = self.options.model_dump(mode="json", exclude=unsaid, exclude_none=True)
        source = self.options.source
        if embedded.is_embedded(source):
            return {**chosen, "source": source, "version": embedded.module(source).VERSION, "seed": self.seed}
        if self.options.on_hub:
            drawn = {"seed": self.seed} if self.options.per_class else {}
            return {**chosen, "source": source, "commit": hub.commit(source, self.options.revision, "dataset"), **drawn}
        files = {
            f"{role}{file.suffix}": hashlib.sha256(checked_bytes(file)).hexdigest()
            for role, file in find(self.options).items()
        }
        return {**chosen, "source": "files", "sha256": files, "seed": self.seed}

    def check(self) -> None:
        """Raises EdgekdError where the source is not there or, of a local one, lacks a column."""
        if self.fingerprint["source"] == "files" and not check_headers(self.options):
            _ = self._tables  # kept for whoever reads on: these have no header to look at alone

    def read(self) -> None:
        """Read both splits. Raises EdgekdError for the first row that is wrong."""
        _ = self.train, self.dev

    @property
    def dropped(self) -> dict[str, Any]:
        """For reports: how many rows of each split were left out, where they are."""
        return {"dropped": dict(self._tables.dropped)} if self.options.empty == "drop" else {}

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The declared labels, or else those of the source or its train split.

        Raises EdgekdError where the recipe's metric is not of so many.
        """
        found = self.options.labels or self._found
        if self.metric not in self.task.scores(found):
            hint = f"Set data.metric: {' or '.join(self.task.scores(found))}."
            raise EdgekdError(
                f"{self.metric} is of two labels, and here are {len(found)}", hint, path=("data", "metric")
            )
        return found

    @cached_property
    def _found(self) -> tuple[str, ...]:
        cells = self._tables.train[self.options.label]
        try:
            return self.task.labels(cells, self._tables.names)
        except EdgekdError as error:
            raise error.at(self._tables.place("train", self._row_of(error, cells))) from None

    def _row_of(self, error: EdgekdError, cells: Sequence[Any]) -> int:
        """The first row whose label alone is wrong in the same way; -1 where that is so of all: they are it."""

        def told(cell: Any) -> str:
            try:
                self.task.labels([cell], ())
            except EdgekdError as other:
                return other.problem
            return ""

        same = [row for row, cell in enumerate(cells) if told(cell) == error.problem]
        return same[0] if 0 < len(same) < len(cells) else -1

    @property
    def task(self) -> Task:
        return self.options.kind

    @property
    def metric(self) -> str:
        return self.options.metric or self.task.default_metric

    def value(self, logits: "NDArray[np.floating[Any]]") -> float:
        """The metric of dev's logits (positions, outputs); -inf where it is no number, so that it passes no gate."""
        found = self.score(self.metric, logits)
        return found if math.isfinite(found) else -math.inf

    def score(self, metric: str, logits: "NDArray[np.floating[Any]]") -> float:
        """Any of the task's metrics, of dev's logits (positions, outputs)."""
        predicted, true = (
            self.task.compared(values, self.labels, self.dev.ends)
            for values in (self.task.predictions(logits), self.dev.targets)
        )
        return float(self.task.metrics[metric](predicted, true))

    @cached_property
    def entities(self) -> tuple[tuple[str, str], ...]:
        """The entities of the train split with their types, each once; of a task that tags words."""
        import numpy as np

        answers = self.task.decode(np.eye(len(self.labels))[self.train.targets], self.labels, self.train.texts)
        return tuple(dict.fromkeys((found["text"], found["type"]) for row in answers for found in row["entities"]))

    @cached_property
    def train(self) -> Split:
        split = self._split("train")
        split = split.first(self.options.limit or len(split))
        return self._drawn(split, self.options.per_class) if self.options.per_class else split

    @cached_property
    def dev(self) -> Split:
        split = self._split("dev")
        if len(split) < 2:
            where = self._tables.place("dev", -1)
            raise EdgekdError("a dev split of one row scores nothing", "Add rows, or raise data.dev_fraction.", where)
        return split

    def _drawn(self, split: Split, count: int) -> Split:
        """So many rows of each label, in the order of the source; a larger draw holds a smaller one of its seed."""
        import numpy as np

        chosen: list[int] = []
        for number, name in enumerate(self.labels):
            of_label = np.flatnonzero(split.targets == number)
            if len(of_label) < count:
                where = self._tables.place("train", -1)
                raise EdgekdError(f"{len(of_label)} rows are '{name}', {count} asked for", "Lower per_class.", where)
            chosen += np.random.default_rng((self.seed, number)).permutation(of_label)[:count].tolist()
        chosen.sort()
        return Split(tuple(split.texts[row] for row in chosen), split.targets[chosen])

    def _split(self, role: str) -> Split:
        import numpy as np

        table, labels = self._tables[role], self.labels
        task, texts, targets = self.task, [], []
        # Numbers stand for labels where the source stores them so, or where declared labels are no numbers themselves.
        declared = self.options.labels
        indexed = bool(self._tables.names) or bool(declared and not any(label.isdecimal() for label in declared))
        for row, value in enumerate(table[self.options.label]):
            try:
                text, target = task.read([table[column][row] for column in self.options.text], value, labels, indexed)
            except EdgekdError as error:
                drawn = role == "dev" and not declared and self._drawn_dev
                told = EdgekdError(error.problem, _DRAWN) if drawn and "is none of" in error.problem else error
                raise told.at(self._tables.place(role, row)) from None
            texts.append(text)
            targets.append(target)
        flat = np.array(list(chain.from_iterable(targets)), np.float32 if task.continuous() else np.int64)
        counts = np.array([len(target) for target in targets]) if task.per_token else None
        return Split(tuple(texts), flat, counts)

    @property
    def _drawn_dev(self) -> bool:
        """Whether the dev split is a share of the one file that there is."""
        local = not embedded.is_embedded(self.options.source) and not self.options.on_hub
        return local and "dev" not in find(self.options)

    @cached_property
    def _tables(self) -> Tables:
        options, source = self.options, self.options.source
        if embedded.is_embedded(source):
            rows = embedded.module(source).generate(self.seed)
            parts = (rows["train"], rows["validation"])
            train, dev = ({name: [row[name] for row in part] for name in part[0]} for part in parts)
            tables = Tables(train, dev, lambda role, row: f"{source}, {role} row {row + 1}")
        elif options.on_hub:
            tables = from_hub(options, self.fingerprint["commit"])
        else:
            tables = from_files(options, self.seed)
        for role in ("train", "dev"):
            check_columns(tables.place(role, -1), tables[role], options)
        wanted = (options.label, *options.text)
        tables = tables.filled(wanted) if options.empty == "drop" else tables
        tables.check(wanted)
        return tables
