"""A built-in set of sentences with named entities: people, places, companies and products of invented names.

A name tells nothing of its type: all are made of the same syllables, and which type one has is drawn. Half of the
sentences tell it by their words ("moved to ..."), the other half would take any type. Every second entity of the
validation split is one that training never shows, so what those sentences say of it is only to be had from a
dictionary: `dictionary` lists all names with their types. No sentence of it is one of training's.
"""

import random
from itertools import product
from typing import Any

VERSION = 2  # bump when the produced rows change

TYPES = ("person", "place", "company", "product")
DEFAULTS = {"task": "tokens", "text": ("words",), "label": "tags", "metric": "f1"}

TRAIN_ROWS, VALIDATION_ROWS = 1200, 300
NAMES = 480  # a third of them is held out
_SYLLABLES = ("ba", "del", "fin", "gor", "ka", "lim", "mu", "nes", "or", "pal", "ro", "sen", "ti", "vu", "wen", "zar")
_TELLING = {
    "person": ("{} was born in 1961 .", "her brother {} smiled at us .", "we met {} and his wife ."),
    "place": ("they moved to {} last year .", "the train to {} was late .", "the mayor of {} resigned ."),
    "company": ("{} hired two hundred engineers .", "shares of {} fell by a tenth .", "he works for {} ."),
    "product": ("I charged my {} all night .", "the screen of the {} broke .", "a new {} costs ninety dollars ."),
}
_OPEN = (
    "everyone talks about {} these days .",
    "have you heard of {} ?",
    "{} is what we like best .",
    "nobody here remembers {} , or {} .",
    "I read an article about {} and {} .",
    "this is all about {} !",
    "what do you think of {} ?",
)
_EMPTY = ("nothing happened today .", "it rained for hours .", "we had lunch at noon .", "that was a long week .")
_OTHER_EMPTY = ("nobody came .", "we waited there until noon .", "it was a week of rain .", "lunch happened late .")


def generate(seed: int = 42) -> dict[str, list[dict[str, Any]]]:
    """{"train": rows, "validation": rows}; a row has `words` and `tags`, in BIO."""
    draw = random.Random(seed)
    names = dictionary()
    known, unseen = names[: 2 * NAMES // 3], names[2 * NAMES // 3 :]
    train = [_row(draw, (known, known), _EMPTY) for _ in range(TRAIN_ROWS)]
    seen = {tuple(row["words"]) for row in train}
    rows = []
    for _ in range(VALIDATION_ROWS):
        row = _row(draw, (known, unseen), _OTHER_EMPTY)
        while tuple(row["words"]) in seen:  # then its names are known ones: those of the next too, or more were unseen
            row = _row(draw, (known, known), _OTHER_EMPTY)
        rows.append(row)
    return {"train": train, "validation": rows}


def dictionary() -> list[tuple[str, str]]:
    """All names with their types, those of the validation split too, whatever the seed."""
    draw = random.Random("names")
    words = ["".join(parts) for parts in product(_SYLLABLES, repeat=2)]
    draw.shuffle(words)
    single, double = words[: NAMES // 2], words[NAMES // 2 :]
    pairs = [f"{first} {second}" for first, second in product(double, repeat=2) if first != second]
    found = [*single, *draw.sample(pairs, NAMES - len(single))]
    draw.shuffle(found)
    return [(name, TYPES[number % len(TYPES)]) for number, name in enumerate(found)]


def _row(draw: random.Random, names: tuple[list[tuple[str, str]], ...], empty: tuple[str, ...]) -> dict[str, Any]:
    if draw.random() < 0.1:
        words = draw.choice(empty).split()
        return {"words": words, "tags": ["O"] * len(words)}
    name, kind = draw.choice(draw.choice(names))
    template = draw.choice(_OPEN if draw.random() < 0.5 else _TELLING[kind])
    found: dict[str, list[str]] = {"words": [], "tags": []}
    for word in template.split():
        if word != "{}":
            found["words"].append(word)
            found["tags"].append("O")
            continue
        parts = name.split()
        found["words"] += parts
        found["tags"] += [f"B-{kind}", *[f"I-{kind}"] * (len(parts) - 1)]
        name, kind = draw.choice(draw.choice(names))
    return found
