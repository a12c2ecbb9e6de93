"""Files of tagged words, read as a task's rows."""

from pathlib import Path

from edgekd.data import Data
from edgekd.data_options import DataOptions
from tests.fuzz.mutators import raw
from tests.fuzz.target import Target

SEEDS = (
    b"EU\tB-ORG\nrejects\tO\nGerman\tB-MISC\ncall\tO\n\nPeter\tB-PER\nBlackburn\tI-PER\n",
    b"-DOCSTART- -X- -X- O\n\nBRUSSELS NNP B-NP B-LOC\n1996-08-22 CD I-NP O\n.\t.\tO\tO\n\nhe PRP S-PER\n\nit X O\n",
    "北\tB-LOC\n京\tE-LOC\n的\tO\n\n我\tO\nİstanbul U-LOC\n(Paris).\tL-LOC\n".encode(),
)
WORDS = (
    "\n",
    "\n\n",
    "\t",
    " ",
    "\tB-X\n",
    "I-",
    "O",
    "-DOCSTART-",
    "\r\n",
    "\u2028",
    "\x85",
    "\xa0",
    "\ufeff",
    "词",
    ".",
    "(",
    "a.",
)


def check(data: bytes, folder: Path) -> None:
    for split in ("train", "dev"):
        (folder / f"{split}.conll").write_bytes(data)
    found = Data(DataOptions(source=str(folder), task="tokens", text=("words",), label="tags"))
    found.check()
    found.read()
    assert len(found.train.texts) == len(found.train.counts)
    _ = found.entities


TARGET = Target("data readers: tagged words", check, SEEDS, raw(WORDS), share=6)
