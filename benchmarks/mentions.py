"""Writes a tagger's train texts with other names in them, for a phase on unlabelled text, where the teacher tags them.

python benchmarks/mentions.py SOURCE --dictionary FILE [--rows 15000] [--seed 7] > text.txt

SOURCE is what data.source is in a recipe of task: tokens. Of each text, every entity becomes another of train's of its
type, or an entry of the dictionary; in a text without one, a word may. A text a line.
"""

import argparse
import random
from pathlib import Path
from typing import Any

import numpy as np

from edgekd.data import Data
from edgekd.data_options import DataOptions
from edgekd.dictionary import Dictionary
from edgekd.words import spans

LISTED = 0.5  # of the new names are the dictionary's, of whatever type; the others train's, of the same one
NAMED = 0.5  # of the texts without an entity get a name


def places(text: str, answer: dict[str, Any], draw: random.Random) -> list[tuple[int, int, str]]:
    """Where a text's names stand or are to stand, with their types."""
    found = [(entity["start"], entity["end"], entity["type"]) for entity in answer["entities"]]
    if not found and draw.random() < NAMED:
        found = [(*draw.choice(spans(text)), "")]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source")
    parser.add_argument("--dictionary", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=15_000)
    parser.add_argument("--seed", type=int, default=7)
    given = parser.parse_args()
    draw, data = random.Random(given.seed), Data(DataOptions.model_validate({"source": given.source, "task": "tokens"}))
    answers = data.task.decode(np.eye(len(data.labels))[data.train.targets], data.labels, data.train.texts)
    names: dict[str, list[str]] = {}
    for text, kind in data.entities:
        names.setdefault(kind, []).append(text)
    listed = [entry for entry, _ in Dictionary.read(given.dictionary).entries]
    for _ in range(given.rows):
        row = draw.randrange(len(data.train))
        text = data.train.texts[row][0]
        for start, end, kind in reversed(places(text, answers[row], draw)):
            other = listed if not kind or draw.random() < LISTED else names[kind]
            text = f"{text[:start]}{draw.choice(other)}{text[end:]}"
        print(" ".join(text.split()))


if __name__ == "__main__":
    main()
