"""A report as files: report.json with every raw sample, report.md and report.html for people."""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from textwrap import shorten
from typing import Any

from edgekd import report_vocabulary
from edgekd.decoding import decoded, json_object
from edgekd.errors import EdgekdError
from edgekd.plain import marked_down
from edgekd.report import FEWEST, Latency, Report, StepReport, Timing
from edgekd.report_rows import from_json, gated
from edgekd.store import write_text

JSON, MARKDOWN, HTML = NAMES = ("report.json", "report.md", "report.html")
RECIPE = "recipe.yaml"  # as it ran, beside them
_TRIED = ("artifact", "device", "setting", "time, in multiples of the best before it", "")


def write(report: Report, folder: Path) -> None:
    write_text(folder / JSON, json.dumps(to_json(report), indent=1, ensure_ascii=False) + "\n")
    write_text(folder / MARKDOWN, markdown(report))
    write_text(folder / HTML, html(report, folder))


def html(report: Report, folder: Path) -> str:
    """The report as one page that needs no network, with the recipe that lies in the run's folder."""
    from edgekd.page.render import page

    recipe = folder / RECIPE
    return page(report, told(folder, RECIPE) if recipe.is_file() else "")


def read(folder: Path) -> dict[str, Any]:
    """report.json of a run. Raises EdgekdError where there is none."""
    try:
        return json_object(folder / JSON)
    except (FileNotFoundError, NotADirectoryError):
        names = sorted(file.parent.as_posix() for file in folder.parent.glob(f"*/{JSON}"))
        raise EdgekdError(
            f"{folder} holds no {JSON}", f"Runs there: {', '.join(names)}." if names else "Run a recipe first."
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise EdgekdError(
            f"{folder / JSON} cannot be read: {error}", "Run the recipe again; cached steps stay."
        ) from None


def report(folder: Path) -> Report:
    """The report of a run. Raises EdgekdError where there is none."""
    raw = read(folder)
    try:
        return from_json(raw)
    except EdgekdError as error:
        raise error.at(str(folder / JSON)) from None


def told(folder: Path, name: str) -> str:
    """A text that lies beside a report. Raises EdgekdError where it cannot be read."""
    try:
        return decoded((folder / name).read_bytes(), str(folder / name))
    except OSError as error:
        hint = "Run the recipe again; cached steps stay."
        raise EdgekdError(f"{folder / name} cannot be read: {error.strerror}", hint) from None


def to_json(report: Report) -> dict[str, Any]:
    """All of it, the derived figures beside the raw samples they come from."""
    raw = asdict(report)
    for step, source in zip(raw["steps"], report.steps, strict=True):
        for entry, timing in zip(step["timings"], source.timings, strict=True):
            for name in ("latency", "tokenizer"):
                entry[name] |= _derived(getattr(timing, name))
            entry["energy"] = timing.energy
        for gate in step["gates"]:
            # JSON has no infinity: a value that could not be stated is null.
            gate["value"] = gate["value"] if math.isfinite(gate["value"]) else None
    return raw


def _derived(latency: Latency) -> dict[str, Any]:
    found: dict[str, Any] = {"samples": len(latency.seconds)}
    for rank in FEWEST:
        percentile = latency.percentile(rank)
        found[f"p{rank}"] = asdict(percentile) if percentile else None
    return found


def table(steps: Iterable[StepReport]) -> tuple[list[str], list[list[str]]]:
    """Header and rows: a step and device a row."""
    steps = list(steps)
    metric = next((step.score.metric for step in steps if step.score), "score")
    header = [
        "step",
        "stage",
        metric,
        "model",
        "device",
        "p50 ms",
        "p90 ms",
        "p99 ms",
        "load ms",
        "first ms",
        "peak MB",
        "tokenizer ms",
        "gates",
    ]
    by_id = {step.step: step for step in steps}
    rows = []
    for step in steps:
        source = by_id.get(step.source or "")
        shares = f"{step.model_size / 1e6:.1f} MB" + (f" ({step.model_size / source.model_size:.2f})" if source else "")
        kept = f"{step.score.value:.4f}" if step.score else "-"
        if step.score and source and source.score:
            kept += f" ({step.score.value - source.score.value:+.4f})"
        for timing in step.timings or (None,):
            figures = _figures(timing) if timing else ["not timed", *["-"] * 6]
            device = timing.device if timing else "-"
            rows.append([step.step, step.stage, kept, shares, device, *figures, gated(step)])
    return header, rows


def _figures(timing: Timing) -> list[str]:
    memory = f"{timing.peak_memory / 1e6:.0f}" if timing.peak_memory else "-"
    tokenizer = timing.tokenizer.percentile(50)
    percentiles = [timing.latency.percentile(rank) for rank in (50, 90, 99)]
    if timing.latency.emulated:
        return [*["emulated"] * len(percentiles), "-", "-", memory, "-"]
    shown = [f"{found.value * 1e3:.2f}" if found else "too few" for found in percentiles]
    return [
        *shown,
        f"{_middle(timing.load) * 1e3:.0f}",
        f"{_middle(timing.first) * 1e3:.1f}",
        memory,
        f"{tokenizer.value * 1e3:.3f}" if tokenizer else "-",
    ]


def markdown(report: Report) -> str:
    lines = [f"# {report.name}", "", f"{report.when}, seed {report.seed}, edgekd {report.machine.get('edgekd')}.", ""]
    if report.refused:
        lines += [f"**Refused.** {report.refused}.", ""]
    if report.overrides:
        lines += [
            f"The hub was not used: overrides of the recipe's offline block applied to {', '.join(report.overrides)}.",
            "",
        ]
    header, rows = table(report.steps)
    lines += [row(header), row(["---"] * len(header)), *map(row, rows), ""]
    lines += [
        "In brackets: against the step's source. Model: bytes of the model's files. Times are of single inferences",
        "on dev rows at their real lengths, without the tokenizer; p90 and p99 are left out where the samples are too",
        "few to state them. Load and first inference: median of fresh processes. Peak: resident memory of a process of",
        "its own, before scoring.",
        "",
    ]
    compared = [(step, gate) for step in report.steps for gate in step.gates]
    if compared:
        lines += ["## Gates", ""]
        lines += [
            f"- {step.step}{f' against {step.source}' if step.source else ''}: {gate.name} {gate.value:.3g} "
            f"(limit {gate.limit:g}): "
            f"{'passed' if gate.passed else '**failed**'}"
            for step, gate in compared
        ]
        lines.append("")
    if doubts := [f"- {step.step}, {doubt}" for step in report.steps for doubt in step.doubts]:
        lines += ["## Doubts", "", *doubts, "", "`edgekd run --time-again` times anew.", ""]
    lines += ["## Other scores", ""]
    for step in report.steps:
        if step.score:
            others = ", ".join(f"{name} {value:.4f}" for name, value in step.score.others.items())
            lines.append(f"- {step.step}: {others or 'none'} ({step.score.rows} rows)")
    lines += _sensitivity(report.steps) + _vocabulary(report.steps)
    if any(step.timings for step in report.steps):
        lines += _devices(report.steps)
    lines += _tuned(report.steps)
    data = ", ".join(f"{name} {value}" for name, value in report.data.items() if value or value == 0)
    lines += ["", "## Data", "", data, ""]
    return "\n".join(map(marked_down, lines))


def _devices(steps: Iterable[StepReport]) -> list[str]:
    """What ran on which device."""
    timed = [(step, timing) for step in steps for timing in step.timings]
    lines = ["", "## What it computed in", "", "As the runtimes tell after running, not as the options asked.", ""]
    lines += dict.fromkeys(
        f"- {step.step}: {timing.precision} ({timing.runtime} on {timing.device})" for step, timing in timed
    )
    lines += ["", "## Where it ran", ""]
    places = {(timing.device, timing.runtime, timing.threads): timing for _, timing in timed}
    for (device, runtime, threads), timing in places.items():
        told = (
            (name, shorten(str(value), 80, placeholder=" ...")) for name, value in timing.fingerprint.items() if value
        )
        facts = ", ".join(f"{name} {value}" for name, value in told)
        lines.append(f"- {device}: {runtime}, threads {threads}, {facts}")
    if energies := [
        f"- {s.step} on {t.device}, threads {t.threads}: {t.energy * 1e3:.3f} mJ"
        for s, t in timed
        if t.energy is not None
    ]:
        lines += [
            "",
            "Energy of an inference, all that the processor used meanwhile, by its own counters:",
            "",
            *energies,
        ]
    else:
        lines.append("- energy: not measured, for want of a counter that may be read")
    for step, timing in timed:
        if timing.operators:
            whole = sum(timing.operators.values())
            spent = ", ".join(f"{name} {seconds / whole:.0%}" for name, seconds in list(timing.operators.items())[:6])
            lines.append(f"- {step.step} on {timing.device}, where its time goes: {spent}")
    return lines


def _tuned(steps: Iterable[StepReport]) -> list[str]:
    """The fastest setting of each artifact on each device that asked for it, and what was tried."""
    found = [(step.step, best) for step in steps for best in step.tuned]
    lines = ["", "## Tuned", "", "Medians of fresh processes, in turn; in brackets the least and the most.", ""]
    lines += [f"- {name} on {best.device}: {best}" for name, best in found]
    lines += ["", row(_TRIED), row(["---"] * len(_TRIED))]
    tried = [
        [name, best.device, trial.setting, trial.spread, trial.verdict] for name, best in found for trial in best.trials
    ]
    return [*lines, *map(row, tried)] if found else []


def _sensitivity(steps: Iterable[StepReport]) -> list[str]:
    """The layers that were left in float, and what quantization does to each, where a step looked for them."""
    found = [step for step in steps if "float_layers" in step.facts]
    lines = ["", "## Left in float", ""] if found else []
    lines += [f"- {step.step}: {', '.join(step.facts['float_layers']) or 'nothing'}" for step in found]
    for step in found:
        if ranking := step.facts.get("ranking"):
            floats = step.facts["float_layers"]
            lines += ["", f"## Sensitivity of {step.step}", ""]
            lines += ["Root mean square change of the outputs when only this layer is quantized; f: left in float.", ""]
            lines += [row(["layer", "change", ""]), row(["---"] * 3)]
            lines += [row([name, f"{change:.4f}", "f" if name in floats else ""]) for name, change in ranking]
    return lines


def _vocabulary(steps: Iterable[StepReport]) -> list[str]:
    lines = [f"- {step}: {told}" for step, told in report_vocabulary.told(steps)]
    return ["", "## Vocabulary", "", *lines] if lines else []


def row(cells: Sequence[str]) -> str:
    """A row of a Markdown table."""
    return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"


def _middle(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]
