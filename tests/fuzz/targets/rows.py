"""Texts on standard input: plain lines, JSON lines."""

import itertools
import json
from pathlib import Path

from edgekd import asking, words
from tests.fuzz.mutators import json_lines
from tests.fuzz.target import Target

SEEDS = (
    b'the cat sees a dog .\n"quoted"\n["one"]\n{"sentence": "three"}',
    b'["one", "two"]\n{"sentence": "a", "other": "b"}\n"Hello," he said.\n',
    b'{"sentence": ["a"], "other": 1}\n[1, 2]\n\n[[[[]]]]\n',
)


def check(data: bytes, folder: Path) -> None:
    for columns in (("sentence",), ("sentence", "other")):
        for row in asking.rows(data.splitlines(keepends=True), columns):
            for text in row:
                text.encode()  # as every tokenizer does
                json.dumps(row, ensure_ascii=False)
                spans = words.spans(text)
                assert all(before[1] <= after[0] for before, after in itertools.pairwise(spans))


TARGET = Target("data readers: texts to answer for", check, SEEDS, json_lines(SEEDS, (".", "(", "\n")), share=10)
