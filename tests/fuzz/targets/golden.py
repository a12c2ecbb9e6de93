"""The golden vectors of a bundle."""

import json
from pathlib import Path

from edgekd import selftest
from tests.fuzz.mutators import json_tree
from tests.fuzz.target import Target

SEEDS = (
    json.dumps(
        {"tolerance": 0.05, "rows": [{"texts": ["a cat"], "tokens": [2, 5, 3], "logits": [0.5, -1.0]}]}
    ).encode(),
    json.dumps({"tolerance": 1, "rows": [{"texts": ["a", "b"], "tokens": [2], "logits": [1]}] * 2}).encode(),
)


def check(data: bytes, folder: Path) -> None:
    (folder / "golden.json").write_bytes(data)
    rows, tolerance = selftest.read(folder / "golden.json")
    for row in rows:
        assert max(abs(0.0 - each) for each in row.logits) is not None
        "".join(row.texts).encode()
    float(tolerance)


TARGET = Target("archives: golden vectors of bundles", check, SEEDS, json_tree(SEEDS), share=3)
