"""The shortcut of plain ASCII gives the tokens that the whole tokenizer gives, whatever was asked before."""

import random
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors

from edgekd.ascii_text import Shortcut

WORDS = ["the", "baker", "The", "ea", "##ts", "bread", "##s", "e", "é", "中", "文", ".", "'", "-", "[", "]", "mask"]


def tokenizer(normalizer: Any, *added: AddedToken) -> Tokenizer:
    known = {token: number for number, token in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS])}
    made = Tokenizer(models.WordPiece(known, unk_token="[UNK]"))
    made.normalizer, made.pre_tokenizer = normalizer, pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    made.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    made.add_tokens(list(added))
    made.enable_truncation(12)
    return made


def read(made: Tokenizer, rows: Sequence[Sequence[str]]) -> list[tuple[list[int], list[int]]]:
    found = made.encode_batch_fast([row[0] if len(row) == 1 else tuple(row) for row in rows])
    return [(row.ids, row.type_ids) for row in found]


FOLDING, KEEPING = normalizers.BertNormalizer(lowercase=True), normalizers.BertNormalizer(lowercase=False)
TEXTS = st.one_of(
    st.text(st.characters(max_codepoint=127), max_size=20),
    st.text(max_size=20),
    st.lists(st.sampled_from(["The", "the", "eats", "[MASK]", "[mask]", "É", "中文", "\t", "\x00", "."])).map(" ".join),
)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.lists(st.one_of(st.tuples(TEXTS), st.tuples(TEXTS, TEXTS)), min_size=1, max_size=3), max_size=4),
    st.booleans(),
)
def test_every_text_gets_its_own_tokens(calls: list[list[tuple[str, ...]]], folds: bool) -> None:
    whole, short = tokenizer(FOLDING if folds else KEEPING), tokenizer(FOLDING if folds else KEEPING)
    shortcut = Shortcut(short)
    for rows in calls:
        assert read(short, shortcut(rows)) == read(whole, rows)


def test_plain_text_goes_without_the_normalizer() -> None:
    """Or nothing was gained."""
    made = tokenizer(FOLDING)
    shortcut = Shortcut(made)
    assert shortcut([["The Baker eats."]]) == [["the baker eats."]]
    assert made.normalizer is None
    for text in ("É", "a\tb", "the [MASK] eats"):
        assert shortcut([[text]]) == [[text]]
        assert made.normalizer is not None
        shortcut([["the"]])


@pytest.mark.parametrize(
    ("normalizer", "added"),
    [
        (normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()]), ()),
        (None, ()),
        (FOLDING, (AddedToken("Baker", normalized=True),)),
    ],
)
def test_another_tokenizer_stays_as_it_is(normalizer: Any, added: tuple[AddedToken, ...]) -> None:
    whole, short = tokenizer(normalizer, *added), tokenizer(normalizer, *added)
    shortcut, draw = Shortcut(short), random.Random(1)
    for _ in range(20):
        rows = [[" ".join(draw.choices([*WORDS, "Baker", "BAKER", "[MASK]"], k=4))]]
        assert read(short, shortcut(rows)) == read(whole, rows)
    assert (short.normalizer is None) == (normalizer is None)
