"""Golden vectors: texts with the tokens and logits that were measured for them, and their replay elsewhere."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgekd.artifact import Artifact
from edgekd.engine import Engine
from edgekd.errors import EdgekdError
from edgekd.reading import Reader

GOLDEN = "golden.json"
# 8-bit logits differ a little between instruction sets, by rounding alone; those of fp32 hardly.
_SHARE = {"fp32": 1e-3, "other": 5e-2}


def record(folder: Path, texts: Sequence[tuple[str, ...]], exact: bool) -> str:
    """golden.json for an artifact's folder: what it gives, here and now, for some texts.

    The tolerance is a share of the logits' spread, or of 1 where that is less.
    """
    tokens, logits = _run(folder, texts)
    spread = max(1.0, float(max(row.max() for row in logits) - min(row.min() for row in logits)))
    rows = [
        {"texts": list(text), "tokens": ids, "logits": [float(value) for value in values]}
        for text, ids, values in zip(texts, tokens, logits, strict=True)
    ]
    found = {"tolerance": spread * _SHARE["fp32" if exact else "other"], "rows": rows}
    return json.dumps(found, indent=1, ensure_ascii=False) + "\n"


def replay(folder: Path, golden: Path) -> str:
    """Compare an artifact with its golden vectors. Raises EdgekdError at the first difference that is too large."""
    kept = json.loads(golden.read_text(encoding="utf-8"))
    rows = kept["rows"]
    tokens, logits = _run(folder, [tuple(row["texts"]) for row in rows])
    largest = 0.0
    for number, (row, ids, values) in enumerate(zip(rows, tokens, logits, strict=True), start=1):
        if ids != row["tokens"]:
            raise EdgekdError(f"golden row {number}: other tokens than recorded", "The tokenizer is not the right one.")
        difference = max(abs(float(ours) - theirs) for ours, theirs in zip(values, row["logits"], strict=True))
        if not difference <= kept["tolerance"]:
            raise EdgekdError(
                f"golden row {number}: a logit differs by {difference:.3g}, the limit is {kept['tolerance']:.3g}",
                "This runtime does not compute what was measured: do not use it with this model.",
            )
        largest = max(largest, difference)
    return f"selftest passed: {len(rows)} rows, largest difference {largest:.2g} of {kept['tolerance']:.2g} allowed"


def _run(folder: Path, texts: Sequence[tuple[str, ...]]) -> tuple[list[list[int]], list[Any]]:
    """Token ids and logits of each text, one row at a time; the logits of all its positions one after another."""
    reader = Reader(Artifact.load(folder))
    tokens = [reader.encode([text]) for text in texts]
    with Engine() as engine:
        executable = engine.compile(folder)
        logits = [reader.run(executable, row).ravel() for row in tokens]
    return [row.ids[0].tolist() for row in tokens], logits
