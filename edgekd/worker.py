"""Runs on the device, in a fresh process: loads one artifact, gives its outputs or its raw times, and ends.

It reads one JSON job from standard input and tells records (edgekd.records) on standard output.

A job: {"do": "score" | "time", "artifact": FOLDER, "runtime": NAME, "threads": N, "inputs": FILE.npz, ...}
    score  "longest": FILE.npz, "outputs": FILE.npy   writes the outputs of all rows, one row after another: (rows,
           outputs) or, of a model that answers for each token, (tokens, outputs); says memory and precision
    time   "runs": N, "skip": N, "max_s": S, "warmup_s": S, "texts": [...]   says the seconds of each, from row SKIP
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.engine import Engine
from edgekd.errors import EdgekdError
from edgekd.records import say, say_error
from edgekd.resident import peak
from edgekd.runtime import RUNTIMES, EngineDevice, Executable, installed

VERSION = 2


def main() -> None:
    job = json.loads(sys.stdin.read())
    # Before anything else is in memory: what single inferences of the longest rows need.
    rows = _rows(job["longest"] if job["do"] == "score" else job["inputs"])
    base = peak()
    start = time.perf_counter()
    with Engine() as engine:
        device = EngineDevice("cpu", job["threads"])
        executable = engine.compile(Path(job["artifact"]), device, runtime=job["runtime"])
        say("load", seconds=time.perf_counter() - start)
        if job["do"] == "score":
            for row in rows:
                executable.run(row)
            memory = executable.memory()
            facts: dict[str, Any] = {"peak": peak(), "base": base, "held": memory.held}
            facts["padding"] = _score(job, executable, _rows(job["inputs"]))
            libraries = installed(RUNTIMES.get(job["runtime"]).libraries)
            say("facts", **facts, precision=executable.precision(rows[0]), libraries=libraries)
        else:
            _time(job, executable, rows)
    say("end", version=VERSION)


def _score(job: dict[str, Any], executable: Executable, rows: list[dict[str, NDArray[Any]]]) -> float:
    """Outputs of each row alone, as it will be served: under dynamic quantization the rows of a batch share ranges.

    Returns the largest difference that padding makes to an output: a mask that is wrong shows nowhere else.
    """
    logits, reused = [], _Reused(executable)
    for row in rows:
        logits.append(reused.run(row)["logits"][0].copy())
        say("progress", done=1)
    np.save(job["outputs"], np.concatenate([row.reshape(-1, row.shape[-1]) for row in logits]).astype(np.float32))
    order = sorted(range(len(rows)), key=lambda row: rows[row]["input_ids"].shape[1])
    chosen = order[:: -(-len(order) // 8)] + order[-1:]
    together = executable.run(_padded([rows[row] for row in chosen]))["logits"]
    # Of a model that answers for each token, what it says of padding counts nothing.
    pairs = ((ours, logits[row]) for ours, row in zip(together, chosen, strict=True))
    return max(float(np.abs(ours[: len(alone)] - alone).max()) for ours, alone in pairs)


class _Reused:
    """Runs rows into outputs that are allocated once: for each length, since they may be as long as the row."""

    def __init__(self, executable: Executable) -> None:
        self._executable, self._kept = executable, dict[int, dict[str, NDArray[Any]]]()

    def run(self, row: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        length = row["input_ids"].shape[1]
        found = self._kept[length] = self._executable.run(row, self._kept.get(length))
        return found


def _padded(rows: list[dict[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    """Rows (1, length) as one batch (rows, longest), filled up on the right."""
    width = max(row["input_ids"].shape[1] for row in rows)

    def filled(values: NDArray[Any]) -> NDArray[Any]:
        return np.pad(values, ((0, 0), (0, width - values.shape[1]), *((0, 0),) * (values.ndim - 2)))

    return {name: np.concatenate([filled(row[name]) for row in rows]) for name in rows[0]}


def _time(job: dict[str, Any], executable: Executable, rows: list[dict[str, NDArray[Any]]]) -> None:
    start = time.perf_counter()
    executable.run(rows[0])
    say("first", seconds=time.perf_counter() - start)
    warm = time.perf_counter() + job["warmup_s"]
    position = 0
    reused = _Reused(executable)
    while time.perf_counter() < warm:
        reused.run(rows[position % len(rows)])
        position += 1
    samples: list[float] = []
    stop, busy = time.perf_counter() + job["max_s"], time.process_time()
    while len(samples) < job["runs"] and time.perf_counter() < stop:
        row = rows[(job["skip"] + len(samples)) % len(rows)]
        start = time.perf_counter()
        reused.run(row)
        samples.append(time.perf_counter() - start)
    say("samples", seconds=samples, cpu=time.process_time() - busy)
    if job.get("texts"):
        _time_tokenizer(job)


def _time_tokenizer(job: dict[str, Any]) -> None:
    try:
        from tokenizers import Tokenizer
    except ImportError:  # a device may get its tokens from elsewhere
        say("tokenizer", seconds=[])
        return
    tokenizer = Tokenizer.from_file(str(Path(job["artifact"]) / "tokenizer.json"))
    samples = []
    for text in job["texts"]:
        start = time.perf_counter()
        tokenizer.encode(*text)
        samples.append(time.perf_counter() - start)
    say("tokenizer", seconds=samples)


def _rows(file: str) -> list[dict[str, NDArray[Any]]]:
    """One batch of one row for each: arrays (1, length), int64, and what a dictionary says, float32 (1, length, bits).

    The file holds flat ids, types, row ends and, of a model that reads a dictionary, bits.
    """
    with np.load(file) as packed:
        ids, types, ends, bits = packed["ids"], packed["types"], packed["ends"], packed.get("dictionary")

    def row(start: int, end: int) -> dict[str, NDArray[Any]]:
        cut = ids[start:end][None]
        found = {"input_ids": cut, "attention_mask": np.ones_like(cut), "token_type_ids": types[start:end][None]}
        return found if bits is None else {**found, "dictionary": bits[start:end][None].astype(np.float32)}

    return [row(int(start), int(end)) for start, end in zip([0, *ends[:-1]], ends, strict=True)]


if __name__ == "__main__":
    try:
        main()
    except EdgekdError as error:
        say_error(error)
