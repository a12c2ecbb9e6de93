"""Golden vectors: texts with the tokens and logits that were measured for them, and their replay elsewhere."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from edgekd.artifact import Artifact
from edgekd.engine import Engine
from edgekd.errors import EdgekdError
from edgekd.reading import Reader, whole

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
    """Compare an artifact with its golden vectors. Raises EdgekdError at the first difference that is too large, and
    where there are none.
    """
    rows, tolerance = read(golden)
    tokens, logits = _run(folder, [row.texts for row in rows])
    largest = 0.0
    for number, (row, ids, values) in enumerate(zip(rows, tokens, logits, strict=True), start=1):
        if ids != row.tokens or len(values) != len(row.logits):
            raise EdgekdError(f"golden row {number}: other tokens than recorded", "The tokenizer is not the right one.")
        difference = max(abs(float(ours) - theirs) for ours, theirs in zip(values, row.logits, strict=True))
        if not difference <= tolerance:
            raise EdgekdError(
                f"golden row {number}: a logit differs by {difference:.3g}, the limit is {tolerance:.3g}",
                "This runtime does not compute what was measured: do not use it with this model.",
            )
        largest = max(largest, difference)
    return f"selftest passed: {len(rows)} rows, largest difference {largest:.2g} of {tolerance:.2g} allowed"


class Golden(NamedTuple):
    """A row: its texts, their tokens, and the logits of all its positions one after another."""

    texts: tuple[str, ...]
    tokens: list[int]
    logits: list[float]


def read(golden: Path) -> tuple[list[Golden], float]:
    """Golden vectors and their tolerance. Raises EdgekdError where the file holds none, or would pass anything."""
    try:
        kept = json.loads(golden.read_bytes())
        rows = [
            Golden(whole(tuple(map(_text, row["texts"]))), list(row["tokens"]), [float(each) for each in row["logits"]])
            for row in kept["rows"]
        ]
        tolerance = float(kept["tolerance"])
    except OSError as error:
        raise EdgekdError(f"{golden} cannot be read: {error.strerror}", _ANEW) from None
    except (ValueError, TypeError, LookupError, OverflowError, RecursionError) as error:
        raise EdgekdError(f"{golden} holds no golden vectors: {error}", _ANEW) from None
    if not rows or not all(row.texts and row.logits for row in rows) or not math.isfinite(tolerance):
        raise EdgekdError(f"{golden} holds no golden vectors: nothing would be compared", _ANEW)
    return rows, tolerance


_ANEW = "Make the bundle anew: edgekd bundle RUN/STEP."


def _text(given: object) -> str:
    if not isinstance(given, str):
        raise TypeError("a text is no string")
    return given


def _run(folder: Path, texts: Sequence[tuple[str, ...]]) -> tuple[list[list[int]], list[Any]]:
    """Token ids and logits of each text, one row at a time; the logits of all its positions one after another."""
    reader = Reader(Artifact.load(folder))
    tokens = [reader.encode([text]) for text in texts]
    with Engine() as engine:
        executable = engine.compile(folder)
        logits = [reader.run(executable, row).ravel() for row in tokens]
    return [row.ids[0].tolist() for row in tokens], logits
