"""Artifact x device -> figures: starts the worker as a fresh process on the device and reads its records.

Scoring and timing are apart: the timed processes do nothing else, and the one that scores also tells the peak memory.
"""

import json
import math
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekd import records, worker
from edgekd.artifact import Artifact
from edgekd.data import Data
from edgekd.device import Connection, Device
from edgekd.errors import EdgekdError
from edgekd.reading import Reader
from edgekd.report import Latency, Score, Timing
from edgekd.runtime import serving
from edgekd.tokens import Encoded

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Progress = Callable[[str, float, float], None]
_DEADLINE = 3600.0
_TOKENIZER_TEXTS = 200


def outputs(
    artifact: Artifact, data: Data, connection: Connection, progress: Progress
) -> "tuple[NDArray[np.float32], dict[str, Any]]":
    """Logits of the dev split (positions, outputs) by the runtime that serves the artifact, and what its process told:
    memory in bytes (peak, base, held), the precision that really ran, the libraries' versions.
    """
    import numpy as np

    with tempfile.TemporaryDirectory(prefix="edgekd-") as folder:
        inputs, target = Path(folder, "inputs.npz"), Path(folder, "outputs.npy")
        reader = Reader(artifact)
        tokens = reader.encode(data.dev.texts)
        _pack(tokens, inputs)
        longest = Path(folder, "longest.npz")
        _pack(_longest(tokens), longest)
        job = {**_job(artifact, connection, inputs), "do": "score", "threads": 1}
        job |= {"longest": connection.push(longest), "outputs": str(target)}
        facts: dict[str, Any] = {}
        done = 0
        for record in _records(connection, job):
            if record["kind"] == "facts":
                facts = {name: value for name, value in record.items() if name != "kind"}
            elif record["kind"] == "progress":
                done += record["done"]
                progress("scoring", done, len(tokens.ids))
        given = np.load(target)
    if not np.isfinite(given).all():
        bad = int((~np.isfinite(given)).any(axis=1).sum())
        raise EdgekdError(
            f"{artifact.path.name}: {bad} of {len(given)} outputs are no finite number", "Look at the step before it."
        )
    return reader.answers([given], tokens), facts


def score(logits: "NDArray[np.floating[Any]]", data: Data) -> Score:
    """All of the task's metrics on dev; the recipe's own is the value. Raises EdgekdError where that is no number."""
    found = {name: data.score(name, logits) for name in data.task.metrics}
    value = found.pop(data.metric)
    if not math.isfinite(value):
        raise EdgekdError(
            f"{data.metric} is not a number: the answers to all {len(data.dev)} dev rows are the same",
            "Train longer or at another learning rate, or choose another metric.",
        )
    others = {name: other for name, other in found.items() if math.isfinite(other)}
    return Score(data.metric, value, len(data.dev), others)


def time(
    artifact: Artifact, data: Data, device: Device, threads: int, facts: dict[str, Any], progress: Progress
) -> Timing:
    """Time single inferences over dev rows at their real lengths, in `repeats` fresh processes."""
    connection = device.connect()
    run = device.run
    try:
        tokens, texts = _sample(artifact, data, run.min_runs)
        with tempfile.TemporaryDirectory(prefix="edgekd-") as folder:
            inputs = Path(folder, "inputs.npz")
            _pack(tokens, inputs)
            job = {
                **_job(artifact, connection, inputs),
                "do": "time",
                "threads": threads,
                "runs": -(-run.min_runs // run.repeats),
                "max_s": run.max_s,
                "warmup_s": run.warmup_s,
                "texts": texts,
            }
            processes = []
            for done in range(1, run.repeats + 1):
                # Each process goes on with the rows where the one before stopped, so that samples are of all of them.
                job["skip"] = (done - 1) * job["runs"]
                processes.append({record["kind"]: record for record in _records(connection, job)})
                progress(f"timing on {device.name}", done, run.repeats)
        return Timing(
            device=device.name,
            runtime=job["runtime"],
            threads=threads,
            fingerprint={**connection.fingerprint(), "worker": worker.VERSION, **facts["libraries"]},
            load=tuple(process["load"]["seconds"] for process in processes),
            first=tuple(process["first"]["seconds"] for process in processes),
            latency=Latency(
                tuple(tuple(process["samples"]["seconds"]) for process in processes),
                sum(process["samples"]["cpu"] for process in processes) / max(1, threads),
            ),
            tokenizer=Latency(tuple(tuple(process["tokenizer"]["seconds"]) for process in processes)),
            peak_memory=facts["peak"],
            base_memory=facts["base"],
            when=datetime.now(UTC).isoformat(timespec="seconds"),
            precision=facts["precision"],
        )
    finally:
        connection.close()


def to_json(timing: Timing) -> dict[str, Any]:
    return asdict(timing)


def from_json(raw: dict[str, Any]) -> Timing:
    latencies = {
        name: Latency(tuple(tuple(process) for process in raw[name]["processes"]), raw[name]["cpu_seconds"])
        for name in ("latency", "tokenizer")
    }
    return Timing(**{**raw, **latencies, "load": tuple(raw["load"]), "first": tuple(raw["first"])})


def _sample(artifact: Artifact, data: Data, most: int) -> "tuple[Encoded, list[tuple[str, ...]]]":
    """Dev rows in a seeded order, so that the first N show the real mix of lengths."""
    import numpy as np

    rows = np.random.default_rng(0).permutation(len(data.dev))[:most]
    texts = [data.dev.texts[row] for row in rows]
    return Reader(artifact).encode(texts), texts[:_TOKENIZER_TEXTS]


def _longest(tokens: Encoded, count: int = 20) -> Encoded:
    return tokens.take(tokens.lengths.argsort(kind="stable")[-count:].tolist())


def _job(artifact: Artifact, connection: Connection, inputs: Path) -> dict[str, Any]:
    runtime = serving(artifact.manifest.format)
    return {"artifact": connection.push(artifact.path), "runtime": runtime, "inputs": connection.push(inputs)}


def _pack(tokens: "Encoded", file: Path) -> None:
    import numpy as np

    flat: dict[str, Any] = {
        "ids": np.concatenate(tokens.ids),
        "types": np.concatenate(tokens.types),
        "ends": np.cumsum(tokens.lengths),
    }
    if tokens.kinds:
        flat["dictionary"] = np.concatenate([tokens.features(row) for row in range(len(tokens.ids))])
    np.savez(file, **flat)


def _records(connection: Connection, job: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The worker's records. Raises the EdgekdError that it tells, and one where its output was cut off."""
    return records.read(connection.run(["edgekd.worker"], json.dumps(job), _DEADLINE))
