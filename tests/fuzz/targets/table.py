"""Whole files of rows by the library `datasets`, as a recipe's data: slow, so few."""

from pathlib import Path

import datasets

from edgekd.data import Data
from edgekd.data_options import DataOptions
from tests.fuzz.mutators import raw
from tests.fuzz.target import Target
from tests.fuzz.targets import delimited

SEEDS = (
    *delimited.SEEDS,
    b'{"sentence": "a b", "label": 1}\n{"sentence": "c", "label": 0}\n{"sentence": "d", "label": 0}\n',
    b'{"sentence": ["a", "b"], "label": ["B-X", "O"]}\n' + b'{"sentence": ["c"], "label": ["O"]}\n' * 2,
    b'{"sentence": "Paris is.", "label": [{"start": 0, "end": 5, "label": "LOC"}]}\n' * 3,
)
WORDS = (*delimited.WORDS, "{", "}", "[", "]", "null", '"label": ', "1e999", "-1", '"start": ')


def check(data: bytes, folder: Path) -> None:
    datasets.config.HF_DATASETS_CACHE = folder / "cache"
    suffix = "jsonl" if data[:1] == b"{" else "csv"
    for split in ("train", "dev"):
        (folder / f"{split}.{suffix}").write_bytes(data)
    task = "tokens" if (suffix == "jsonl" and b"[" in data[:40]) or b"start" in data[:60] else "classification"
    options = DataOptions(
        source=str(folder), task=task, text=("sentence",), label="label", empty="drop" if b"null" in data else "refuse"
    )
    found = Data(options)
    found.check()
    found.read()


TARGET = Target("data readers: whole files, by datasets", check, SEEDS, raw(WORDS), share=0.2)
