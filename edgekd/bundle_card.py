"""A bundle's README.md: a model card in the Hugging Face form, from what a run's report says of the artifact."""

from collections.abc import Mapping, Sequence
from typing import Any

from edgekd.artifact import Manifest
from edgekd.task import TASKS

_USE = """
## Use

```sh
python3 -m venv .venv && .venv/bin/pip install --no-deps --require-hashes -r requirements.txt
.venv/bin/python predict.py --selftest
.venv/bin/python predict.py "A sentence."
```
"""


def card(name: str, manifest: Manifest, report: Mapping[str, Any], step: Mapping[str, Any]) -> str:
    """`report` is a run's report.json, `step` its entry of the artifact."""
    import yaml

    score, data = step["score"], report["data"].get("source", "data")
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
    labels = f", labels {', '.join(manifest.labels)}" if manifest.labels else ""
    parts = [
        f"---\n{yaml.safe_dump(head, sort_keys=False, allow_unicode=True)}---",
        f"# {name}",
        f"{what} of {' and '.join(manifest.text)}{labels}; up to {manifest.max_length} tokens. "
        f"Format {manifest.format}, {step['model_size'] / 1e6:.1f} MB; computes in {precision}.",
        "## Scores",
        f"On the {score['rows']} rows of the development split, each by the runtime that serves the artifact:",
        _scores(report, step),
        "## Latency",
        "Of single inferences on rows of the development split at their real lengths, without the tokenizer.",
        _latencies(step["timings"]),
        "## Data",
        f"Trained on {data}.",
    ]
    if manifest.offline:
        parts.append("**A stand-in**: no model hub answered when it was made, so the recipe's offline block applied.")
    return "\n\n".join(parts) + "\n" + _USE


def _scores(report: Mapping[str, Any], step: Mapping[str, Any]) -> str:
    """The artifact and all that it was made from, back to the first."""
    by_id = {entry["step"]: entry for entry in report["steps"]}
    lines = ["| artifact | format | score |", "|---|---|---|"]
    entry: Mapping[str, Any] | None = step
    while entry is not None:
        score = entry["score"]
        lines.append(f"| {entry['step']} | {entry['format']} | {score['metric']} {score['value']:.4f} |")
        entry = by_id.get(entry["source"] or "")
    return "\n".join(lines)


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
    return "\n".join(lines)
