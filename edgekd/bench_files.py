"""A bench as a table, and as JSON with every raw sample."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from edgekd.bench import Benched
from edgekd.benchmark_model import Told
from edgekd.report import FEWEST, Percentile, Timing

_KINDS = 6  # of operators that are told; all of them are in the JSON
HEADER = (
    "artifact",
    "batch x length",
    "threads",
    "p50 ms",
    "95 %",
    "p90 ms",
    "p99 ms",
    "per s",
    "load ms",
    "first ms",
    "peak MB",
    "mJ",
    "answers",
)


def rows(found: Sequence[Benched]) -> list[list[str]]:
    """The table's rows, as HEADER names their columns."""
    return [_row(entry) for entry in found]


def doubts(found: Sequence[Benched]) -> list[str]:
    """Reasons to distrust the figures, in plain words, each once."""
    return list(dict.fromkeys(f"{_place(entry)}: {doubt}" for entry in found for doubt in entry.timing.doubts))


def over_time(found: Sequence[Benched]) -> list[str]:
    """Latency, heat and clock in tenths of the time, of what one process was timed for."""
    lines = []
    for entry in found:
        samples, states = entry.timing.latency.seconds, entry.timing.states
        if entry.timing.latency.emulated or len(entry.timing.latency.processes) > 1 or len(states) < 12:
            continue
        lines.append(f"{entry.artifact}, {entry.shape}, over {sum(samples):.0f} s:")
        for tenth in range(10):
            part = sorted(samples[len(samples) * tenth // 10 : len(samples) * (tenth + 1) // 10])
            state = states[min(len(states) - 1, round(len(states) * (tenth + 1) / 10))]
            heat = "" if state["celsius"] is None else f", {state['celsius']:.0f} degrees"
            clock = "" if state["mhz"] is None else f", {state['mhz']:.0f} MHz"
            lines.append(f"  {10 * tenth:3}% p50 {1e3 * part[len(part) // 2]:.3f} ms{heat}{clock}")
    return lines


def operators(found: Sequence[Benched]) -> list[str]:
    """Where the time of an inference goes, by kind of operator, the longest first."""
    lines = []
    for entry in found:
        spent = entry.timing.operators
        if spent:
            lines.append(f"{_place(entry)}, by operator:")
            whole, shown = sum(spent.values()), dict(list(spent.items())[:_KINDS])
            if rest := len(spent) - len(shown):
                shown[f"{rest} other kind{'s' * (rest > 1)}"] = whole - sum(shown.values())
            lines += [f"  {seconds / whole:4.0%} {1e3 * seconds:8.3f} ms  {name}" for name, seconds in shown.items()]
    return lines


def _place(entry: Benched) -> str:
    threads = entry.timing.threads
    told = [entry.artifact, str(entry.shape), f"{threads} thread{'s' * (threads != 1)}", *_settings(entry.timing)]
    return ", ".join(told)


def _settings(timing: Timing) -> list[str]:
    return [f"{name} {value}" for name, value in timing.settings.items()]


def to_json(found: Sequence[Benched], opinions: Sequence[Told] = ()) -> list[dict[str, Any]]:
    """An entry a row, with its raw samples. `opinions`: what benchmark_model told of the same artifacts."""
    return [
        {
            **asdict(entry),
            "percentiles": {f"p{rank}": _percentile(entry.timing, rank) for rank in FEWEST},
            "energy": entry.timing.energy,
            "benchmark_model": [asdict(told) for told in opinions if told.artifact == entry.artifact],
        }
        for entry in found
    ]


def _row(entry: Benched) -> list[str]:
    timing = entry.timing
    middle, high, tail = (timing.latency.percentile(rank) for rank in (50, 90, 99))
    emulated = timing.latency.emulated
    gate = next(iter(entry.gates), None)
    return [
        entry.artifact,
        str(entry.shape),
        ", ".join([str(timing.threads), *_settings(timing)]),
        _ms(middle, emulated),
        f"{1e3 * middle.low:.2f} to {1e3 * middle.high:.2f}" if middle else "-",
        _ms(high, emulated),
        _ms(tail, emulated),
        f"{entry.shape.batch / middle.value:.0f}" if middle else "-",
        "-" if emulated else f"{1e3 * sorted(timing.load)[len(timing.load) // 2]:.0f}",
        "-" if emulated else f"{1e3 * sorted(timing.first)[len(timing.first) // 2]:.1f}",
        f"{timing.peak_memory / 1e6:.0f}" if timing.peak_memory else "-",
        "-" if timing.energy is None else f"{1e3 * timing.energy:.2f}",
        f"{gate.value:.1%}" if gate else "here",
    ]


def _ms(percentile: Percentile | None, emulated: bool) -> str:
    return f"{1e3 * percentile.value:.2f}" if percentile else "emulated" if emulated else "too few"


def _percentile(timing: Timing, rank: int) -> dict[str, float] | None:
    found = timing.latency.percentile(rank)
    return asdict(found) if found else None
