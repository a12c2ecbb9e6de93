"""The file of outputs that a device sends back."""

import io
from pathlib import Path

import numpy as np

from edgekd import measure
from edgekd.board import Board
from tests.fuzz.mutators import raw
from tests.fuzz.target import Target
from tests.fuzz.targets import agent


def _npy(values: np.ndarray) -> bytes:
    content = io.BytesIO()
    np.save(content, values)
    return content.getvalue()


def _npz() -> bytes:
    content = io.BytesIO()
    np.savez(content, a=np.zeros(3))
    return content.getvalue()


SOUND = np.array([[0.5, -1.0], [2.0, 0.25]], dtype=np.float32)
SEEDS = (_npy(SOUND), _npy(SOUND.astype(np.float64)), _npy(SOUND[:1]), _npy(np.array([{"a": 1}])), _npz())
WORDS = (
    "'descr': '|O'",
    "'descr': '<U9'",
    "(2, 2)",
    "(99999999999, 99999999)",
    "(-1, 2)",
    "()",
    "True",
    "nan",
    "{",
    "}",
    "((((",
    "\x93NUMPY",
    "PK",
)


def check(data: bytes, folder: Path) -> None:
    with Board(agent.device(agent.SEEDS[1], data)) as board:
        logits, _ = measure.outputs(agent.artifact(folder), agent.TEXTS, board, agent.quiet)
    assert logits.shape == (2, 2) and logits.dtype == np.float32 and np.isfinite(logits).all()


TARGET = Target("protocol: outputs that a device sends", check, SEEDS, raw(WORDS), share=2)
