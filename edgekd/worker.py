"""The agent: runs on the device in a fresh process, gives an artifact's outputs or its raw times, and ends.

It reads one JSON job from standard input and tells records (edgekd.records) on standard output. It ends by itself when
standard input is closed, and when the job's deadline has passed.

A job: {"do": "score" | "time" | "profile" | "probe" | "hold", "deadline": S, ...}
    score  "artifact": FOLDER, "runtime": NAME, "threads": N, "settings": {NAME: VALUE} (if any), "inputs": FILE.npz,
           "longest": FILE.npz, "outputs": FILE.npy   writes the outputs of all rows, one row after another: (rows,
           outputs) or, of a model that answers for each token, (tokens, outputs); says memory and precision, and keeps
           the file until it ends
    time   the first five, and "cores": "all" | "big", "batch": N, "runs": N, "skip": N, "min_s": S, "max_s": S,
           "warmup_s": S, "watch_s": S, "texts": [...], "max_start_c": C | null   says the seconds of each from row
           SKIP, and the machine's state before, after, and every watch_s seconds
    profile  as score, without the files it writes   says the seconds of each kind of operator
    probe  "folder": FOLDER   says what the machine is and how it is now
    hold   "lock": FILE, "holder": TEXT   says when no one else measures here, and keeps it so until it ends
"""

import os
import shutil
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd import machine, state
from edgekd.engine import Engine
from edgekd.errors import EdgekdError
from edgekd.records import asked, end_after, lend, say, say_error, wait
from edgekd.resident import peak
from edgekd.runtime import RUNTIMES, EngineDevice, Executable, installed

VERSION = 4
_COOLING_S = 600.0


def main() -> None:
    """Read the job from standard input, do it, and tell what an EdgekdError stopped."""
    try:
        job = asked()
        end_after(job["deadline"])
        match job["do"]:
            case "probe":
                _probe(job)
            case "hold":
                _hold(job)
            case _:
                _measure(job)
    except EdgekdError as error:
        say_error(error)


def _probe(job: dict[str, Any]) -> None:
    free = shutil.disk_usage(job["folder"]).free
    runtimes = {}
    for name in RUNTIMES.names:
        try:
            runtimes[name] = installed(RUNTIMES.get(name).libraries)
        except EdgekdError:
            runtimes[name] = {}
    say("probe", machine=machine.fingerprint(), state=state.now(), free=free, runtimes=runtimes)
    say("end", version=VERSION)


def _hold(job: dict[str, Any]) -> None:
    """Keep a lock of the kernel's: it is free again however this process ends."""
    import fcntl

    Path(job["lock"]).parent.mkdir(parents=True, exist_ok=True)
    with Path(job["lock"]).open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            say("busy", holder=lock.read())
            fcntl.flock(lock, fcntl.LOCK_EX)
        lock.truncate(0)
        lock.write(job["holder"])
        lock.flush()
        say("held")
        wait()


def _measure(job: dict[str, Any]) -> None:
    if job["do"] == "time":
        _settle(job)
    # Before anything else is in memory: what single inferences of the longest rows need.
    rows = _rows(job["longest"] if job["do"] == "score" else job["inputs"])
    base = peak()
    start = time.perf_counter()
    with Engine() as engine:
        device = EngineDevice("cpu", job["threads"], tuple(job.get("settings", {}).items()))
        executable = engine.compile(Path(job["artifact"]), device, runtime=job["runtime"])
        say("load", seconds=time.perf_counter() - start)
        if job["do"] == "profile":
            executable.run(rows[0])
            say("profile", seconds=executable.profile(rows))
        elif job["do"] == "score":
            for row in rows:
                executable.run(row)
            memory = executable.memory()
            facts: dict[str, Any] = {"peak": peak(), "base": base, "held": memory.held}
            facts["padding"] = _score(job, executable, _rows(job["inputs"]))
            libraries = installed(RUNTIMES.get(job["runtime"]).libraries)
            say("facts", **facts, precision=executable.precision(rows[0]), libraries=libraries)
            wait()  # the outputs are not fetched yet
        else:
            _time(job, executable, [_repeated(row, job["batch"]) for row in rows])
    say("end", version=VERSION)


def _score(job: dict[str, Any], executable: Executable, rows: list[dict[str, NDArray[Any]]]) -> float:
    """Outputs of each row alone, as it will be served: under dynamic quantization the rows of a batch share ranges.

    Returns the largest difference that padding makes to an output: a mask that is wrong shows nowhere else.
    """
    lend(job["outputs"])
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


def _settle(job: dict[str, Any]) -> None:
    """Take the cores that are to be timed, and wait until the machine is cool enough."""
    if job["cores"] == "big" and (big := machine.big_cores()):
        os.sched_setaffinity(0, big)
    limit, stop = job["max_start_c"], time.monotonic() + _COOLING_S
    while limit is not None and (warm := state.now()["celsius"]) is not None and warm > limit:
        if time.monotonic() > stop:
            raise EdgekdError(
                f"the processor is at {warm:.0f} degrees after {_COOLING_S / 60:.0f} minutes; max_start_c is {limit:g}",
                "Cool it, or raise max_start_c in the device file.",
            )
        say("progress", done=0)
        time.sleep(5)


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
    states = [_now(0)]
    begun, busy = time.perf_counter(), time.process_time()
    enough, stop, watch = (begun + job[name] for name in ("min_s", "max_s", "watch_s"))
    # One at least, however short the time.
    while not samples or ((len(samples) < job["runs"] or time.perf_counter() < enough) and time.perf_counter() < stop):
        if time.perf_counter() > watch:
            states.append(_now(len(samples)))
            watch = time.perf_counter() + job["watch_s"]
            say("progress", done=len(samples))
        row = rows[(job["skip"] + len(samples)) % len(rows)]
        start = time.perf_counter()
        reused.run(row)
        samples.append(time.perf_counter() - start)
    busy = time.process_time() - busy
    say("samples", seconds=samples, cpu=busy, states=[*states, _now(len(samples))])
    _time_tokenizer(job)


def _now(samples: int) -> dict[str, Any]:
    """The machine's state, and in seconds `at`, by some clock, and `own`, the core time of this process."""
    return {**state.now(), "samples": samples, "at": time.perf_counter(), "own": time.process_time()}


def _repeated(row: dict[str, NDArray[Any]], batch: int) -> dict[str, NDArray[Any]]:
    return row if batch == 1 else {name: np.repeat(value, batch, axis=0) for name, value in row.items()}


def _time_tokenizer(job: dict[str, Any]) -> None:
    samples = []
    if job["texts"] and find_spec("tokenizers"):  # a device may get its tokens from elsewhere
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(Path(job["artifact"]) / "tokenizer.json"))
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
    main()
