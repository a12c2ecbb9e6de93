"""What a run came to, in plain words and three figures."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from edgekd.report import Report, StepReport, Timing
from edgekd.report_rows import Row


@dataclass(frozen=True)
class Figure:
    """A figure that a reader looks for first: what it is, of which artifact, against which."""

    title: str
    value: str
    unit: str
    artifact: str
    note: str


def sentences(report: Report) -> Iterator[str]:
    """Passed or refused and why, then what a reader has to know before quoting a figure."""
    gates = [gate for step in report.steps for gate in step.gates]
    if report.refused:
        yield f"{report.refused}. What comes after it in the recipe was not made."
    elif gates:
        yield f"{_count(len(report.steps), 'artifact')} kept all of {_count(len(gates), 'limit')} on dev."
    else:
        yield f"{_count(len(report.steps), 'artifact')} made; the recipe sets no limits that they could fail."
    if report.overrides:
        yield f"The hub was not used: overrides of the recipe's offline block applied to {', '.join(report.overrides)}."
    for device in dict.fromkeys(timing.device for timing in _timings(report) if timing.latency.emulated):
        yield f"{device} is emulated hardware: what it answers counts, its times say nothing and are not shown."
    if doubts := sum(len(step.doubts) for step in report.steps):
        yield f"Read {_count(doubts, 'doubt')} below before quoting a figure."


def figures(report: Report, rows: Sequence[Row]) -> list[Figure]:
    """The best score, the smallest and the fastest of the artifacts from which nothing else was made."""
    used = {step.source for step in report.steps}
    passed = {step.step for step in report.steps if step.passed and step.step not in used}
    ends = [row for row in rows if row.step in passed and row.score is not None]
    if not ends or (first := next((step for step in report.steps if step.score), None)) is None or first.step in passed:
        return []
    assert first.score is not None
    best = max(ends, key=lambda row: row.score or 0.0)
    least = min(ends, key=lambda row: row.model_size)
    change = (best.score or 0.0) - first.score.value
    others = {step.step for step in report.steps if step.passed} - {best.step, first.step}
    equal = dict.fromkeys(row.step for row in rows if row.step in others and row.score == best.score)
    tied = f"; the same: {', '.join(equal)}" if equal else ""
    found = [
        Figure(
            "Best score, served",
            f"{best.score:.4f}",
            str(best.metric),
            best.step,
            f"{change:+.4f} against {first.step}{tied}",
        ),
        Figure(
            "Smallest", f"{least.model_size / 1e6:.1f}", "MB", least.step, _times(first, least.model_size, "smaller")
        ),
    ]
    timed = [row for row in ends if row.p50 is not None]
    if timed:
        fast = min(timed, key=lambda row: row.p50 or 0.0)
        theirs = [row.p50 for row in rows if row.step == first.step and _place(row) == _place(fast)]
        quicker = (
            f", {theirs[0] / fast.p50:.1f} times faster than {first.step}" if theirs and theirs[0] and fast.p50 else ""
        )
        found.append(
            Figure("Fastest", f"{1e3 * (fast.p50 or 0):.2f}", "ms p50", fast.step, f"on {fast.device}{quicker}")
        )
    return found


def _timings(report: Report) -> Iterator[Timing]:
    return (timing for step in report.steps for timing in step.timings)


def _place(row: Row) -> tuple[str | None, int | None]:
    return row.device, row.threads


def _times(first: StepReport, size: int, than: str) -> str:
    return f"{first.model_size / size:.1f} times {than} than {first.step}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"
