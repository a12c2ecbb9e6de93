"""The table of artifacts as cells: what is shown, and what it is sorted by."""

from collections.abc import Sequence
from dataclasses import dataclass

from edgekd.report_rows import Row

HEADER = (
    ("artifact", "Each artifact, with the stage that made it"),
    ("score", "The recipe's metric on dev by the runtime that serves it; 95 % of other rows like these (bootstrap)"),
    ("to source", "Its score less its source's; 95 %, same rows (paired bootstrap); coloured where that leaves 0 out"),
    ("MB", "Bytes of the model's files / 10^6, tokenizer apart; share of the source's"),
    ("device", "Where it was timed, and by which runtime"),
    ("p50 ms", "Median of single inferences at real lengths, without the tokenizer; 95 %"),
    ("p90 ms", "90th percentile; left out where samples are too few to state it"),
    ("gates", "Limits it was held to"),
    ("made", "Whether it was there already, or how long it took"),
)


@dataclass(frozen=True)
class Cell:
    """`key` sorts: a number, or words. `note` is the small print beneath."""

    text: str
    key: float | str | None
    note: str = ""
    state: str = ""


def table(rows: Sequence[Row]) -> list[list[Cell]]:
    """A line a row, a cell for each of HEADER."""
    return [
        [
            Cell(row.step, row.step, row.stage),
            Cell(number(row.score, ".4f"), row.score, span((row.score_low, row.score_high), ".3f")),
            Cell(number(row.change, "+.4f"), row.change, span((row.change_low, row.change_high), "+.3f"), _surely(row)),
            Cell(
                f"{row.model_size / 1e6:.1f}", row.model_size, f"{row.share:.2f} of {row.source}" if row.share else ""
            ),
            Cell(row.device or "not timed", row.device or "", _runtime(row)),
            _latency(row, row.p50, row.p50_low, row.p50_high),
            _latency(row, row.p90, row.p90_low, row.p90_high),
            Cell(row.gates, row.gates, state=row.gates),
            Cell("cached" if row.cached else f"{row.seconds:.0f} s", -1.0 if row.cached else row.seconds),
        ]
        for row in rows
    ]


def _latency(row: Row, value: float | None, low: float | None, high: float | None) -> Cell:
    if row.device is None:
        return Cell("-", None)
    if row.emulated:
        return Cell("emulated", None, "no claim")
    if value is None:
        return Cell("too few", None, f"{row.samples} samples")
    if low is None or high is None:
        return Cell(f"{1e3 * value:.2f}", value)
    return Cell(f"{1e3 * value:.2f}", value, f"{1e3 * low:.2f} to {1e3 * high:.2f}")


def _surely(row: Row) -> str:
    """A change whose interval leaves 0 out."""
    if row.change_high is not None and row.change_high < 0:
        return "worse"
    return "better" if row.change_low is not None and row.change_low > 0 else ""


def _runtime(row: Row) -> str:
    if row.runtime is None:
        return ""
    return f"{row.runtime}, {row.threads} thread{'s' * (row.threads != 1)}"


def number(value: float | None, form: str) -> str:
    """A figure, or a dash where there is none."""
    return "-" if value is None else f"{value:{form}}"


def span(interval: tuple[float | None, float | None] | None, form: str) -> str:
    """An interval, or nothing where there is none."""
    low, high = interval or (None, None)
    return "" if low is None or high is None else f"{low:{form}} to {high:{form}}"
