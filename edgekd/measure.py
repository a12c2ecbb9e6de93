"""Artifact x device -> figures: has the agent run as a fresh process on the device and reads its records.

Scoring and timing are apart: the timed processes do nothing else, and the one that scores also tells the peak memory.
"""

import math
import zipfile
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING, Any

from edgekd import temporary, worker
from edgekd.artifact import Artifact
from edgekd.board import Board
from edgekd.data import Data
from edgekd.device import Device
from edgekd.errors import EdgekdError
from edgekd.reading import Reader
from edgekd.report import Latency, Score, Timing
from edgekd.runtime import EngineDevice, serving
from edgekd.tokens import Encoded

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Texts = Sequence[tuple[str, ...]]
Progress = Callable[[str, float, float], None]
_PROFILED = 100
_WATCH_S = 5.0  # how often a timed process tells the machine's state; it is told between two inferences
_SHORT_S = 0.2  # of warm-up, where processes are many and short
_TOKENIZER_TEXTS = 200
_HEADER = 4096  # bytes that a file of outputs may have beside them


def outputs(
    artifact: Artifact, texts: "Texts", board: Board, progress: Progress, place: EngineDevice | None = None
) -> "tuple[NDArray[np.float32], dict[str, Any]]":
    """Logits of the rows, (positions, outputs), by the runtime that serves the artifact on the device, and what its
    process told: memory in bytes (peak, base, held), the precision that really ran, the libraries' versions.

    Raises EdgekdError where one is no finite number.
    """
    import numpy as np

    with temporary.folder() as folder:
        inputs, target = Path(folder, "inputs.npz"), Path(folder, "outputs.npy")
        reader = Reader(artifact)
        tokens = reader.encode(texts)
        _pack(tokens, inputs)
        longest = Path(folder, "longest.npz")
        _pack(_longest(tokens), longest)
        there = f"{board.scratch}.npy"
        job = {**_job(artifact, board, inputs, place or EngineDevice()), "do": "score"}
        job |= {"longest": board.push(longest), "outputs": there}
        facts: dict[str, Any] = {}
        done = 0
        width = max(1, reader.task.outputs(artifact.manifest.labels))
        rows = int(tokens.lengths.sum()) if reader.task.per_token else len(tokens.ids)
        try:
            with closing(board.ask(job)) as told:
                for record in told:
                    if record["kind"] == "facts":
                        facts = {name: value for name, value in record.items() if name != "kind"}
                        # While the agent is there: it removes the file itself where this process is killed.
                        board.pull(there, target, 4 * rows * width + _HEADER)
                        break
                    if record["kind"] == "progress":
                        done += record["done"]
                        progress("scoring", done, len(tokens.ids))
        finally:
            board.forget(there)
        if not facts:
            raise EdgekdError(f"the agent on {board.device.name} told no facts", "Run it again.")
        given = _loaded(target, (rows, width), board)
    if not np.isfinite(given).all():
        bad = int((~np.isfinite(given)).any(axis=1).sum())
        here = board.device.here
        raise EdgekdError(
            f"{artifact.path.name}: {bad} of {len(given)} outputs are no finite number"
            + ("" if here else f" on {board.device.name}"),
            "Look at the step before it."
            if here
            else "Are they on this machine? Else its runtime is not to be trusted.",
        )
    return reader.answers([given], tokens), facts


def _loaded(file: Path, shape: tuple[int, int], board: Board) -> "NDArray[np.float32]":
    """The outputs that a device sent, which may send anything."""
    import numpy as np

    try:
        # Mapped, so that a header which promises more than the file holds takes no memory.
        given = np.load(file, mmap_mode="r", allow_pickle=False)
        if isinstance(given, np.ndarray) and given.shape == shape and given.dtype == np.float32:
            return np.array(given)
    except Exception:  # of what numpy reads, each part raises its own
        pass
    told = f"{shape[0]:,} rows of {shape[1]} numbers"
    raise EdgekdError(f"what {board.device.name} sent back is not {told}", "Run it again; edgekd devices doctor looks.")


def score(logits: "NDArray[np.floating[Any]]", data: Data) -> Score:
    """All of the task's metrics on dev; the recipe's own is the value. Raises EdgekdError where that is no number."""
    found = {name: data.score(name, logits) for name in data.task.scores(data.labels)}
    value = found.pop(data.metric)
    if not math.isfinite(value):
        raise EdgekdError(
            f"{data.metric} is not a number: the answers to all {len(data.dev)} dev rows are the same",
            "Train longer or at another learning rate, or choose another metric.",
        )
    others = {name: other for name, other in found.items() if math.isfinite(other)}
    return Score(data.metric, value, len(data.dev), others)


@dataclass(frozen=True)
class Sample:
    """Rows to time: their tokens, and texts for the tokenizer (none: it is not timed)."""

    tokens: Encoded
    texts: "Texts" = ()
    batch: int = 1  # how often each row is repeated to one batch


def time(
    artifact: Artifact, sample: Sample, board: Board, place: EngineDevice, facts: dict[str, Any], progress: Progress
) -> Timing:
    """Time inferences of one row, or of one batch of it, after another, in `repeats` fresh processes."""
    device, run = board.device, board.device.run
    with temporary.folder() as folder:
        job = _timing_job(artifact, sample, board, place, Path(folder, "inputs.npz"))
        job |= {"runs": -(-run.min_runs // run.repeats), "min_s": run.min_s, "warmup_s": run.warmup_s}
        job["texts"] = list(sample.texts)
        processes = []
        with board.alone():
            for done in range(1, run.repeats + 1):
                sleep(run.cooldown_s)
                # Each process goes on with the rows where the one before stopped, so that samples are of all of them.
                job["skip"] = (done - 1) * job["runs"]
                processes.append(board.told(job, "load", "first", "samples", "tokenizer"))
                progress(f"timing on {device.name}", done, run.repeats)
            profiled = run.profile and not device.emulated
            operators = _operators(artifact, sample.tokens, board, place) if profiled else {}
    return Timing(
        device=device.name,
        runtime=job["runtime"],
        threads=place.threads,
        fingerprint={**board.fingerprint(), "worker": worker.VERSION, **facts["libraries"]},
        load=tuple(process["load"]["seconds"] for process in processes),
        first=tuple(process["first"]["seconds"] for process in processes),
        latency=Latency(
            tuple(tuple(process["samples"]["seconds"]) for process in processes),
            sum(process["samples"]["cpu"] for process in processes) / max(1, place.threads),
            device.emulated,
        ),
        tokenizer=Latency(
            tuple(tuple(process["tokenizer"]["seconds"]) for process in processes), emulated=device.emulated
        ),
        peak_memory=facts["peak"],
        base_memory=facts["base"],
        when=datetime.now(UTC).isoformat(timespec="seconds"),
        precision=facts["precision"],
        states=tuple(state for process in processes for state in process["samples"]["states"]),
        operators=operators,
        settings=dict(place.settings),
    )


def samples(artifact: Artifact, sample: Sample, board: Board, place: EngineDevice, runs: int, skip: int) -> list[float]:
    """Seconds of so many inferences in one fresh process, from row `skip` on; nothing else of it is told."""
    with temporary.folder() as folder:
        job = _timing_job(artifact, sample, board, place, Path(folder, "inputs.npz"))
        job |= {"runs": runs, "skip": skip, "min_s": 0.0, "warmup_s": min(_SHORT_S, board.device.run.warmup_s)}
        found: list[float] = board.told(job, "samples")["samples"]["seconds"]
    return found


def _timing_job(artifact: Artifact, sample: Sample, board: Board, place: EngineDevice, inputs: Path) -> dict[str, Any]:
    run = board.device.run
    _pack(sample.tokens, inputs)
    job = {**_job(artifact, board, inputs, place), "do": "time", "cores": run.cores, "batch": sample.batch}
    return {**job, "max_s": run.max_s, "watch_s": _WATCH_S, "max_start_c": run.max_start_c, "texts": []}


def _operators(artifact: Artifact, tokens: Encoded, board: Board, place: EngineDevice) -> dict[str, float]:
    """Seconds of one inference by kind of operator, the mean over some rows, in a process of its own."""
    with temporary.folder() as folder:
        inputs = Path(folder, "inputs.npz")
        _pack(tokens.take(range(min(_PROFILED, len(tokens.ids)))), inputs)
        job = {**_job(artifact, board, inputs, place), "do": "profile"}
        seconds: dict[str, float] = board.told(job, "profile")["profile"]["seconds"]
    return seconds


def to_json(timing: Timing) -> dict[str, Any]:
    return asdict(timing)


def from_json(raw: dict[str, Any]) -> Timing:
    latencies = {
        name: Latency(
            tuple(tuple(process) for process in raw[name]["processes"]), raw[name]["cpu_seconds"], raw[name]["emulated"]
        )
        for name in ("latency", "tokenizer")
    }
    return Timing(
        **{**raw, **latencies, "load": tuple(raw["load"]), "first": tuple(raw["first"]), "states": tuple(raw["states"])}
    )


def sample(artifact: Artifact, texts: "Texts", most: int) -> Sample:
    """Rows in a seeded order, so that the first N show the real mix of lengths."""
    import numpy as np

    chosen = [texts[row] for row in np.random.default_rng(0).permutation(len(texts))[:most]]
    return Sample(Reader(artifact).encode(chosen), chosen[:_TOKENIZER_TEXTS])


def _longest(tokens: Encoded, count: int = 20) -> Encoded:
    return tokens.take(tokens.lengths.argsort(kind="stable")[-count:].tolist())


def scored(device: Device, rows: int) -> "NDArray[np.intp] | None":
    """Which of the rows a device scores, None for all of them."""
    import numpy as np

    count = device.run.score_rows
    if count is None or count >= rows:
        return None
    return np.sort(np.random.default_rng(0).permutation(rows)[:count])


def _job(artifact: Artifact, board: Board, inputs: Path, place: EngineDevice) -> dict[str, Any]:
    runtime = serving(artifact.manifest.format)
    job = {"artifact": board.push(artifact.path), "runtime": runtime, "inputs": board.push(inputs)}
    return {**job, "threads": place.threads, "settings": dict(place.settings)}


def _pack(tokens: "Encoded", file: Path) -> None:
    import numpy as np

    flat: dict[str, Any] = {
        "ids": np.concatenate(tokens.ids),
        "types": np.concatenate(tokens.types),
        "ends": np.cumsum(tokens.lengths),
    }
    if tokens.kinds:
        flat["dictionary"] = np.concatenate([tokens.features(row) for row in range(len(tokens.ids))])
    # As np.savez, without the time of day: the same rows are the same file, which a device may have already.
    with zipfile.ZipFile(file, "w") as packed:
        for name, values in flat.items():
            with packed.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, np.asanyarray(values), allow_pickle=False)
