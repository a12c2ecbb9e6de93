"""A report read back from report.json, and as flat rows: one of each artifact on each device."""

import csv
import io
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from edgekd.errors import EdgekdError
from edgekd.report import Percentile, Report, StepReport, Timing


@dataclass(frozen=True)
class Row:
    """One artifact on one device. Sizes in bytes, times in seconds; None: not known, not stated, or emulated."""

    step: str
    stage: str
    format: str
    source: str | None
    metric: str | None
    score: float | None
    score_low: float | None
    score_high: float | None
    change: float | None  # of the score, against the source
    change_low: float | None
    change_high: float | None
    model_size: int
    share: float | None  # of the source's model_size
    device: str | None
    emulated: bool
    runtime: str | None
    threads: int | None
    precision: str | None
    samples: int | None
    p50: float | None
    p50_low: float | None
    p50_high: float | None
    p90: float | None
    p90_low: float | None
    p90_high: float | None
    p99: float | None
    energy: float | None  # joules of an inference
    peak_memory: int | None
    gates: str
    cached: bool
    seconds: float


def rows(report: Report) -> list[Row]:
    by_id = {step.step: step for step in report.steps}
    return [
        Row(**_artifact(step, by_id.get(step.source or "")), **_timed(timing))
        for step in report.steps
        for timing in step.timings or (None,)
    ]


def to_csv(report: Report) -> str:
    """A header and a line a row; what is not known is empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(Row)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows(report))
    return text.getvalue()


def from_json(raw: Mapping[str, Any]) -> Report:
    """The report of a report.json, of this edgekd or an earlier one. Raises EdgekdError where it is something else."""
    from pydantic import TypeAdapter, ValidationError

    try:
        # JSON has no infinity: a gate's value that could not be stated is null.
        steps = [
            {
                **step,
                "gates": [
                    {**gate, "value": math.inf if gate["value"] is None else gate["value"]} for gate in step["gates"]
                ],
            }
            for step in raw["steps"]
        ]
        found = TypeAdapter(Report).validate_python({**raw, "steps": steps})
        if not found.steps:
            raise TypeError("it has no step")
        return found
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        problem = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    except KeyError as error:
        problem = f"it lacks {error}"
    except TypeError as error:
        problem = str(error)
    raise EdgekdError(f"this is not the report of a run: {problem}", "Run the recipe again; cached steps stay.")


def gated(step: StepReport) -> str:
    """What the gates say of an artifact."""
    return "refused" if not step.passed else ("passed" if step.gates else "-")


def _artifact(step: StepReport, source: StepReport | None) -> dict[str, Any]:
    score = step.score
    return {
        "step": step.step,
        "stage": step.stage,
        "format": step.format,
        "source": step.source,
        "metric": score.metric if score else None,
        "score": score.value if score else None,
        **_ends("score", score.interval if score else None),
        "change": score.value - source.score.value if score and source and source.score else None,
        **_ends("change", step.change),
        "model_size": step.model_size,
        "share": step.model_size / source.model_size if source and source.model_size else None,
        "gates": gated(step),
        "cached": step.cached,
        "seconds": step.seconds,
    }


def _timed(timing: Timing | None) -> dict[str, Any]:
    shown = {rank: timing.latency.percentile(rank) if timing else None for rank in (50, 90, 99)}
    told = ("device", "runtime", "threads", "precision", "energy", "peak_memory")
    return {
        **{name: getattr(timing, name, None) for name in told},
        "emulated": bool(timing and timing.latency.emulated),
        "samples": len(timing.latency.seconds) if timing else None,
        **{f"p{rank}": found.value if found else None for rank, found in shown.items()},
        **_ends("p50", _span(shown[50])),
        **_ends("p90", _span(shown[90])),
    }


def _span(found: Percentile | None) -> tuple[float, float] | None:
    return (found.low, found.high) if found else None


def _ends(name: str, interval: tuple[float, float] | None) -> dict[str, float | None]:
    low, high = interval or (None, None)
    return {f"{name}_low": low, f"{name}_high": high}
