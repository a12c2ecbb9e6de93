"""A study's results as files: study.json with every run, study.md for people, study.svg as the picture."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from edgekd import study_picture
from edgekd.decoding import json_object
from edgekd.plain import marked_down
from edgekd.report_files import row
from edgekd.store import write_text
from edgekd.study_results import Mean, Results, Summary

JSON, MARKDOWN, PICTURE = "study.json", "study.md", "study.svg"


def write(results: Results, folder: Path) -> None:
    summaries = results.summaries()
    raw = {**asdict(results), "runs": results.runs, "summaries": [asdict(summary) for summary in summaries]}
    if picture := study_picture.svg(results):
        write_text(folder / PICTURE, picture)
    write_text(folder / MARKDOWN, markdown(results, summaries))
    write_text(folder / JSON, json.dumps(raw, indent=1, ensure_ascii=False) + "\n")


def seconds(folder: Path) -> dict[str, float]:
    """What an earlier pass of a study took to make each measured artifact, by key: it is cached now."""
    try:
        runs = json_object(folder / JSON)["outcomes"]
        return {run["key"]: run["seconds"] for run in runs if run["seconds"] is not None}
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
        return {}


def table(results: Results, summaries: Sequence[Summary]) -> tuple[list[str], list[list[str]]]:
    """Header and rows: a variant a row."""
    header = ["variant", "seeds", results.metric, "95 %", "to the base", "95 %"]
    header += [f"of {results.against}"] if results.against else []
    rows = []
    for summary in summaries:
        cells = [summary.variant, str(len(summary.scores))]
        cells += [*_stated(summary.score, ""), *_stated(summary.difference, "+")]
        cells += [f"{summary.share.value:.1%}" if summary.share else "-"] if results.against else []
        rows.append(cells)
    return header, rows


def markdown(results: Results, summaries: Sequence[Summary]) -> str:
    done, base = len(results.outcomes), ", ".join(results.base.values())
    lines = [f"# {results.name}", ""]
    lines += [
        f"{results.when}, recipe {results.recipe}, {results.metric} of {results.measure}, edgekd {results.edgekd}."
    ]
    lines += [f"Seeds {', '.join(map(str, results.seeds))} of {', '.join(results.seeded)}. Base: {base}.", ""]
    if done < results.runs:
        lines += [f"**Not finished**: {done} of {results.runs} runs. The same command goes on.", ""]
    if results.overrides:
        applied = ", ".join(results.overrides)
        lines += [f"The hub was not used: overrides of the recipe's offline block applied to {applied}.", ""]
    header, rows = table(results, summaries)
    lines += [row(header), row(["---"] * len(header)), *map(row, rows), ""]
    if any(summary.score for summary in summaries):
        lines += [f"![{results.name}]({PICTURE})", ""]
    lines += [
        "95 %: Student's t interval of the mean over seeds; of one score, or of equal ones, there is none. To the",
        "base: mean difference of runs with equal seeds. The intervals tell what the seeds of the steps named above",
        f"change, not what other dev rows would, and are not widened for {len(summaries) - 1} comparisons: of twenty",
        "variants that equal the base, one is expected to exclude 0 by chance. Nothing was timed.",
        "",
    ]
    if notes := [f"- {summary.variant}: {note}" for summary in summaries for note in summary.notes]:
        lines += ["## Notes", "", *notes, ""]
        if any(outcome.refused for outcome in results.outcomes):
            lines += ["A refused artifact that has a score counts: without it the mean would flatter.", ""]
    lines += ["## Every run", ""]
    lines += [row(["variant", "seed", results.metric, "seconds", "artifact"]), row(["---"] * 5)]
    lines += [
        row(
            [
                outcome.variant,
                str(outcome.seed),
                "-" if outcome.score is None else f"{outcome.score:.4f}",
                "-" if outcome.seconds is None else f"{outcome.seconds:.0f}",
                outcome.key[:8],
            ]
        )
        for outcome in results.outcomes
    ]
    data = ", ".join(f"{name} {value}" for name, value in results.data.items())
    return "\n".join(map(marked_down, [*lines, "", "## Data", "", data, ""]))


def _stated(mean: Mean | None, sign: str) -> tuple[str, str]:
    if mean is None:
        return "-", "-"
    if mean.low is None:
        return f"{mean.value:{sign}.4f}", "-"
    return f"{mean.value:{sign}.4f}", f"{mean.low:{sign}.4f} to {mean.high:{sign}.4f}"
