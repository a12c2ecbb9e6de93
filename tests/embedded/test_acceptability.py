"""The built-in acceptability corpus: reproducible, balanced, and free of easy shortcuts."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import subprocess
import sys
from collections import Counter
from itertools import chain

import pytest

from edgekd.embedded import acceptability
from edgekd.embedded.acceptability import (
    COLUMNS,
    DEFAULTS,
    HELD_OUT_PARADIGMS,
    LABELS,
    generate,
    generate_pairs,
)
from edgekd.embedded.acceptability_words import HELD_OUT_FORMS, SEEN_FORMS

# Digest of the default corpus by VERSION.  If it changes, bump VERSION and add a line.
DIGESTS = {1: "fb04ab3d5508bc48446eecf22ea1d6bf949c0e15ff7fd250467d4e679df7596f"}

Row = dict[str, object]
Splits = dict[str, list[Row]]


@pytest.fixture(scope="module")
def splits() -> Splits:
    return generate()


def digest(splits: Splits) -> str:
    return hashlib.sha256(json.dumps(splits, sort_keys=True).encode()).hexdigest()


def tokens(row: Row) -> list[str]:
    return re.findall(r"[\w']+|[.,?]", str(row["sentence"]).lower())


def has_held_out_word(row: Row) -> bool:
    words = re.findall(r"\w+", str(row["sentence"]))
    return any(word in HELD_OUT_FORMS or word.lower() in HELD_OUT_FORMS for word in words)


def paradigm(row: Row) -> str:
    return str(row["paradigm"])


def matthews(pairs: list[tuple[int, int]]) -> float:
    count = Counter(pairs)
    tp, tn, fp, fn = count[1, 1], count[0, 0], count[0, 1], count[1, 0]
    scale = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
    return (tp * tn - fp * fn) / math.sqrt(scale) if scale else 0.0


def naive_bayes(train: list[Row], order: int) -> dict[tuple[str, ...], float]:
    """The log odds of acceptability that each word n-gram contributes."""
    counts: dict[int, Counter[tuple[str, ...]]] = {0: Counter(), 1: Counter()}
    for row in train:
        words = tokens(row)
        counts[int(str(row["label"]))].update(zip(*(words[i:] for i in range(order)), strict=False))
    return {gram: math.log((counts[1][gram] + 1) / (counts[0][gram] + 1)) for gram in counts[0] | counts[1]}


def test_rows_have_the_documented_shape(splits: Splits) -> None:
    assert set(splits) == {"train", "validation"}
    assert len(splits["train"]) >= 8000
    assert len(splits["validation"]) >= 1000
    assert DEFAULTS["labels"] == LABELS and DEFAULTS["label"] in COLUMNS
    for row in chain(*splits.values()):
        assert tuple(row) == COLUMNS
        assert row["label"] in (0, 1)
        assert re.fullmatch(r"[A-Z][A-Za-z',]*(?: [A-Za-z',]+)+[.?]", str(row["sentence"])), row


def test_articles_fit_the_next_word(splits: Splits) -> None:
    for row in chain(*splits.values()):
        for article, word in re.findall(r"\b(an?) (\w+)", str(row["sentence"]).lower()):
            assert (article == "an") == word.startswith((*"aeiou", "hour", "honest")), row


def test_generation_is_a_function_of_the_seed(splits: Splits) -> None:
    assert generate(42) == splits
    assert generate(43)["train"] != splits["train"]


def test_default_corpus_is_pinned(splits: Splits) -> None:
    assert digest(splits) == DIGESTS[acceptability.VERSION]


@pytest.mark.parametrize("hash_seed", ["0", "12345"])
def test_hash_randomization_does_not_matter(splits: Splits, hash_seed: str) -> None:
    script = (
        "import hashlib, json; from edgekd.embedded.acceptability import generate;"
        "print(hashlib.sha256(json.dumps(generate(), sort_keys=True).encode()).hexdigest())"
    )
    path = os.pathsep.join(filter(None, sys.path))
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": path}
    command = [sys.executable, "-c", script]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == digest(splits)


def test_no_sentence_occurs_twice(splits: Splits) -> None:
    sentences = [row["sentence"] for row in chain(*splits.values())]
    assert len(sentences) == len(set(sentences))


def test_no_sentence_is_good_in_one_place_and_bad_in_another() -> None:
    good: set[str] = set()
    bad: set[str] = set()
    for seed in range(5):
        for pair in chain(*generate_pairs(seed).values()):
            good.add(pair.good)
            bad.add(pair.bad)
    assert not good & bad


def test_labels_are_balanced_overall_and_per_paradigm(splits: Splits) -> None:
    """A minimal pair never straddles the splits, so every paradigm is balanced exactly in both."""
    for rows in splits.values():
        by_label = Counter((paradigm(row), row["label"]) for row in rows)
        for name in {name for name, _ in by_label}:
            assert by_label[name, 0] == by_label[name, 1], name


def test_members_of_a_pair_differ_little_and_share_their_split(splits: Splits) -> None:
    for split, pairs in generate_pairs().items():
        sentences = {(row["sentence"], row["label"]) for row in splits[split]}
        assert sentences == {(p.good, 1) for p in pairs} | {(p.bad, 0) for p in pairs}
        for pair in pairs:
            good, bad = Counter(pair.good.lower().split()), Counter(pair.bad.lower().split())
            assert max((good - bad).total(), (bad - good).total()) <= 4, pair


def test_phenomena_and_paradigms_are_many(splits: Splits) -> None:
    by_phenomenon: dict[object, set[object]] = {}
    for row in splits["train"]:
        by_phenomenon.setdefault(row["phenomenon"], set()).add(row["paradigm"])
    assert len(by_phenomenon) >= 12
    assert all(len(names) >= 3 for names in by_phenomenon.values())


def test_held_out_paradigms_belong_to_trained_phenomena(splits: Splits) -> None:
    train, validation = splits["train"], splits["validation"]
    assert not HELD_OUT_PARADIGMS & {paradigm(row) for row in train}
    assert {paradigm(row) for row in validation} >= HELD_OUT_PARADIGMS
    assert {row["phenomenon"] for row in train} == {row["phenomenon"] for row in validation}
    share = sum(paradigm(row) in HELD_OUT_PARADIGMS for row in validation) / len(validation)
    assert share == pytest.approx(acceptability.HELD_OUT_PARADIGM_SHARE, abs=0.01)


def test_held_out_words_occur_in_half_of_validation_only(splits: Splits) -> None:
    assert not any(map(has_held_out_word, splits["train"]))
    share = sum(map(has_held_out_word, splits["validation"])) / len(splits["validation"])
    assert share == pytest.approx(acceptability.HELD_OUT_WORD_SHARE, abs=0.02)


def test_no_word_is_both_seen_and_held_out() -> None:
    assert not SEEN_FORMS & HELD_OUT_FORMS


@pytest.mark.parametrize(("order", "limit"), [(1, 0.2), (2, 0.5)])
def test_bags_of_words_fail(splits: Splits, order: int, limit: float) -> None:
    weights = naive_bayes(splits["train"], order)
    outcomes = []
    for row in splits["validation"]:
        words = tokens(row)
        score = sum(weights.get(gram, 0.0) for gram in zip(*(words[i:] for i in range(order)), strict=False))
        outcomes.append((int(str(row["label"])), int(score > 0)))
    assert abs(matthews(outcomes)) < limit


def test_sentence_length_does_not_tell(splits: Splits) -> None:
    """No threshold on the number of words separates the labels, in either direction."""
    lengths = [(len(tokens(row)), int(str(row["label"]))) for row in splits["train"]]
    for threshold in range(2, max(length for length, _ in lengths)):
        assert abs(matthews([(label, int(length > threshold)) for length, label in lengths])) < 0.1
