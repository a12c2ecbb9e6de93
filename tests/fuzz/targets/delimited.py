"""The first look at CSV and TSV: separator, header, and rows that are too wide."""

from pathlib import Path

from edgekd import delimited, tables
from edgekd.data import Data
from edgekd.data_options import DataOptions
from tests.fuzz.mutators import raw
from tests.fuzz.target import Target

SEEDS = (
    b'sentence,label\n"a, b",1\nc d,0\n',
    b"sentence;label\r\na b;yes\r\nc;no\r\n",
    b'\xef\xbb\xbfsentence\tlabel\nthe "cat"\t1\n\n""\t0\n',
)
WORDS = (
    ",",
    ";",
    "\t",
    '"',
    '""',
    "\n",
    "\r",
    "\r\n",
    "\0",
    "\ufeff",
    "\u2028",
    "label",
    "sentence",
    "词",
    "x" * 140_000,
)


def check(data: bytes, folder: Path) -> None:
    suffix = ".tsv" if b"\t" in data[:30] else ".csv"
    file = folder / f"rows{suffix}"
    file.write_bytes(data)
    options = DataOptions(source=str(file), text=("sentence",), quoting="none" if data[:1] == b"a" else "auto")
    Data(options).check()
    delimited.check_width(file, tables._delimited(file, options))


TARGET = Target("data readers: delimited text", check, SEEDS, raw(WORDS), share=10)
