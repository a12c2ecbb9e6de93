"""Receipts with key information, as SROIE has them: lines of text and four values, but not where these stand.

ICDAR 2019 Competition on Scanned Receipt OCR and Information Extraction (Huang et al. 2019), task 3. Where a value
stands is found here by these rules: company and address at their first letters and digits that agree, whatever stands
between; the date at its first occurrence; the total where it most closely follows the word "total" or, where it never
does, at its last occurrence. A value that the lines do not hold is not marked.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from edgekd.errors import EdgekdError

PRESET: dict[str, Any] = {"task": "tokens", "text": ("text",), "label": "entities"}


def marked(table: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
    """Columns `lines` and `key` to `text` and `entities`; a table that has those already stays as it is."""
    if "lines" not in table or "key" not in table:
        return dict(table)
    texts, found = list[str](), list[list[dict[str, Any]]]()
    for lines, key in zip(table["lines"], table["key"], strict=True):
        if not _is_receipt(lines, key):
            raise EdgekdError(
                f"row {len(texts) + 1} is no receipt", "Write lines: [{text: ...}, ...] and key: {company: ..., ...}."
            )
        texts.append("\n".join(line["text"] for line in lines))
        found.append(list(_entities(texts[-1], key)))
    return {"text": texts, "entities": found}


def _is_receipt(lines: Any, key: Any) -> bool:
    return (
        isinstance(lines, list)
        and all(isinstance(line, Mapping) and isinstance(line.get("text"), str) for line in lines)
        and isinstance(key, Mapping)
        and all(value is None or isinstance(value, str) for value in key.values())
    )


def _entities(text: str, key: Mapping[str, str | None]) -> Iterator[dict[str, Any]]:
    for name in ("company", "date", "address", "total"):
        value = (key.get(name) or "").strip()
        span = None
        if value and name in ("company", "address"):
            span = _loosely(text, value)
        elif value:
            places = list(_alone(text, value))
            if name == "total":
                places = sorted(places, key=lambda at: (_after_total(text, at), -at))
            span = (places[0], places[0] + len(value)) if places else None
        if span is not None:
            yield {"start": span[0], "end": span[1], "label": name}


def _after_total(text: str, at: int) -> float:
    """How many characters after the last word "total" a place is."""
    found = text.lower().rfind("total", 0, at)
    return math.inf if found < 0 else at - found


def _loosely(text: str, value: str) -> tuple[int, int] | None:
    """Where the letters and digits of a value stand in a row, in any case."""
    # A small letter may be two characters: of İ it is i and a dot.
    kept = [(number, small) for number, one in enumerate(text) if one.isalnum() for small in one.lower()]
    wanted = "".join(character.lower() for character in value if character.isalnum())
    at = "".join(character for _, character in kept).find(wanted) if wanted else -1
    return None if at < 0 else (kept[at][0], kept[at + len(wanted) - 1][0] + 1)


def _alone(text: str, value: str) -> Iterator[int]:
    """Where a value stands that is no part of a longer number."""
    at = text.find(value)
    while at >= 0:
        before, after = text[max(0, at - 1) : at], text[at + len(value) : at + len(value) + 1]
        if not before.isdigit() and before != "." and not after.isdigit():
            yield at
        at = text.find(value, at + 1)
