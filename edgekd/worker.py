"""Runs on the device, in a fresh process: loads one artifact, gives its outputs or its raw times, and ends.

It reads one JSON job from standard input and prints JSON lines, each behind a prefix so that what a library prints
cannot be taken for a record. The last record is {"kind": "end"}: without it the output was cut off.

A job: {"do": "score" | "time", "artifact": FOLDER, "runtime": NAME, "threads": N, "inputs": FILE.npz, ...}
    score  "longest": FILE.npz, "outputs": FILE.npy   says the peak memory of the longest rows, writes logits of all
    time   "runs": N, "skip": N, "max_s": S, "warmup_s": S, "texts": [...]   says the seconds of each, from row SKIP
"""

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.runtime import RUNTIMES, EngineDevice, Executable

PREFIX = "@edgekd "
VERSION = 1


def main() -> None:
    job = json.loads(sys.stdin.read())
    # Before anything else is in memory: what single inferences of the longest rows need.
    rows = _rows(job["longest"] if job["do"] == "score" else job["inputs"])
    base = _peak_bytes()
    start = time.perf_counter()
    executable = RUNTIMES.get(job["runtime"])().compile(Path(job["artifact"]), EngineDevice("cpu", job["threads"]))
    say("load", seconds=time.perf_counter() - start, precision=executable.precision)
    if job["do"] == "score":
        for row in rows:
            executable.run(row)
        say("memory", peak=_peak_bytes(), base=base)
        _score(job, executable, _rows(job["inputs"]))
    else:
        _time(job, executable, rows)
    executable.close()
    say("end", version=VERSION)


def say(kind: str, **values: Any) -> None:
    print(PREFIX + json.dumps({"kind": kind, **values}), flush=True)


def _score(job: dict[str, Any], executable: Executable, rows: list[dict[str, NDArray[Any]]]) -> None:
    """One row at a time, as it will be served: under dynamic quantization the rows of a batch share their ranges."""
    logits = []
    for row in rows:
        logits.append(executable.run(row)["logits"][0])
        say("progress", done=1)
    np.save(job["outputs"], np.stack(logits).astype(np.float32))


def _time(job: dict[str, Any], executable: Executable, rows: list[dict[str, NDArray[Any]]]) -> None:
    start = time.perf_counter()
    executable.run(rows[0])
    say("first", seconds=time.perf_counter() - start)
    warm = time.perf_counter() + job["warmup_s"]
    position = 0
    while time.perf_counter() < warm:
        executable.run(rows[position % len(rows)])
        position += 1
    samples: list[float] = []
    stop, busy = time.perf_counter() + job["max_s"], time.process_time()
    while len(samples) < job["runs"] and time.perf_counter() < stop:
        row = rows[(job["skip"] + len(samples)) % len(rows)]
        start = time.perf_counter()
        executable.run(row)
        samples.append(time.perf_counter() - start)
    say("samples", seconds=samples, cpu=time.process_time() - busy)
    if job.get("texts"):
        _time_tokenizer(job)


def _time_tokenizer(job: dict[str, Any]) -> None:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(Path(job["artifact"]) / "tokenizer.json"))
    samples = []
    for text in job["texts"]:
        start = time.perf_counter()
        tokenizer.encode(*text)
        samples.append(time.perf_counter() - start)
    say("tokenizer", seconds=samples)


def _rows(file: str) -> list[dict[str, NDArray[Any]]]:
    """One batch of one row for each: arrays (1, length), int64. The file holds flat ids, types and row ends."""
    with np.load(file) as packed:
        ids, types, ends = packed["ids"], packed["types"], packed["ends"]

    def row(start: int, end: int) -> dict[str, NDArray[Any]]:
        cut = ids[start:end][None]
        return {"input_ids": cut, "attention_mask": np.ones_like(cut), "token_type_ids": types[start:end][None]}

    return [row(int(start), int(end)) for start, end in zip([0, *ends[:-1]], ends, strict=True)]


def _peak_bytes() -> int:
    """Largest resident size of this process so far.

    Linux keeps in ru_maxrss what the parent had when it started us, so VmHWM is read where there is one.
    """
    try:
        status = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


if __name__ == "__main__":
    main()
