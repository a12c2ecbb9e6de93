"""What a tagger's dictionary is worth: F1 on dev with its own, with none, with a wrong one, and with any other.

python benchmarks/dictionary.py runs/ner_dictionary/onnx_int8
    [--dictionary FILE ...] [--kind LABEL=TYPE ...] [--split NAME]

Scored by the runtime that serves the artifact, whose files stay as they are. `own` is the artifact's dictionary;
`right` has the dev split's entities too, where their labels are its types or --kind says which; `mistyped` and
`right, mistyped` have the entries of `own` and of `right`, each with the type after its own; `noise` has as many words
of dev as `right` has more than `own`, of no entity, with drawn types.
Recall is told apart for entities that the train split names and for those that it never does.
"""

import argparse
import random
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from edgekd.artifact import DICTIONARY, Artifact
from edgekd.data import Data, Split
from edgekd.data_options import DataOptions
from edgekd.dictionary import Dictionary
from edgekd.engine import Engine
from edgekd.reading import Reader
from edgekd.tagging import OUTSIDE
from edgekd.words import spans


def entities(data: Data, split: Split, logits: Any) -> set[tuple[int, int, int, str, str]]:
    """Row, start, end, type and lower-case text of every entity."""
    answers = data.task.decode(logits, data.labels, split.texts)
    return {
        (row, found["start"], found["end"], found["type"], found["text"].lower())
        for row, answer in enumerate(answers)
        for found in answer["entities"]
    }


def noise(data: Data, kinds: tuple[str, ...], count: int) -> tuple[tuple[str, str], ...]:
    """Words of dev that no entity has, with drawn types."""
    texts = [data.dev.texts[row][0] for row in range(len(data.dev))]
    found = [text[start:end].lower() for text in texts for start, end in spans(text)]
    outside = data.labels.index(OUTSIDE)
    free = {word for word, target in zip(found, data.dev.targets, strict=True) if target == outside}
    free -= {word for word, target in zip(found, data.dev.targets, strict=True) if target != outside}
    draw = random.Random(0)
    return tuple((word, draw.choice(kinds)) for word in draw.sample(sorted(free), min(count, len(free))))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("artifact", type=Path)
    parser.add_argument("--dictionary", type=Path, action="append", default=[])
    parser.add_argument("--kind", action="append", default=[], metavar="LABEL=TYPE", help="types unlike the labels")
    parser.add_argument("--split", help="in the place of dev, as one that the recipe never reads")
    given = parser.parse_args()
    resolved = yaml.safe_load((given.artifact.absolute().parent / "recipe.yaml").read_text())
    options = DataOptions.model_validate(resolved["data"])
    if given.split:
        options = options.model_copy(update={"splits": options.splits.model_copy(update={"dev": given.split})})
    data = Data(options, resolved["seed"])
    artifact = Artifact.load(given.artifact)
    own = Dictionary.read(artifact.path / DICTIONARY)
    kinds = own.kinds
    gold = entities(data, data.dev, np.eye(len(data.labels))[data.dev.targets])
    known = {text.lower() for text, _ in data.entities}
    spoken = {kind: kind for kind in kinds} | dict(pair.split("=") for pair in given.kind)
    named = [
        (data.dev.texts[row][0][start:end], spoken[kind]) for row, start, end, kind, _ in sorted(gold) if kind in spoken
    ]
    turned = {kind: kinds[(number + 1) % len(kinds)] for number, kind in enumerate(kinds)}
    right = Dictionary(tuple(dict.fromkeys([*own.entries, *named])))
    made = {
        "own": own,
        "none": Dictionary(()),
        "right": right,
        "mistyped": Dictionary(tuple((entry, turned[kind]) for entry, kind in own.entries)),
        "right, mistyped": Dictionary(tuple((entry, turned[kind]) for entry, kind in right.entries)),
        "noise": Dictionary(noise(data, kinds, len(set(named)))),
    }
    made |= {file.name: Dictionary.read(file) for file in given.dictionary}
    print("| dictionary | entries | F1 | recall, seen in train | recall, unseen |\n|---|---|---|---|---|")
    with Engine() as engine, tempfile.TemporaryDirectory() as folder:
        executable = engine.compile(artifact.path)
        for name, dictionary in made.items():
            file = Path(folder, "dictionary.tsv")
            dictionary.write(file)
            reader = Reader(artifact, file)
            logits = reader.run(executable, reader.encode(data.dev.texts))
            found = entities(data, data.dev, logits)
            shares = []
            for seen in (True, False):
                asked = {entity for entity in gold if (entity[4] in known) == seen}
                shares.append(f"{len(asked & found) / max(1, len(asked)):.3f} of {len(asked)}")
            print(f"| {name} | {len(dictionary.entries)} | {data.value(logits):.4f} | {shares[0]} | {shares[1]} |")


if __name__ == "__main__":
    main()
