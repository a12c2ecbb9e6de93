"""A teacher's outputs on every row, computed once and kept in memory-mapped files.

Only what the objectives read is kept: logits in float32, insides in float16, whose rounding (2^-11 of a value) is far
below what dropout does to the student. Rows lie one after another, without padding.
"""

import math
import mmap
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from edgekd.errors import EdgekdError
from edgekd.kd.encoder import per_token
from edgekd.kd.tap import Tap
from edgekd.kd.trace import Needs
from edgekd.tokens import Encoded

if TYPE_CHECKING:
    from numpy.typing import NDArray

_READY = "ready"
_TOKENS_A_BATCH = 4096
_PROJECTIONS = ("queries", "keys", "values")


@dataclass(frozen=True, eq=False)
class Outputs:
    """What a teacher gives for rows of these lengths: in the files of `folder`, once `fill` has run."""

    folder: Path
    needs: Needs
    lengths: "NDArray[np.int64]"
    classes: int
    width: int
    heads: int
    per_token: bool = False  # logits of each token, not of each row

    @classmethod
    def of(cls, teacher: Any, needs: Needs, lengths: "NDArray[np.int64]", folder: Path) -> "Outputs":
        config = teacher.config
        return cls(
            folder,
            needs,
            lengths,
            config.num_labels,
            config.hidden_size,
            config.num_attention_heads,
            per_token(teacher),
        )

    @property
    def size(self) -> int:
        """Bytes of the files."""
        return 4 * int(self._answers[-1]) * self.classes + 2 * sum(int(starts[-1]) for starts in self._starts.values())

    @property
    def ready(self) -> bool:
        return (self.folder / _READY).is_file()

    def fill(
        self, tap: Tap, tokens: Encoded, pad_id: int, device: torch.device, progress: Callable[[int], None]
    ) -> None:
        """Run the teacher over all rows, batched by length. What a stopped fill left is thrown away.

        Raises EdgekdError where a value is larger than float16 holds (65504), or the disk is too full.
        """
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self._reserve()
        logits, insides = self._open("r+")
        done = 0
        for rows in _by_length(self.lengths):
            batch = {
                name: torch.from_numpy(array).to(device) for name, array in tokens.pad(rows.tolist(), pad_id).items()
            }
            with torch.no_grad():
                trace = tap.trace(batch, self.needs)
            for given, row in zip(trace.logits.cpu().numpy(), rows, strict=True):
                own = self._own(row)
                logits[own] = given[: own.stop - own.start] if self.per_token else given
            for name, layers in self._layers.items():
                found = getattr(trace, name)
                stacked = torch.stack([found[layer] for layer in layers], dim=1).half().cpu().numpy()
                if not np.isfinite(stacked).all():
                    raise EdgekdError(
                        f"the teacher's {name} are larger than 16 bits hold", "Set teacher_cache_gb: 0 on the step."
                    )
                for kept, row in zip(stacked, rows, strict=True):
                    self._row(insides[name], name, row)[:] = _cut(name, kept, int(self.lengths[row]))
            done += len(rows)
            _let_go(logits, *insides.values())
            progress(done)
        for array in (logits, *insides.values()):
            array.flush()  # type: ignore[attr-defined]
        (self.folder / _READY).touch()

    def batch(self, rows: Sequence[int], needs: Needs) -> dict[str, Any]:
        """Some of what is kept, filled up to the longest row's n.

        logits (B, C), or (B, n, C) where they are of tokens; by layer, scores (B, h, n, n) and others (B, n, d).
        """
        logits, insides = self._opened
        longest = int(self.lengths[rows].max())
        answers = [torch.from_numpy(np.array(logits[self._own(row)])) for row in rows]
        found: dict[str, Any] = {"logits": pad_sequence(answers, True) if self.per_token else torch.cat(answers)}
        for name, layers in _by_name(needs).items():
            places = [self._layers[name].index(layer) for layer in layers]
            filled = np.zeros((len(rows), len(places), *self._shape(name, longest)[1:]), dtype=np.float16)
            for kept, row in zip(filled, rows, strict=True):
                _cut(name, kept, int(self.lengths[row]))[:] = self._row(insides[name], name, row)[places]
            found[name] = {layer: torch.from_numpy(filled[:, at]) for at, layer in enumerate(layers)}
        _let_go(logits, *insides.values())
        return found

    @cached_property
    def _answers(self) -> "NDArray[np.int64]":
        """Where each row's logits begin, and where the last's end."""
        each = self.lengths if self.per_token else np.ones_like(self.lengths)
        return np.concatenate([[0], np.cumsum(each)]).astype(np.int64)

    def _own(self, row: int) -> slice:
        return slice(int(self._answers[row]), int(self._answers[row + 1]))

    @cached_property
    def _layers(self) -> dict[str, list[int]]:
        return _by_name(self.needs)

    @cached_property
    def _starts(self) -> "dict[str, NDArray[np.int64]]":
        """Where each row's values begin, and where the last's end."""
        sizes = {name: [math.prod(self._shape(name, int(n))) for n in self.lengths] for name in self._layers}
        return {name: np.concatenate([[0], np.cumsum(each)]).astype(np.int64) for name, each in sizes.items()}

    def _shape(self, name: str, length: int) -> tuple[int, ...]:
        layers = len(self._layers[name])
        return (layers, self.heads, length, length) if name == "scores" else (layers, length, self.width)

    def _row(self, flat: "NDArray[np.float16]", name: str, row: int) -> "NDArray[np.float16]":
        start, end = self._starts[name][row : row + 2]
        return flat[start:end].reshape(self._shape(name, int(self.lengths[row])))

    def _files(self) -> "dict[str, tuple[type[np.floating[Any]], tuple[int, ...]]]":
        """Type and shape of what each file holds."""
        insides: dict[str, Any] = {name: (np.float16, (int(starts[-1]),)) for name, starts in self._starts.items()}
        return {"logits": (np.float32, (int(self._answers[-1]), self.classes)), **insides}

    def _reserve(self) -> None:
        """Take the disk's room now: a write to a mapped file that finds none would kill the process."""
        for name, (kind, shape) in self._files().items():
            length = math.prod(shape) * np.dtype(kind).itemsize
            with (self.folder / f"{name}.bin").open("wb") as file:
                try:
                    if hasattr(os, "posix_fallocate"):  # not on macOS, which only notes the length
                        os.posix_fallocate(file.fileno(), 0, length)
                    else:
                        file.truncate(length)
                except OSError as error:
                    shutil.rmtree(self.folder, ignore_errors=True)
                    raise EdgekdError(
                        f"the teacher's outputs take {self.size / 1e9:.2f} GB and cannot be kept: {error.strerror}",
                        "Make room, or set teacher_cache_gb: 0 on the step.",
                    ) from None

    def _open(self, mode: Literal["r", "r+"]) -> "tuple[NDArray[np.float32], dict[str, NDArray[np.float16]]]":
        opened: dict[str, Any] = {
            name: np.memmap(self.folder / f"{name}.bin", kind, mode, shape=shape)
            for name, (kind, shape) in self._files().items()
        }
        return opened.pop("logits"), opened

    @cached_property
    def _opened(self) -> "tuple[NDArray[np.float32], dict[str, NDArray[np.float16]]]":
        return self._open("r")


def _let_go(*arrays: "NDArray[Any]") -> None:
    """Pages of the files that this process has read or written: the system has them, and they count as its memory."""
    for array in arrays if hasattr(mmap, "MADV_DONTNEED") else ():
        assert isinstance(array.base, mmap.mmap)
        array.base.madvise(mmap.MADV_DONTNEED)


def _by_name(needs: Needs) -> dict[str, list[int]]:
    wanted = {"hidden": needs.hidden, "scores": needs.scores, **dict.fromkeys(_PROJECTIONS, needs.projections)}
    return {name: sorted(layers) for name, layers in wanted.items() if layers}


def _cut(name: str, states: "NDArray[np.float16]", length: int) -> "NDArray[np.float16]":
    """The part of a row's padded values that belongs to its tokens."""
    return states[..., :length, :length] if name == "scores" else states[:, :length]


def _by_length(lengths: "NDArray[np.int64]") -> "Iterator[NDArray[np.int64]]":
    """All rows, the longest first (so that memory runs out at once or not at all), in batches of as many tokens."""
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        count = max(1, _TOKENS_A_BATCH // int(lengths[order[start]]))
        yield order[start : start + count]
        start += count
