"""Rows as batches: what a student and a teacher read of them, and each process's share."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import torch
from accelerate import Accelerator
from accelerate.utils import send_to_device
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader

from edgekd.kd.disturbance import Disturbance
from edgekd.kd.outputs import Outputs
from edgekd.kd.trace import Needs
from edgekd.tokens import Encoded

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows ready to be batched: tokens, targets where they have any, the id that fills short rows.

    Targets are (rows,) or, where the tokens have places of words, (positions,).

    `theirs` are the same rows as the teacher's tokenizer cuts them, where it is another. With `outputs` the teacher
    need not run: `needs` of them are read. With `disturbance` a student sees a dictionary that changes.
    """

    tokens: Encoded
    targets: "NDArray[Any] | None"
    pad_id: int = 0
    theirs: "tuple[Encoded, int] | None" = None
    outputs: Outputs | None = None
    needs: Needs = field(default_factory=Needs)
    disturbance: Disturbance | None = None

    def __len__(self) -> int:
        return len(self.tokens.ids)

    @cached_property
    def _targets(self) -> "list[NDArray[Any]] | None":
        """Of each row, the targets of its words, where they have any."""
        import numpy as np

        if self.targets is None:
            return None
        assert self.tokens.places is not None
        return np.split(self.targets, np.cumsum([len(row) for row in self.tokens.places])[:-1])

    @property
    def taught(self) -> tuple[Encoded, int]:
        """What the teacher reads, and the id that fills it."""
        return self.theirs or (self.tokens, self.pad_id)

    def collate(self, rows: Sequence[int], seed: int = 0) -> dict[str, Any]:
        """A batch of these rows; `seed` is that of what is drawn for them."""

        def tensors(tokens: Encoded, rows: Sequence[int], pad_id: int) -> dict[str, Tensor]:
            return {name: torch.from_numpy(array) for name, array in tokens.pad(rows, pad_id).items()}

        batch: dict[str, Any] = tensors(self.tokens, rows, self.pad_id)
        if self.disturbance is not None:
            if self.outputs is None and self.theirs is None:
                batch["theirs"] = dict(batch)  # a teacher sees the whole dictionary
            disturbed = self.disturbance(self.tokens, self._targets, [int(row) for row in rows], seed)
            batch |= tensors(disturbed, range(len(rows)), self.pad_id)
        if self.tokens.places is not None:
            batch["places"] = _padded([self.tokens.places[row] for row in rows])
            if self._targets is not None:
                batch["labels"] = _padded([self._targets[row] for row in rows])
            if self.theirs is not None and self.theirs[0].places is not None:
                batch["their_places"] = _padded([self.theirs[0].places[row] for row in rows])
        elif self.targets is not None:
            batch["labels"] = torch.from_numpy(self.targets[rows])
        if self.outputs is not None:
            batch["outputs"] = self.outputs.batch(rows, self.needs)
        elif self.theirs is not None:
            tokens, pad_id = self.theirs
            batch["theirs"] = tensors(tokens, rows, pad_id)
        return batch


def _padded(rows: "Sequence[NDArray[Any]]") -> Tensor:
    """Ragged rows as a tensor (rows, longest), filled up with -1."""
    return pad_sequence([torch.from_numpy(row) for row in rows], batch_first=True, padding_value=-1)


def loader(
    accelerator: Accelerator, rows: Rows, order: "Sequence[NDArray[np.int64]]", parts: int, seed: int
) -> Iterator[list[tuple[Any, float]]]:
    """For each batch of row numbers, this process's share of it on the device, in `parts` parts, with what each counts.

    A part counts by its rows, times the processes, over whose gradients the mean is taken.
    """
    processes = accelerator.num_processes
    first, shares = accelerator.process_index * parts, processes * parts
    cut = [[batch[first + part :: shares] for part in range(parts)] for batch in order]
    # A part of a short batch may be empty. It gets a row that counts nothing, so that all processes take the step.
    micro: Any = [part if len(part) else batch[:1] for batch, pieces in zip(order, cut, strict=True) for part in pieces]
    dataset: Any = range(len(rows))
    loader = DataLoader(
        dataset,
        batch_sampler=micro,
        collate_fn=partial(rows.collate, seed=seed),
        pin_memory=accelerator.device.type == "cuda",
    )
    loaded = iter(loader)
    for batch, pieces in zip(order, cut, strict=True):
        yield [
            (send_to_device(next(loaded), accelerator.device, non_blocking=True), len(part) * processes / len(batch))
            for part in pieces
        ]
