"""A sweep's results as files: sweep.json with everything, sweep.md for people, sweep.svg as the picture."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edgekd import sweep_picture
from edgekd.decoding import json_object
from edgekd.errors import EdgekdError
from edgekd.plain import marked_down
from edgekd.report_files import row
from edgekd.store import write_text
from edgekd.sweep_results import Outcome, Results, places, spoken

JSON, MARKDOWN, PICTURE = "sweep.json", "sweep.md", "sweep.svg"


def write(results: Results, folder: Path) -> None:
    front = [outcome.number for outcome in results.front]
    if picture := sweep_picture.svg(results):
        write_text(folder / PICTURE, picture)
    write_text(folder / MARKDOWN, markdown(results, bool(picture)))
    write_text(folder / JSON, json.dumps({**asdict(results), "front": front}, indent=1, ensure_ascii=False) + "\n")


def is_sweep(folder: Path) -> bool:
    return (folder / JSON).is_file()


def runs(folder: Path) -> list[Path]:
    """The folders of a sweep's variants that have a report. Raises EdgekdError where none has one."""
    try:
        found = [folder / f"{outcome['number']:04d}" for outcome in json_object(folder / JSON)["outcomes"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EdgekdError(f"{folder / JSON} cannot be read: {error}", "Run the sweep: its command goes on.") from None
    found = [each for each in found if (each / "report.json").is_file()]
    if not found:
        raise EdgekdError(f"no variant of {folder} has a report", "Run the sweep: its command goes on.")
    return found


def table(results: Results) -> tuple[list[str], list[list[str]]]:
    """Header and rows: a variant a row, those on the front first, then by score."""
    front = {outcome.number for outcome in results.front}
    fields = list(results.outcomes[0].values) if results.outcomes else []
    header = ["variant", *fields, results.metric, *(["p50 ms"] if "p50" in results.objectives else []), "MB", ""]
    ordered = sorted(results.outcomes, key=lambda one: (one.number not in front, one.score is None, -(one.score or 0)))
    return header, [_cells(one, results, one.number in front) for one in ordered]


def markdown(results: Results, pictured: bool) -> str:
    done = len(results.outcomes)
    lines = [f"# {results.name}", ""]
    lines += [
        f"{results.when}, recipe {results.recipe}, {results.measure} measured, edgekd {results.edgekd}.",
        f"Objectives: {', '.join(results.objectives)}. A variant is on the front where none beats it in all of them.",
        "",
    ]
    if done < results.variants:
        lines += [f"**Not finished**: {done} of {results.variants} variants. The same command goes on.", ""]
    if results.overrides:
        applied = ", ".join(results.overrides)
        lines += [f"The hub was not used: overrides of the recipe's offline block applied to {applied}.", ""]
    header, rows = table(results)
    lines += [row(header), row(["---"] * len(header)), *map(row, rows), ""]
    lines += [f"![{results.name}]({PICTURE})", ""] if pictured else []
    devices = sorted({outcome.device for outcome in results.outcomes if outcome.device})
    if devices:
        lines += [f"Timed on {', '.join(devices)}, one variant after another, while nothing was made.", ""]
    lines += _importance(results.importance)
    lines += ["## What was shared", ""]
    lines += [
        f"{results.steps} steps in all, {results.distinct} different ones: {results.cached} were there, "
        f"{len(results.made)} were made.",
        "",
    ]
    if results.made:
        lines += [f"## What ran where ({results.executor})", ""]
        lines += [row(["machine", "steps", "seconds"]), row(["---"] * 3)]
        lines += [row([place, str(count), f"{seconds:.0f}"]) for place, count, seconds in places(results.made)]
        lines += ["", row(["step", "artifact", "process", "seconds", ""]), row(["---"] * 5)]
        lines += [row(_making(made)) for made in results.made]
        lines += [""]
    if notes := _notes(results.outcomes):
        lines += ["## Notes", "", *notes, ""]
    data = ", ".join(f"{name} {value}" for name, value in results.data.items())
    return "\n".join(map(marked_down, [*lines, "## Data", "", data, ""]))


def _cells(outcome: Outcome, results: Results, best: bool) -> list[str]:
    state = "failed" if outcome.failed else "refused" if outcome.refused else "front" if best else ""
    return [
        str(outcome.number),
        *map(spoken, outcome.values.values()),
        "-" if outcome.score is None else f"{outcome.score:.4f}",
        *(["-" if outcome.p50 is None else f"{1e3 * outcome.p50:.2f}"] if "p50" in results.objectives else []),
        "-" if outcome.size is None else f"{outcome.size / 1e6:.1f}",
        state,
    ]


def _importance(weights: Mapping[str, Mapping[str, float]]) -> list[str]:
    if not any(weights.values()):
        return []
    fields = list(dict.fromkeys(name for shares in weights.values() for name in shares))
    header = ["field", *weights]
    rows = [
        [name, *(f"{shares[name]:.0%}" if name in shares else "-" for shares in weights.values())] for name in fields
    ]
    return [
        "## What matters",
        "",
        row(header),
        row(["---"] * len(header)),
        *map(row, rows),
        "",
        "Share of an objective's variance over the variants that lies between a field's values. What two fields do",
        "together only, and what chance did, is in none of them.",
        "",
    ]


def _making(made: Mapping[str, Any]) -> list[str]:
    state = "failed" if made["failed"] else "refused" if made["refused"] else ""
    return [made["step"], made["key"][:8], made["where"] or "-", f"{made['seconds']:.0f}", state]


def _notes(outcomes: Sequence[Outcome]) -> list[str]:
    reasons: dict[str, list[str]] = {}
    for outcome in outcomes:
        if reason := f"failed: {outcome.failed}" if outcome.failed else outcome.refused:
            reasons.setdefault(reason.partition("\n")[0], []).append(str(outcome.number))
    return [f"- variant {', '.join(numbers)}: {reason}" for reason, numbers in reasons.items()]
