"""What lies beside a tagger: the scores of its tags' chain, and what its dictionary's features are."""

import json
from pathlib import Path

import numpy as np

from edgekd.artifact import Artifact
from edgekd.reading import Reader
from tests.fuzz.mutators import json_tree
from tests.fuzz.target import Target
from tests.fuzz.targets.artifact import fill, manifest

LABELS = ("O", "B-LOC", "I-LOC")
SEEDS = tuple(
    json.dumps(
        {"kinds": ["LOC"], "longest": longest, "start": [0.0] * 3, "transitions": [[0.5] * 3] * 3, "end": [1] * 3}
    ).encode()
    for longest in (True, False)
)
MANIFEST = manifest(task="tokens", labels=LABELS)


def check(data: bytes, folder: Path) -> None:
    fill(folder)
    (folder / "manifest.json").write_bytes(MANIFEST)
    (folder / "tagger.json").write_bytes(data)
    (folder / "dictionary.tsv").write_bytes(b"a cat\tLOC\n")
    reader = Reader(Artifact.load(folder))
    tokens = reader.encode([("the dog sees a cat .",), ("a",)])
    tokens.pad([0, 1])
    outputs = [np.zeros((len(row), len(LABELS)), dtype=np.float32) for row in tokens.ids]
    logits = reader.answers(outputs, tokens)
    reader.task.decode(logits, LABELS, [("the dog sees a cat .",), ("a",)])


TARGET = Target("archives: tagger.json", check, SEEDS, json_tree(SEEDS), share=3)
