"""Artifacts on a device, without a recipe: does it answer there as here, and how fast."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekd import __version__, benchmark_model, measure, own_rows, tuned
from edgekd.artifact import MANIFEST, Artifact
from edgekd.board import Board
from edgekd.decoding import decoded
from edgekd.device import Device
from edgekd.errors import EdgekdError
from edgekd.report import Gate, Timing
from edgekd.report_files import RECIPE
from edgekd.runtime import EngineDevice, serving
from edgekd.task import TASKS
from edgekd.tokens import Encoded


@dataclass(frozen=True)
class Shape:
    """What is timed: rows at their real lengths (length 0), or of one length; so many of them a batch."""

    length: int = 0
    batch: int = 1

    def __str__(self) -> str:
        return f"{self.batch} x {self.length or 'real lengths'}"


@dataclass(frozen=True)
class Benched:
    """One artifact on one device in one shape. `gates`: its answers there against those here."""

    artifact: str
    shape: Shape
    timing: Timing
    gates: tuple[Gate, ...]


def texts(folder: Path, file: Path | None) -> measure.Texts:
    """What an artifact is benched on: the lines of a file, or the dev split of the run that it is a step of.

    Raises EdgekdError, with what to give, where there is neither.
    """
    if file is not None:
        lines = [line.strip() for line in decoded(file.read_bytes(), str(file)).splitlines() if line.strip()]
        if not lines:
            raise EdgekdError(f"{file} holds no line of text", "Write one text a line; a tab between two of a pair.")
        found = [tuple(line.split("\t")) for line in lines]
        wanted = Artifact.load(folder, check=False).manifest.text
        if wrong := next((row for row in found if len(row) != len(wanted)), None):
            problem = f"{file}: {wrong[0][:40]!r} begins a line of {len(wrong)} texts, the model takes {len(wanted)}"
            raise EdgekdError(problem, "Write one text a line; a tab between two of a pair, and none elsewhere.")
        return found
    if not (folder / MANIFEST).is_file():
        Artifact.load(folder)  # tells which artifacts lie there
    if not (folder.absolute().parent / RECIPE).is_file():
        raise EdgekdError(f"{folder} is no step of a run", "Give texts of your own: --texts FILE, one a line.")
    return own_rows.again(folder, Artifact.load(folder, check=False).manifest.data).dev.texts


def bench(
    device: Device,
    folders: Sequence[Path],
    given: Sequence[measure.Texts],
    shapes: Sequence[Shape],
    progress: measure.Progress,
) -> list[Benched]:
    """Score a sample of the rows on the device and on this machine, then time each shape and thread count.

    Raises EdgekdError where the device cannot be reached, is not what its file expects, or an artifact does not run
    there. What answers otherwise than here is told by a gate that failed.
    """
    found, names = [], _names(folders)
    with Board(device) as board, Board(Device(name="this machine")) as here:
        board.fingerprint()
        for folder, rows in zip(folders, given, strict=True):
            artifact = Artifact.load(folder)
            runtime = serving(artifact.manifest.format)
            if not device.serves(runtime):
                served = ", ".join(device.runtimes or ())
                raise EdgekdError(f"{folder}: {device.name} does not have {runtime}", f"Its file says: {served}.")
            facts, gates = _answers(artifact, rows, board, here, progress)
            places = dict.fromkeys(_places(artifact, runtime, board, facts["libraries"]), facts)
            for place in filter(lambda place: place.settings, places):  # may compute otherwise, and take other memory
                _, places[place] = measure.outputs(artifact, rows[:1], board, progress, place)
            for shape in shapes:
                sample = _sample(artifact, rows, shape, device.run.min_runs)
                for place, told in places.items():
                    timing = measure.time(artifact, sample, board, place, told, progress)
                    found.append(Benched(names[folder], shape, timing, gates))
    return found


def second_opinion(device: Device, folders: Sequence[Path]) -> list[benchmark_model.Told]:
    """What LiteRT's own program says of the TFLite artifacts, where the device's file names it; of emulated hardware it
    is not asked. Raises EdgekdError where it fails.
    """
    names, loaded = _names(folders), {folder: Artifact.load(folder) for folder in folders}
    artifacts = {folder: found for folder, found in loaded.items() if found.manifest.format == benchmark_model.FORMAT}
    if device.benchmark_model is None or device.emulated or not artifacts:
        return []
    with Board(device) as board, board.alone():
        return [
            told
            for folder, artifact in artifacts.items()
            for told in benchmark_model.measure(board, artifact, names[folder], device.run.threads)
        ]


def _places(artifact: Artifact, runtime: str, board: Board, libraries: Mapping[str, str]) -> list[EngineDevice]:
    """The device file's thread counts, and what was found for the artifact on such a machine with such libraries."""
    found = [EngineDevice("cpu", threads) for threads in board.device.run.threads]
    best = [
        entry
        for entry in tuned.read(artifact.path)
        if entry.runtime == runtime
        and entry.fits(board.fingerprint())
        and dict(entry.libraries) == {**libraries, "edgekd": __version__}
    ]
    own = {EngineDevice("cpu", entry.threads, tuple(entry.settings.items())): None for entry in best[-1:]}
    return list(dict.fromkeys([*found, *own]))


def _names(folders: Sequence[Path]) -> dict[Path, str]:
    """What a bench calls its artifacts: by their steps, or where two are alike by their paths."""
    short = [folder.name for folder in folders]
    return {folder: folder.name if short.count(folder.name) == 1 else folder.as_posix() for folder in folders}


def _answers(
    artifact: Artifact, rows: measure.Texts, board: Board, here: Board, progress: measure.Progress
) -> tuple[dict[str, Any], tuple[Gate, ...]]:
    scored = measure.scored(board.device, len(rows))
    asked = rows if scored is None else [rows[row] for row in scored]
    theirs, facts = measure.outputs(artifact, asked, board, progress)
    if board.device.here:
        return facts, ()
    ours, _ = measure.outputs(artifact, asked, here, progress)
    task, limit = TASKS.get(artifact.manifest.task)(), board.device.run.min_agreement
    same, off = task.agreement(theirs, ours), abs(theirs - ours).max()
    told = f"share of {len(theirs)} answers as on this machine, where an output differs by {off:.2g} at most,"
    return facts, (Gate(told, same, limit, same >= limit),)


def _sample(artifact: Artifact, rows: measure.Texts, shape: Shape, most: int) -> measure.Sample:
    sample = measure.sample(artifact, rows, most)
    if shape.length:
        if sample.tokens.kinds:
            raise EdgekdError(
                f"{artifact.path.name} reads a dictionary, and words repeated to a length are in none",
                "Leave --lengths out: its texts are timed at their own.",
            )
        # Real words, repeated or cut to the length: which rows of the embedding table are read is as in real text.
        ids = [_stretched(row, shape.length) for row in sample.tokens.ids]
        types = [_stretched(row, shape.length) for row in sample.tokens.types]
        return measure.Sample(Encoded(ids, types), batch=shape.batch)
    return measure.Sample(sample.tokens, sample.texts, shape.batch)


def _stretched(row: Any, length: int) -> Any:
    import numpy as np

    return np.resize(row, length)
