"""A comparison of runs as text, Markdown and one page that needs no network."""

from collections.abc import Sequence

from edgekd.comparing import Limits, Pair, Run, Speed
from edgekd.page import cells, intervals
from edgekd.page.cells import Cell
from edgekd.page.templates import fill
from edgekd.plain import marked_down
from edgekd.report_files import row

_HEADER = (
    ("artifact", "The step, and the run"),
    ("score", "The recipe's metric on dev; 95 % of other rows like these (bootstrap)"),
    ("to base", "The score less the base's; 95 %, on the same rows (paired bootstrap)"),
    ("p", "McNemar's exact test: how likely so uneven a change of right answers is by chance"),
    ("MB", "Bytes of the model's files / 10^6, tokenizer apart; as a ratio to the base's"),
    ("device", "Where it was timed"),
    ("p50 ms", "Median of single inferences at real lengths; 95 %, the processes' differences in it"),
    ("times base", "The median as a ratio to the base's; the widest that the two intervals allow"),
)
_TOLD = (
    "To base: change of the score on the same dev rows, 95 % by a paired bootstrap; p: McNemar's exact test. "
    "Times base: ratio of the medians, the widest that their 95 % intervals allow. "
    "None is widened for the number of comparisons."
)
_NONE = Cell("-", None)


def table(pairs: Sequence[Pair]) -> tuple[list[str], list[list[str]]]:
    """Header and rows as words, an interval in brackets."""
    return [name for name, _ in _HEADER], [
        [f"{cell.text} ({cell.note})" if cell.note else cell.text for cell in line] for line in _cells(pairs)
    ]


def markdown(runs: Sequence[Run], pairs: Sequence[Pair], broken: Sequence[str]) -> str:
    header, rows = table(pairs)
    lines = [f"# {_title(runs)}", "", *[f"**Limit broken**: {what}.\n" for what in broken]]
    lines += [row(header), row(["---"] * len(header)), *map(row, rows), "", _TOLD]
    if told := notes(runs, pairs):
        lines += ["", "## Notes", "", *[f"- {note}" for note in told]]
    return "\n".join(map(marked_down, [*lines, ""]))


def html(runs: Sequence[Run], pairs: Sequence[Pair], limits: Limits, broken: Sequence[str]) -> str:
    metric = next((pair.score.metric for pair in pairs if pair.score), "score")
    scores = [
        intervals.Change(f"{pair.run}, {pair.step}", pair.change, *pair.interval)
        for pair in pairs
        if pair.change is not None and pair.interval
    ]
    ratios = [
        intervals.Change(
            f"{pair.run}, {pair.step}, {speed.device}", speed.ratio.value, speed.ratio.low, speed.ratio.high
        )
        for pair in pairs
        for speed in pair.speeds
        if speed.ratio
    ]
    drop = None if limits.max_drop is None else -limits.max_drop
    slower = None if limits.max_slower is None else 1 + limits.max_slower
    drawn = (
        ("Change of the score", intervals.svg(scores, 0.0, metric, drop)),
        ("Ratio of medians", intervals.svg(ratios, 1.0, "times the base's p50", slower, log=True)),
    )
    return fill(
        "compare.html",
        title=_title(runs),
        runs=runs,
        broken=broken,
        limited=limits != Limits(),
        header=_HEADER,
        table=_cells(pairs),
        told=_TOLD,
        notes=notes(runs, pairs),
        pictures=[(title, picture) for title, picture in drawn if picture],
    )


def notes(runs: Sequence[Run], pairs: Sequence[Pair]) -> list[str]:
    """What a reader has to know of the comparison, each once a run."""
    told = [f"{run.name} was refused: {run.report.refused}" for run in runs if run.report.refused]
    told += [f"{pair.run}: {note}" for pair in pairs for note in pair.notes]
    for run in dict.fromkeys(pair.run for pair in pairs):
        doubted = [pair.step for pair in pairs if pair.run == run and any(speed.doubted for speed in pair.speeds)]
        if doubted:
            told.append(f"{run}: its report has doubts about the times of {', '.join(doubted)}")
    return list(dict.fromkeys(told))


def _title(runs: Sequence[Run]) -> str:
    return f"{', '.join(run.name for run in runs[1:])} against {runs[0].name}"


def _cells(pairs: Sequence[Pair]) -> list[list[Cell]]:
    return [_line(pair, speed) for pair in pairs for speed in pair.speeds or (None,)]


def _line(pair: Pair, speed: Speed | None) -> list[Cell]:
    score, middle, ratio = pair.score, speed.p50 if speed else None, speed.ratio if speed else None
    change = pair.interval or (0.0, 0.0)
    state = "worse" if change[1] < 0 else "better" if change[0] > 0 else ""
    return [
        Cell(pair.step, f"{pair.step} {pair.run}", pair.run),
        _stated(score.value, score.interval, ".4f") if score else _NONE,
        _stated(pair.change, pair.interval, "+.4f", state),
        _stated(pair.p, None, ".3f"),
        Cell(f"{pair.size / 1e6:.1f}", pair.size, "" if pair.growth is None else f"{pair.growth:.2f}"),
        Cell(speed.device, speed.device, _threads(speed)) if speed else _NONE,
        _stated(1e3 * middle.value, (1e3 * middle.low, 1e3 * middle.high), ".2f") if middle else _NONE,
        _stated(ratio.value, (ratio.low, ratio.high), ".2f") if ratio else _NONE,
    ]


def _stated(value: float | None, interval: tuple[float, float] | None, form: str, state: str = "") -> Cell:
    return Cell(cells.number(value, form), value, cells.span(interval, form), state)


def _threads(speed: Speed) -> str:
    return f"{speed.threads} thread{'s' * (speed.threads != 1)}"
