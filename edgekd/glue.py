"""GLUE's tasks as presets: columns, label names and metric of each configuration of the data set nyu-mll/glue.

Metrics after Wang et al., "GLUE" (2018), table 1; where the paper gives two, the one leaderboards rank by first.
"""

from typing import Any

REPOSITORY = "nyu-mll/glue"


def _classify(text: tuple[str, ...], labels: tuple[str, ...], metric: str, dev: str = "validation") -> dict[str, Any]:
    fields = {"task": "classification", "text": text, "label": "label", "labels": labels, "metric": metric}
    return {**fields, "splits": {"train": "train", "dev": dev}}


_PAIR = ("sentence1", "sentence2")
_ENTAILS = ("entailment", "not_entailment")
_NLI = ("entailment", "neutral", "contradiction")

PRESETS: dict[str, dict[str, Any]] = {
    "cola": _classify(("sentence",), ("unacceptable", "acceptable"), "matthews_correlation"),
    "sst2": _classify(("sentence",), ("negative", "positive"), "accuracy"),
    "mrpc": _classify(_PAIR, ("not_equivalent", "equivalent"), "f1"),
    "qqp": _classify(("question1", "question2"), ("not_duplicate", "duplicate"), "f1"),
    "stsb": {
        "task": "regression",
        "text": _PAIR,
        "label": "label",
        "metric": "spearman",
        "splits": {"train": "train", "dev": "validation"},
    },
    "mnli": _classify(("premise", "hypothesis"), _NLI, "accuracy", "validation_matched"),
    "mnli_mismatched": _classify(("premise", "hypothesis"), _NLI, "accuracy", "validation_mismatched"),
    "qnli": _classify(("question", "sentence"), _ENTAILS, "accuracy"),
    "rte": _classify(_PAIR, _ENTAILS, "accuracy"),
    "wnli": _classify(_PAIR, _ENTAILS, "accuracy"),
}
# nyu-mll/glue calls these configurations otherwise: mnli's mismatched dev set is a split of the same configuration,
# and WNLI's labels mean not_entailment = 0.
PRESETS["wnli"]["labels"] = ("not_entailment", "entailment")
CONFIGURATIONS = {"mnli_mismatched": "mnli"}
