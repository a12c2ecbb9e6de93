"""Writes pairs of sentences, for the distillation of a task of pairs on general text: a pair a line, a tab between.

python benchmarks/pairs.py --text FILE [--rows 40000] [--seed 7] > pairs.txt

Half are two consecutive sentences of a paragraph; half are a sentence and itself without some of its words, with a few
of another sentence's instead. So a teacher of similarity answers all over its scale. FILE has a paragraph a line.
"""

import argparse
import random
import re
import sys
from collections.abc import Iterator
from pathlib import Path

WORDS = range(4, 29)  # of a sentence
KEPT, FOREIGN = (0.5, 1.0), 0.3  # share of words that stay; how often one that goes is another sentence's word instead


def sentences(paragraph: str) -> list[str]:
    return [part for part in re.split(r"(?<=[.!?]) +", paragraph.strip()) if len(part.split()) in WORDS]


def varied(sentence: str, other: str, draw: random.Random) -> str:
    share, foreign = draw.uniform(*KEPT), other.split()
    kept = (
        word if draw.random() < share else draw.choice(foreign) if draw.random() < FOREIGN else ""
        for word in sentence.split()
    )
    return " ".join(filter(None, kept)) or other


def pairs(paragraphs: list[str], draw: random.Random) -> Iterator[tuple[str, str]]:
    before = ""
    for paragraph in paragraphs:
        found = sentences(paragraph)
        for one, other in zip(found[::2], found[1::2], strict=False):
            yield (one, other) if draw.random() < 0.5 or not before else (one, varied(one, before, draw))
            before = other


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", type=Path, required=True, help="Plain text, a paragraph a line")
    parser.add_argument("--rows", type=int, default=40_000)
    parser.add_argument("--seed", type=int, default=7)
    given = parser.parse_args()
    draw = random.Random(given.seed)
    paragraphs = given.text.read_text(encoding="utf-8").splitlines()
    draw.shuffle(paragraphs)
    found = list(pairs(paragraphs, draw))[: given.rows]
    if len(found) < given.rows:
        print(f"{given.text} gives {len(found)} pairs only", file=sys.stderr)
    for pair in found:
        print("\t".join(re.sub(r"\s+", " ", text) for text in pair))


if __name__ == "__main__":
    main()
