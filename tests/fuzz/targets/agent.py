"""What an agent on a device tells: its facts, an artifact's scoring, its times, as a hostile one would."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from edgekd import agent, doctor, measure, report_files
from edgekd.artifact import Artifact
from edgekd.board import Board
from edgekd.connection import Connection, Link
from edgekd.device import Device, RunOptions
from edgekd.errors import EdgekdError
from edgekd.runtime import EngineDevice
from tests.fuzz.mutators import json_lines
from tests.fuzz.target import Target
from tests.fuzz.targets.artifact import fill, manifest

agent.file()  # made once, in edgekd's own cache
PREFIX = "@edgekd "
_STATE = {"celsius": 50.0, "mhz": 1500.0, "throttled": [], "throttled_before": ["under-voltage"], "load": 0.1}
_STATE |= {"joules": 1.5, "busy": 10.0, "stolen": 0.0}
_MACHINE = {"processor": "Arm", "model": "Pi", "cores": 4, "architecture": "aarch64", "features": "asimddp"}
_MACHINE |= {"governor": "ondemand", "memory_mb": 4000, "system": "Linux 6", "python": "3.11.2"}
_NOW = [
    {**_STATE, "samples": 4 * at, "at": 1.0 + at, "own": 0.5 + at, "joules": 1.5 + at, "busy": 10.0 + at}
    for at in (0, 1)
]


def _said(*records: dict[str, Any]) -> bytes:
    lines = [PREFIX + json.dumps(record) for record in records]
    return "\n".join(["a library's own words", *lines, ""]).encode()


_END = {"kind": "end", "version": 4}
_FACTS = {
    "peak": 9,
    "base": 5,
    "held": None,
    "padding": 0.0,
    "precision": "int8 in 24 matrix products",
    "libraries": {"onnxruntime": "1.31"},
}
_PROBED = {
    "kind": "probe",
    "machine": _MACHINE,
    "state": _STATE,
    "free": 10**9,
    "runtimes": {"onnxruntime": {"onnxruntime": "1"}, "tflite": {}},
}
_TIMED = (
    {"kind": "load", "seconds": 0.5}, {"kind": "first", "seconds": 0.01},
    {"kind": "samples", "seconds": [0.001, 0.0012, 0.0011, 0.0013], "cpu": 0.0046, "states": _NOW},
    {"kind": "tokenizer", "seconds": [0.0001]}, {"kind": "profile", "seconds": {"MatMul": 0.1}},
)  # fmt: skip
SEEDS = (
    _said({"kind": "busy", "holder": "pi"}, {"kind": "held"}, _PROBED, *_TIMED, {"kind": "facts", **_FACTS}, _END),
    _said({"kind": "load", "seconds": 0.5}, *[{"kind": "progress", "done": 1}] * 3, {"kind": "facts", **_FACTS}, _END),
    _said(_PROBED, _END),
    _said({"kind": "error", "problem": "no memory", "hint": "Free some.", "where": "", "refused": False}),
    _said({"kind": "bug", "trace": "Traceback"}),
)  # fmt: skip


class _Telling(Link):
    """A device whose every command says the input, and whose every file is `file`."""

    def __init__(self, told: bytes, file: bytes) -> None:
        self._told, self._file = told, file

    @property
    def home(self) -> str:
        return "/edgekd"

    def run(self, argv: Any, *_: Any, **__: Any) -> Iterator[str]:
        # As processes.lines reads a pipe.
        yield from (
            self._told.decode(errors="replace").splitlines(keepends=True)
            if any("agent" in word for word in argv)
            else ()
        )

    def push(self, path: Path) -> str:
        return f"/edgekd/{path.name}"

    def pull(self, there: str, here: Path, most: int = 0) -> None:
        here.write_bytes(self._file)


class Telling(Connection):
    told: bytes
    file: bytes = b""

    def open(self) -> Link:
        return _Telling(self.told, self.file)


TEXTS = [("the cat sees a dog .",), ("a cat",)]


def artifact(folder: Path) -> Artifact:
    fill(folder)
    (folder / "manifest.json").write_bytes(manifest())
    return Artifact.load(folder)


def device(told: bytes, file: bytes = b"") -> Device:
    run = RunOptions(repeats=2, min_runs=8, profile=True)
    return Device(name="it", transport=Telling(told=told, file=file), run=run)


def quiet(label: str, done: float, total: float) -> None:
    pass


def check(data: bytes, folder: Path) -> None:
    given, sound = artifact(folder), np.lib.format
    with (folder / "sound.npy").open("wb") as file:
        sound.write_array(file, np.zeros((2, 2), dtype=np.float32))
    it = device(data, (folder / "sound.npy").read_bytes())
    for finding in doctor.examine(it):
        assert isinstance(finding.told, str) and isinstance(finding.hint, str)
    facts: dict[str, Any] = {"peak": 9, "base": 5, "libraries": {}, "precision": "fp32"}
    with Board(it) as board:
        try:
            logits, facts = measure.outputs(given, TEXTS, board, quiet)
            assert logits.shape == (2, 2)
            json.dumps(facts, allow_nan=False)
        except EdgekdError as error:
            assert len(str(error)) < 6000
        timing = measure.time(given, measure.sample(given, TEXTS, 2), board, EngineDevice(), facts, quiet)
    told = measure.to_json(timing)
    json.dumps(told, allow_nan=False)
    assert measure.from_json(json.loads(json.dumps(told))) == timing
    assert all(isinstance(doubt, str) for doubt in timing.doubts)
    _ = timing.energy
    for latency in (timing.latency, timing.tokenizer):
        report_files._derived(latency)
    report_files._figures(timing)


TARGET = Target("protocol: what an agent tells", check, SEEDS, json_lines(SEEDS, ("kind", "seconds"), PREFIX), share=2)
