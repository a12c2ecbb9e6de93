"""Label cells of any kind, as a hub or a JSON file may hold them, by each task."""

import json
from pathlib import Path

from edgekd import receipts
from edgekd.task import TASKS
from tests.fuzz.mutators import json_tree
from tests.fuzz.target import Target

SEEDS = tuple(
    json.dumps(seed).encode()
    for seed in (
        {
            "task": "classification",
            "labels": ["no", "yes"],
            "indexed": True,
            "rows": [[["a text"], 1], [["one"], "no"]],
        },
        {"task": "regression", "labels": [], "indexed": False, "rows": [[["a text", "two"], 2.5], [["one", "x"], "3"]]},
        {"task": "tokens", "labels": [], "indexed": False, "rows": [[[["EU", "is", "here"]], ["B-ORG", "O", "O"]]]},
        {"task": "tokens", "labels": ["O", "B-A", "I-A"], "indexed": True, "rows": [[[["EU", "is"]], [1, 2]]]},
        {
            "task": "tokens",
            "labels": [],
            "indexed": False,
            "rows": [[["Paris is."], [{"start": 0, "end": 5, "label": "LOC"}]], [["a b"], []]],
        },
        {
            "task": "receipts",
            "table": {
                "lines": [[{"text": "SHOP LTD"}, {"text": "1 MAIN ROAD"}, {"text": "TOTAL 9.00"}]],
                "key": [{"company": "SHOP LTD", "date": None, "address": "1 Main Road", "total": "9.00"}],
            },
        },
    )
)


def check(data: bytes, folder: Path) -> None:
    try:
        given = json.loads(data)
        kind, rows = given["task"], given.get("rows", [])
        assert kind == "receipts" or all(isinstance(row, list) and len(row) == 2 for row in rows)
        assert isinstance(given["table"], dict) if kind == "receipts" else kind in TASKS.names
    except Exception:
        return  # only cells are under test here
    if kind == "receipts":
        columns = {name: cells for name, cells in dict(given["table"]).items() if isinstance(cells, list)}
        rows = min(map(len, columns.values()), default=0)  # a table's columns are of one length
        receipts.marked({name: cells[:rows] for name, cells in columns.items()})
        return
    task = TASKS.get(kind)()
    declared = given.get("labels")
    declared = tuple(filter(None, map(str, declared))) if isinstance(declared, list) else ()
    labels = task.labels([label for _, label in rows if label is not None], declared) if rows else declared
    width = 2 if kind == "regression" else 1
    for texts, label in rows:
        cells = texts if isinstance(texts, list) else [texts]
        if label is not None and cells and None not in cells:
            got, targets = task.read([*cells, *cells][:width], label, labels, bool(given.get("indexed")))
            assert got and all(isinstance(text, str) for text in got) and targets


TARGET = Target("data readers: cells", check, SEEDS, json_tree(SEEDS), share=12)
