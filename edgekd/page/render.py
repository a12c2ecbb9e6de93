"""report.html from a report: the figures are drawn here, the template says where they stand."""

from collections.abc import Iterator, Sequence
from textwrap import shorten

from edgekd import report_vocabulary
from edgekd.page import bars, cells, chain, curves, frontier, latencies, reliability, verdict
from edgekd.page.templates import fill
from edgekd.report import Latency, Report, StepReport, Timing
from edgekd.report_rows import Row, rows


def page(report: Report, recipe: str = "") -> str:
    """The whole page; `recipe` is the recipe as it ran. A section of which the report knows nothing is left out."""
    found = rows(report)
    kinds = list(dict.fromkeys(row.format for row in found if row.score is not None))
    metric = next((row.metric for row in found if row.metric), "") or ""
    return fill(
        "report.html",
        report=report,
        recipe=recipe,
        sentences=list(verdict.sentences(report)),
        figures=verdict.figures(report, found),
        header=cells.HEADER,
        table=cells.table(found),
        kinds=kinds,
        gates=[(step, gate) for step in report.steps for gate in step.gates],
        frontiers=list(_frontiers(found, metric, kinds)),
        devices=list(_devices(report)),
        trained=[(step, list(curves.phases(step.training))) for step in report.steps if step.training],
        examined=list(_examined(report.steps)),
        ranked=[
            (step, step.facts["ranking"], step.facts["float_layers"])
            for step in report.steps
            if step.facts.get("ranking")
        ],
        vocabularies=list(report_vocabulary.told(report.steps)),
        places=list(_places(report)),
        tuned=[(step.step, best) for step in report.steps for best in step.tuned],
        chain=chain,
        reliability=reliability.reliability,
        ranking=bars.ranking,
        spent=list(_spent(report)),
    )


def _frontiers(found: Sequence[Row], metric: str, kinds: Sequence[str]) -> Iterator[tuple[str, str]]:
    """A title and a plot for size, and for each device and number of threads that is no emulation."""
    drawn = [("Score against size", frontier.svg(frontier.of_size(found), "MB", metric, kinds))]
    for device, threads in dict.fromkeys((row.device, row.threads) for row in found if not row.emulated):
        if device is not None and threads is not None:
            told = frontier.of_latency(found, device, threads)
            title = f"Score against latency on {device}, {threads} thread{'s' * (threads != 1)}"
            drawn.append((title, frontier.svg(told, "ms p50", metric, kinds)))
    return ((title, plot) for title, plot in drawn if plot)


def _devices(report: Report) -> Iterator[tuple[str, int, str, str]]:
    """Of each real device and number of threads: its name, the threads, the spread and the drift."""
    by_place: dict[tuple[str, int], list[tuple[str, Latency]]] = {}
    for step, timing in _timed(report):
        if not timing.latency.emulated and timing.latency.seconds:
            by_place.setdefault((timing.device, timing.threads), []).append((step.step, timing.latency))
    for (device, threads), timed in by_place.items():
        yield device, threads, latencies.spread(timed), latencies.drift(timed)


def _spent(report: Report) -> Iterator[tuple[str, str]]:
    """Of each artifact that was profiled: its name with the device, and where an inference's time goes."""
    for step, timing in _timed(report):
        if timing.operators:
            threads = f"{timing.threads} thread{'s' * (timing.threads != 1)}"
            yield f"{step.step} on {timing.device}, {threads}", bars.operators(timing.operators)


def _examined(steps: Sequence[StepReport]) -> Iterator[tuple[StepReport, list[str]]]:
    """Each artifact whose answers were looked at, with the names of those that answer just the same."""
    alike: dict[str, tuple[StepReport, list[str]]] = {}
    for step in steps:
        seen = step.examination
        if seen.groups or seen.calibration or seen.worst:
            error = round(seen.calibration.error, 3) if seen.calibration else None
            said = repr((error, [group.scores for group in seen.groups], [example.row for example in seen.worst]))
            alike.setdefault(said, (step, []))[1].append(step.step)
    return ((step, names[1:]) for step, names in alike.values())


def _places(report: Report) -> Iterator[tuple[str, str]]:
    """Where it ran and in what it computed, as the runtimes tell."""
    for step, timing in _timed(report):
        yield f"{step.step} on {timing.device}", f"{timing.precision} ({timing.runtime})"
    places = {(timing.device, timing.runtime): timing for _, timing in _timed(report)}
    for (device, runtime), timing in places.items():
        told = (f"{name} {shorten(str(value), 80, placeholder=' ...')}" for name, value in timing.fingerprint.items())
        yield f"{device}, {runtime}", ", ".join(told)


def _timed(report: Report) -> Iterator[tuple[StepReport, Timing]]:
    return ((step, timing) for step in report.steps for timing in step.timings)
