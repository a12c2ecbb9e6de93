"""A bundle's README.md: a model card in the Hugging Face form, from what a run's report says of the artifact."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from edgekd import report_rows
from edgekd.artifact import DICTIONARY, Manifest
from edgekd.bundle_requirements import Target
from edgekd.data import Data
from edgekd.plain import marked_down
from edgekd.report import StepReport, Timing
from edgekd.task import TASKS

_USE = """
## Use

For {target}: `edgekd bundle --platform --python` makes it for others.

```sh
python{version} -m venv .venv && .venv/bin/pip install --no-deps --require-hashes -r requirements.txt
.venv/bin/python predict.py --selftest
.venv/bin/python predict.py "A sentence."
{other}```
"""
_OTHER = """\
# With another dictionary, an entry, a tab and its type a line, instead of the model's own:
.venv/bin/python predict.py --dictionary FILE "A sentence."
"""


def card(
    name: str, manifest: Manifest, report: Mapping[str, Any], step: Mapping[str, Any], rows: Data, target: Target
) -> str:
    """`report` is a run's report.json, `step` its entry of the artifact, `rows` what the run learnt from; `target` is
    whose packages are required.
    """
    import yaml

    score, data = step["score"], rows.options.source
    if report["data"].get("source") == "files":
        data = Path(data).name  # where it lies is its owner's affair
    said = marked_down(data)
    precision = step["timings"][0]["precision"] if step["timings"] else "not told"
    per_token = TASKS.get(manifest.task).per_token
    what = "Tags" if per_token else manifest.task.capitalize()
    kind = "token-classification" if per_token else "text-classification"
    result = {
        "task": {"type": kind},
        "dataset": {"name": data, "type": data, "split": "validation"},
        "metrics": [{"type": score["metric"], "value": round(score["value"], 4)}],
    }
    head = {
        "library_name": "edgekd",
        "pipeline_tag": kind,
        "tags": ["edgekd", manifest.format],
        "model-index": [{"name": name, "results": [result]}],
    }
    labels = marked_down(f", labels {', '.join(manifest.labels)}" if manifest.labels else "")
    parts = [
        f"---\n{yaml.safe_dump(head, sort_keys=False, allow_unicode=True)}---",
        f"# {name}",
        f"{what} of {marked_down(' and '.join(manifest.text))}{labels}; up to {manifest.max_length} tokens. "
        f"Format {manifest.format}, {step['model_size'] / 1e6:.1f} MB; computes in {precision}.",
        "## Scores",
        f"On the {score['rows']} rows of the development split, each by the runtime that serves the artifact:",
        _scores(report, step),
        *_told(_of_scores(report, step)),
        "## Latency",
        "Of single inferences on rows of the development split at their real lengths, without the tokenizer.",
        _latencies(step["timings"]),
        *_told(_of_latencies(report, step)),
        "## Data",
        f"Trained on {said}: {marked_down(_counts(rows))}",
    ]
    if manifest.offline:
        parts.append(_stand_in(report["overrides"]))
    other = _OTHER if DICTIONARY in manifest.files else ""
    return "\n\n".join(parts) + "\n" + _USE.format(target=target, version=target.version, other=other)


def _counts(rows: Data) -> str:
    """How many rows, and how many of each label."""
    told = f"{len(rows.train)} rows to learn from, {len(rows.dev)} of the development split."
    if rows.task.continuous() or not rows.labels:
        return told
    what = "words" if rows.task.per_token else "rows"
    counts = ((name, int((rows.train.targets == number).sum())) for number, name in enumerate(rows.labels))
    return f"{told} Labels among the {what} to learn from: {', '.join(f'{name} {count}' for name, count in counts)}."


def _stand_in(overrides: Sequence[str]) -> str:
    """What the recipe's offline block replaced."""
    data = any(name.partition(".")[0] == "data" for name in overrides)
    other = any(name.partition(".")[0] != "data" for name in overrides)
    what = " and ".join(["the data"] * data + ["the pretrained model"] * other)
    return (
        f"**A stand-in for {what}**: no model hub was used when it was made, and the recipe's offline block set "
        f"{', '.join(overrides)}."
    )


def _typed(report: Mapping[str, Any]) -> dict[str, StepReport]:
    return {entry.step: entry for entry in report_rows.from_json(report).steps}


def _told(doubts: Iterable[str]) -> list[str]:
    lines = [marked_down(f"- {doubt}") for doubt in doubts]
    return ["Before quoting one:", "\n".join(lines)] if lines else []


def _of_scores(report: Mapping[str, Any], step: Mapping[str, Any]) -> Iterator[str]:
    """What is doubted of the artifact and of all that it was made from, but for their times."""
    found = _typed(report)
    for entry in (found[each["step"]] for each in _line(report, step)):
        timed = {f"{timing.device}: {doubt}" for timing in entry.timings for doubt in timing.doubts}
        yield from (f"{entry.step}: {doubt}" for doubt in entry.doubts if doubt not in timed)


def _of_latencies(report: Mapping[str, Any], step: Mapping[str, Any]) -> Iterator[str]:
    """Those latencies of the artifact that are not to be quoted without reading what is doubted of them."""
    timings = _typed(report)[step["step"]].timings
    yield from (f"{_place(timing)}: {'; '.join(timing.doubts)}" for timing in timings if timing.doubts)


def _place(timing: Timing) -> str:
    return f"{timing.device}, {timing.threads} thread{'s' * (timing.threads != 1)}"


def _scores(report: Mapping[str, Any], step: Mapping[str, Any]) -> str:
    lines = ["| artifact | format | score |", "|---|---|---|"]
    for entry in _line(report, step):
        score = entry["score"]
        lines.append(f"| {entry['step']} | {entry['format']} | {score['metric']} {score['value']:.4f} |")
    return "\n".join(map(marked_down, lines))


def _line(report: Mapping[str, Any], step: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The artifact and all that it was made from, back to the first."""
    by_id = {entry["step"]: entry for entry in report["steps"]}
    entry: Mapping[str, Any] | None = step
    while entry is not None:
        yield entry
        entry = by_id.get(entry["source"] or "")


def _latencies(timings: Sequence[Mapping[str, Any]]) -> str:
    lines = ["| device | processor | threads | p50 ms (95 %) | p90 ms | samples |", "|---|---|---|---|---|---|"]
    for timing in timings:
        latency = timing["latency"]
        middle, high = latency["p50"], latency["p90"]
        median = (
            f"{1e3 * middle['value']:.2f} ({1e3 * middle['low']:.2f} to {1e3 * middle['high']:.2f})" if middle else "-"
        )
        tail = f"{1e3 * high['value']:.2f}" if high else "-"
        processor = timing["fingerprint"].get("processor", "unknown")
        lines.append(
            f"| {timing['device']} | {processor} | {timing['threads']} | {median} | {tail} | {latency['samples']} |"
        )
    return "\n".join(map(marked_down, lines))
