"""LiteRT's own benchmark_model, where the user has that program: a second opinion on how fast a device is.

It times one length after another on made-up tokens and keeps no raw times, so its figures stand beside edgekd's and in
none of its reports. Source: LiteRT, tools/benchmark.
"""

import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from edgekd.artifact import Artifact
from edgekd.board import Board
from edgekd.errors import EdgekdError
from edgekd.paths import is_file

FORMAT = "tflite"  # the artifacts that it runs
_DEADLINE = 600.0
_MOST = 2000  # inferences: its figures are a mean and two ends
# Made-up tokens: which rows of a table are read hardly matters to a processor. But all have to be in range.
_RANGES = (("input_ids", "0,99"), ("attention_mask", "1,1"), ("token_type_ids", "0,0"))


@dataclass(frozen=True)
class Told:
    """What it said of one length at one thread count: times in seconds, of inferences unless named otherwise."""

    artifact: str
    length: int
    threads: int
    load: float
    first: float
    mean: float
    low: float
    high: float
    runs: int
    peak_memory: int | None  # bytes

    def __str__(self) -> str:
        ends = f"{1e3 * self.low:.2f} to {1e3 * self.high:.2f} in {self.runs} runs"
        peak = f", peak {self.peak_memory / 1e6:.0f} MB" if self.peak_memory else ""
        return (
            f"{self.artifact}, 1 x {self.length}, {self.threads} threads, by benchmark_model: "
            f"mean {1e3 * self.mean:.2f} ms ({ends}), load {1e3 * self.load:.0f} ms, "
            f"first {1e3 * self.first:.1f} ms{peak}"
        )


def measure(board: Board, artifact: Artifact, name: str, threads: Iterable[int]) -> Iterator[Told]:
    """Run the program on the device, for each length that the artifact has a graph of.

    Raises EdgekdError with its last words where it fails, and where the artifact has inputs that it cannot be told of.
    """
    program = board.device.benchmark_model
    if program is None or not is_file(program):
        raise EdgekdError(
            f"benchmark_model: {program} is no file", "Name LiteRT's program for that device in its file."
        )
    content = (artifact.path / "model.tflite").read_bytes()
    if b"_dictionary" in content:
        raise EdgekdError(f"{name} reads a dictionary, of which benchmark_model cannot be told", "Leave it to edgekd.")
    # An encoder of one segment has no types of tokens. Names lie in the file as they are.
    inputs = [given for given in _RANGES if given[0].encode() in content]
    there, model = board.push(program), f"{board.push(artifact.path)}/model.tflite"
    runs = min(board.device.run.min_runs, _MOST)
    for length in artifact.manifest.facts["lengths"]:
        for count in threads:
            argv = [there, *_flags(model, inputs, length, count, runs)]
            # It was downloaded, so nothing says that it may be run; and it talks on both streams.
            lines = board.link.run(["sh", "-c", 'chmod u+x "$0"; exec "$0" "$@" 2>&1', *argv], {}, deadline=_DEADLINE)
            yield read(lines, name, length, count)


def _flags(model: str, inputs: Sequence[tuple[str, str]], length: int, threads: int, runs: int) -> list[str]:
    names = [f"length_{length}_{name}" for name, _ in inputs]
    ranges = [f"{name},{told}" for name, (_, told) in zip(names, inputs, strict=True)]
    return [
        f"--graph={model}",
        f"--signature_to_run_for=length_{length}",
        f"--input_layer={','.join(names)}",
        f"--input_layer_shape={':'.join([f'1,{length}'] * len(names))}",
        f"--input_layer_value_range={':'.join(ranges)}",
        f"--num_threads={threads}",
        f"--num_runs={runs}",
        "--report_peak_memory_footprint=true",
    ]


_NUMBER = r"(\d{1,15}(?:\.\d{0,15})?(?:e[+-]?\d{1,2})?)"
_TIMES = re.compile(
    rf"Inference timings in us: Init: {_NUMBER}, First inference: {_NUMBER},.* Inference \(avg\): {_NUMBER}"
)
_COUNT = re.compile(r"count=(\d{1,15}) .*?min=(\d{1,15}) max=(\d{1,15})")
_PEAK = re.compile(rf"Overall peak memory footprint \(MB\) via periodic monitoring: {_NUMBER}")
# It says some fifty lines, of a hundred characters.
_LINES, _LINE = 300, 1000


def read(lines: Iterable[str], artifact: str, length: int, threads: int) -> Told:
    """What its output says. Raises EdgekdError, with the end of it, where it holds no result."""
    text = "\n".join(line.rstrip()[:_LINE] for line in deque(lines, maxlen=_LINES))
    times, counts, peak = _TIMES.search(text), _COUNT.findall(text), _PEAK.search(text)
    if not times or not counts:
        told = "\n".join(text.splitlines()[-5:])
        raise EdgekdError(f"benchmark_model told no result of {artifact} at length {length}", told)
    load, first, mean = (float(told) * 1e-6 for told in times.groups())
    runs, low, high = counts[-1]  # the first line of counts is of the warm-up
    return Told(
        artifact,
        length,
        threads,
        load,
        first,
        mean,
        float(low) * 1e-6,
        float(high) * 1e-6,
        int(runs),
        int(float(peak.group(1)) * 1e6) if peak else None,
    )
