"""Mixed precision by measured sensitivity: the layers that few bits hurt most stay in float until the loss fits.

Each layer alone is quantized and what that does to the outputs is measured on train rows; in that order, worst first,
layers go back to float until dev's loss of the metric, and the share of answers that stay, are within the limits.
"""

import shutil
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekd import calibration
from edgekd.artifact import MANIFEST, Artifact
from edgekd.engine import Engine
from edgekd.errors import RefusedError
from edgekd.reading import Reader
from edgekd.runtime import Executable
from edgekd.stage import Job
from edgekd.tokens import Encoded

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Fills a folder with the model whose named layers are in float and whose others are quantized.
Build = Callable[[frozenset[str], Path], None]
_RANKING_ROWS, _TIMING_ROWS, _TIMING_S = 64, 40, 3.0


@dataclass(frozen=True)
class Tried:
    """One choice of float layers: what it loses on dev, the share of rows with the source's answer, and how much faster
    than with all in float it is.
    """

    floats: tuple[str, ...]
    drop: float
    same: float
    speedup: float | None  # None: not asked for, not measured

    def __str__(self) -> str:
        fast = "" if self.speedup is None else f", {self.speedup:.2f} times as fast"
        return f"{len(self.floats)} layers in float: drop {self.drop:.4f}, {self.same:.1%} equal answers{fast}"


@dataclass
class Search:
    """Looks for the fewest float layers with which an artifact keeps its limits."""

    job: Job
    build: Build
    layers: Sequence[str]
    form: str
    max_drop: float
    min_agreement: float
    min_speedup: float | None

    def run(self) -> Mapping[str, Any]:
        """Put the model into job.out; returns the ranking and the layers left in float, for the manifest.

        Raises RefusedError, with the best that was found, where no choice keeps them.
        """
        assert self.job.source is not None
        with Engine() as engine:
            source = engine.compile(self.job.source.path)
            # Not the source: it may be of another, slower runtime.
            slow = self._made(engine, frozenset(self.layers), "float") if self.min_speedup is not None else None
            rows = [*calibration.samples(self.job, _RANKING_ROWS)]
            target, theirs = self._answers(source), [source.run(row)["logits"] for row in rows]
            tried = [self._try((), target, slow)]
            ranking: list[tuple[str, float]] = []
            if not self._kept(tried[-1]):
                ranking = self._rank(rows, theirs)
            for count in range(1, len(ranking)):  # with all of them in float nothing would be quantized
                if self._kept(tried[-1]) or self._slow(tried[-1]):
                    break
                tried.append(self._try(tuple(name for name, _ in ranking[:count]), target, slow))
                self.job.progress("fallback", count, len(ranking))
        if not self._kept(tried[-1]):
            raise RefusedError(
                self._lost(tried), "Raise max_drop, lower min_agreement or min_speedup, or train the student longer."
            )
        for file in self._draft().iterdir():
            if file.name != MANIFEST:  # the artifact gets its own
                shutil.copy(file, self.job.out)
        return {"float_layers": list(tried[-1].floats), "ranking": [[name, damage] for name, damage in ranking]}

    def _kept(self, tried: Tried) -> bool:
        return tried.drop <= self.max_drop and tried.same >= self.min_agreement and not self._slow(tried)

    def _slow(self, tried: Tried) -> bool:
        return self.min_speedup is not None and tried.speedup is not None and tried.speedup < self.min_speedup

    def _short(self, tried: Tried) -> float:
        """How far from the limits it is, of the score and of the answers."""
        return max(0.0, tried.drop - self.max_drop) + max(0.0, self.min_agreement - tried.same)

    def _lost(self, tried: Sequence[Tried]) -> str:
        fast = [one for one in tried if not self._slow(one)]
        best = min(fast, key=self._short) if fast else max(tried, key=lambda one: one.speedup or 0.0)
        limits = f"a drop of {self.max_drop:g}, {self.min_agreement:.1%} equal answers" + (
            f" and {self.min_speedup:g} times the speed" if self.min_speedup else ""
        )
        return f"no mix of quantized and float layers keeps {limits}; the best of {len(tried)} tried has {best}"

    def _rank(self, rows: Sequence[Any], theirs: Sequence[Any]) -> list[tuple[str, float]]:
        """Layers with the root mean square change of the outputs when only they are quantized, worst first."""
        import numpy as np

        found = []
        for number, layer in enumerate(self.layers, start=1):
            with Engine() as engine:
                ours = self._made(engine, frozenset(self.layers) - {layer})
                change = np.concatenate(
                    [(ours.run(row)["logits"] - logits).ravel() for row, logits in zip(rows, theirs, strict=True)]
                )
            found.append((layer, float(np.sqrt((change**2).mean()))))
            self.job.progress("sensitivity of layers", number, len(self.layers))
        return sorted(found, key=lambda item: (-item[1], item[0]))

    def _try(self, floats: tuple[str, ...], target: "NDArray[np.floating]", slow: Executable | None) -> Tried:
        """Build and measure; what was built last lies in `self._draft()`."""
        with Engine() as engine:
            ours = self._made(engine, frozenset(floats))
            speedup = self._speedup(slow, ours) if slow is not None else None
            found, data = self._answers(ours), self.job.data
            return Tried(floats, data.value(target) - data.value(found), data.task.agreement(found, target), speedup)

    def _made(self, engine: Engine, floats: frozenset[str], name: str = "draft") -> Executable:
        """Build a draft, as an artifact of its own so that the engine takes it."""
        assert self.job.source is not None
        draft = self._draft(name)
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        self.build(floats, draft)
        Artifact.seal(draft, replace(self.job.source.manifest, format=self.form, facts={}, files={}))
        return engine.compile(draft)

    def _draft(self, name: str = "draft") -> Path:
        return self.job.scratch / name

    @cached_property
    def _reader(self) -> Reader:
        assert self.job.source is not None
        return Reader(self.job.source)

    @cached_property
    def _dev(self) -> Encoded:
        return self._reader.encode(self.job.data.dev.texts)

    def _answers(self, executable: Executable) -> "NDArray[np.floating]":
        """To dev, row by row as it is served."""
        return self._reader.run(executable, self._dev)

    def _speedup(self, slow: Executable, ours: Executable) -> float:
        """Median time of the one in float over ours, inferences interleaved so that both see the same machine."""
        rows = [*calibration.samples(self.job, _TIMING_ROWS)]
        ratios: list[float] = []
        stop = time.perf_counter() + _TIMING_S
        while time.perf_counter() < stop or len(ratios) < len(rows):
            row = rows[len(ratios) % len(rows)]
            ratios.append(_seconds(slow, row) / _seconds(ours, row))
        return statistics.median(ratios)


def _seconds(executable: Executable, row: "dict[str, NDArray[np.int64]]") -> float:
    start = time.perf_counter()
    executable.run(row)
    return time.perf_counter() - start
