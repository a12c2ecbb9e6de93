"""What a person sees while a run goes on: a line for each step, bars for long work, a table at the end."""

import sys
from collections.abc import Container, Sequence
from pathlib import Path
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from edgekd import compare_files, report_files, study_files, sweep_files, sweep_results
from edgekd.comparing import Pair, Run
from edgekd.plain import plain
from edgekd.report import Report
from edgekd.study_results import Results

_REPORT_ONLY = {"stage", "p90 ms", "load ms", "first ms", "tokenizer ms"}


class Terminal:
    """Bars only where there is a terminal; elsewhere plain lines."""

    def __init__(self) -> None:
        # A pipe has no width of its own: its tables are not cut.
        width = None if sys.stdout.isatty() else 160
        # No markup: what a device or a column is called is shown as it is.
        self._console = Console(
            file=sys.stdout, highlight=False, markup=False, emoji=False, soft_wrap=True, width=width
        )
        columns = (
            TextColumn("  {task.description:24}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        self._bars = Progress(*columns, console=self._console, transient=True, disable=not self._console.is_terminal)
        self._bar: tuple[str, TaskID] | None = None

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def say(self, text: str) -> None:
        self._drop()
        self._console.print(plain(text), markup=False)

    def progress(self, label: str, done: float, total: float) -> None:
        if self._bar is None or self._bar[0] != label:
            self._drop()
            self._bar = (label, self._bars.add_task(escape(plain(label)), total=total or None))
        self._bars.update(self._bar[1], completed=done, total=total or None)
        if total and done >= total:
            self._drop()

    def results(self, results: Results) -> None:
        """A study's variants."""
        header, rows = study_files.table(results, results.summaries())
        self._table(header, rows, {"variant"})

    def sweep(self, results: sweep_results.Results) -> None:
        """A sweep's variants."""
        header, rows = sweep_files.table(results)
        self._table(header, rows, {"variant", *header[1:-3], ""})

    def comparison(self, runs: Sequence[Run], pairs: Sequence[Pair]) -> None:
        """Runs against the first."""
        header, rows = compare_files.table(pairs)
        self._table(header, rows, {"artifact", "device"})
        for note in compare_files.notes(runs, pairs):
            self.say(note)

    def history(self, found: Sequence[tuple[str, Report | None]]) -> None:
        """A line a run."""
        rows = []
        for name, report in found:
            if report is None:
                rows.append([name, "-", "not finished", "-", "-", "-"])
                continue
            last = report.steps[-1]
            score = f"{last.score.metric} {last.score.value:.4f}" if last.score else "-"
            size = f"{last.model_size / 1e6:.1f} MB"
            state = "refused" if report.refused else "passed"
            rows.append([name, report.when[:16].replace("T", " "), state, last.step, score, size])
        self._table(["run", "when (UTC)", "", "last artifact", "score", "model"], rows, {"run", "", "last artifact"})

    def columns(self, header: Sequence[str], rows: Sequence[Sequence[str]], left: Container[str]) -> None:
        """A table; the columns named in `left` hold words."""
        self._table(header, rows, left)

    def table(self, report: Report) -> None:
        """The report's main columns; the rest stands in report.md."""
        header, rows = report_files.table(report.steps)
        one = len({device for step in report.steps for device in (timing.device for timing in step.timings)}) <= 1
        hidden = _REPORT_ONLY | ({"device"} if one else set())
        chosen = [number for number, name in enumerate(header) if name not in hidden]
        shown = [[row[number] for number in chosen] for row in rows]
        self._table([header[number] for number in chosen], shown, {"step", "device", "gates"})
        if doubts := sum(len(step.doubts) for step in report.steps):
            self.say(f"Read {doubts} doubt{'s' * (doubts != 1)} before quoting a figure: {report_files.MARKDOWN}")

    def show(self, folder: Path) -> None:
        """Where the report lies."""
        self.say(f"Report: {folder / report_files.MARKDOWN}, {folder / report_files.HTML}")

    def _table(self, header: Sequence[str], rows: Sequence[Sequence[str]], left: Container[str]) -> None:
        shown = Table(box=None, pad_edge=False)
        for name in header:
            shown.add_column(Text(plain(name)), justify="left" if name in left else "right", no_wrap=True)
        for row in rows:
            shown.add_row(*map(Text, map(plain, row)))
        self._drop()
        self._console.print(shown)

    def _drop(self) -> None:
        if self._bar is not None:
            self._bars.remove_task(self._bar[1])
            self._bar = None
