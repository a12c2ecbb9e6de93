"""Copies of train rows: which words are replaced, by what, from where, and that a copy is a function of its number."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from edgekd.augmentation_options import Augmentation
from edgekd.data import Split
from edgekd.errors import EdgekdError
from edgekd.kd.augmentation import augmented
from edgekd.kd.masked_lm import MaskedLM, UntrainedError
from edgekd.kd.neighbours import Neighbours, read_vectors, token_neighbours
from edgekd.kd.words import replaceable, whole_words, words
from tests.conftest import NOUNS, VERBS, build_encoder

ALLOWED = replaceable("english", 3)
TEXT = "The cat's 2 dogs don't like well-made food7, Zoe said"


def wordpiece() -> Tokenizer:
    pieces = ["[UNK]", "[MASK]", "play", "##ing", "##s", "runs", "Cap", ".", "2nd", "like", "said"]
    tokenizer = Tokenizer(models.WordPiece({piece: n for n, piece in enumerate(pieces)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens(["[UNK]", "[MASK]"])
    return tokenizer


def byte_level() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        [TEXT, "cat like like"], trainers.BpeTrainer(initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    )
    return tokenizer


def metaspace() -> Tokenizer:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    tokenizer.train_from_iterator([TEXT] * 3, trainers.UnigramTrainer(vocab_size=60, unk_token="<unk>"))
    return tokenizer


@pytest.mark.parametrize("kind", [wordpiece, byte_level, metaspace])
def test_words_are_letters_that_stand_alone(kind: Any) -> None:
    """Contractions, possessives and words with digits are none, however a tokenizer cuts them."""
    found = list(words(TEXT, kind().encode(TEXT)))
    assert [word.text for word in found] == ["The", "dogs", "like", "well", "made", "Zoe", "said"]
    assert all(TEXT[word.start : word.end] == word.text for word in found)


def test_a_word_knows_its_pieces() -> None:
    assert [word.tokens for word in words("Plays like, playing", wordpiece().encode("Plays like, playing"))] == [
        (0, 1),
        (2,),
        (4, 5),
    ]
    assert [word.text for word in words("北京", wordpiece().encode("北京"))] == ["北", "京"]


def test_whole_words_are_what_a_sentence_can_hold() -> None:
    # Lower-cased, no text becomes "Cap"; pieces, marks and special tokens are no words.
    assert sorted(whole_words(wordpiece()).values()) == ["like", "play", "runs", "said"]
    tokenizer = byte_level()
    known = whole_words(tokenizer)
    assert known[tokenizer.token_to_id("Ġlike")] == "like"
    assert tokenizer.token_to_id("T") not in known, "without its space it begins a text only"


def test_neighbours_by_hand() -> None:
    table = {"good": [1, 0], "fine": [4, 3], "bad": [3, -4], "goods": [1, 0.01], "the": [1, 0], "Fine": [4, 3.1]}
    found = Neighbours(list(table), torch.tensor(list(table.values())), "a table", ALLOWED)
    # Cosines with good: fine 0.8, Fine 0.79, bad 0.6; its plural and a stop word are left out.
    assert found.nearest(["good", "Good", "other"], 15) == {"good": ("fine", "bad"), "Good": ("Fine", "Bad")}
    assert found.nearest(["good"], 1) == {"good": ("fine",)}
    assert found.nearest(["good", "bad"], 15, least=0.7) == {"good": ("fine",), "bad": ()}


def test_a_vector_file_is_read_to_its_limit(tmp_path: Path) -> None:
    file = tmp_path / "vectors.txt"
    file.write_text("3 2\ngood 1 0\nfine 4 3\n. . 1 0\nbad 3 -4\n")
    assert read_vectors(file, 9, ALLOWED).nearest(["good"], 9) == {"good": ("fine", "bad")}
    assert read_vectors(file, 3, ALLOWED).nearest(["good"], 9) == {"good": ("fine",)}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("good 1 0\nbad 1\n", r"vectors.txt:2: no word vector: 1 numbers\n  A line is a word and 2 numbers"),
        ("good 1 0\nbad 1 x\n", "vectors.txt:2: no word vector: could not convert string to float: 'x'"),
        ("good 1 0\n\n", "vectors.txt:2: no word vector: 0 numbers"),
        ("good 1 nan\n", "vectors.txt:1: no word vector: a number is not finite"),
        ("good\n", "vectors.txt:1: no word vector: 0 numbers"),
        ("", "vectors.txt is empty"),
    ],
)
def test_a_wrong_vector_file_is_told_by_line(text: str, problem: str, tmp_path: Path) -> None:
    (tmp_path / "vectors.txt").write_text(text)
    with pytest.raises(EdgekdError, match=problem):
        read_vectors(tmp_path / "vectors.txt", 9, ALLOWED)


def build_masked_lm(folder: Path, kind: str = "bert") -> Path:
    build_encoder(folder, kind)
    torch.manual_seed(1)
    model = transformers.AutoModelForMaskedLM.from_config(transformers.AutoConfig.from_pretrained(folder))
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def masked_lm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A masked language model that says cat, dog, bird, ... whatever is masked, and 'the' before them all."""
    folder = build_masked_lm(tmp_path_factory.mktemp("masked_lm"))
    vocabulary = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    model = transformers.BertForMaskedLM.from_pretrained(folder)
    for rank, word in enumerate(["the", "[MASK]", ".", *NOUNS]):
        model.cls.predictions.bias.data[vocabulary[word]] = 1000.0 - 10 * rank
    model.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("kind", ["bert", "roberta", "electra", "distilbert", "albert", "mobilebert"])
def test_blanks_are_filled_as_the_model_itself_would(kind: str, tmp_path: Path) -> None:
    folder = build_masked_lm(tmp_path, kind)
    lm = MaskedLM(folder, ALLOWED)
    sentences = ["the cat sees a dog .", "a horse not likes the mouse and the duck ."]
    pairs = lm.pairs(sentences)
    blanks = [(e, word) for s, e in zip(sentences, pairs, strict=True) for word in words(s, e) if ALLOWED(word.text)]
    assert [word.text for _, word in blanks] == ["cat", "sees", "dog", "horse", "likes", "mouse", "duck"]
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForMaskedLM.from_pretrained(folder).eval()
    for (encoding, word), found in zip(blanks, lm.fill(blanks, 4), strict=True):
        sentence = sentences[0] if encoding is pairs[0] else sentences[1]
        masked = f"{sentence[: word.start]}[MASK]{sentence[word.end :]}"
        inputs = tokenizer(masked, sentence, return_tensors="pt", return_token_type_ids=kind != "distilbert")
        place = inputs["input_ids"][0].tolist().index(tokenizer.mask_token_id)
        with torch.no_grad():
            ranked = tokenizer.convert_ids_to_tokens(model(**inputs).logits[0, place].argsort(descending=True))
        assert found == tuple(other for other in ranked if other in NOUNS + VERBS and other != word.text)[:4]


def test_the_longest_input_leaves_room_for_unused_positions(tmp_path: Path) -> None:
    assert MaskedLM(build_masked_lm(tmp_path / "bert"), ALLOWED).longest == 40
    assert MaskedLM(build_masked_lm(tmp_path / "roberta", "roberta"), ALLOWED).longest == 39


def split(*rows: tuple[str, ...]) -> Split:
    return Split(rows, np.arange(len(rows)) * 10)


def run(rows: Split, teacher: Path, **options: Any) -> tuple[Split, dict[str, Any]]:
    return augmented(rows, Augmentation(**options), teacher, 7, lambda label, done, total: None)


def test_every_word_is_replaced_by_the_likeliest(masked_lm: Path, encoder: Path) -> None:
    rows = split(("The Cat sees 7 a dog.",), ("the not a",))
    found, facts = run(rows, encoder, model=str(masked_lm), probability=1, candidates=2, copies=200)
    assert found.texts[:2] == rows.texts
    # The two likeliest that are not the word itself; stop words and numbers stay.
    expected = {(f"The {a} {b} 7 a {c}.",) for a in ("Dog", "Bird") for b in ("cat", "dog") for c in ("cat", "bird")}
    assert set(found.texts[2:]) == expected
    assert len(found) == 2 + len(expected), "no copy comes twice"
    assert found.targets.tolist() == [0, 10, *[0] * len(expected)]
    assert facts["candidates"].startswith(f"masked language model {masked_lm.name}, nearest neighbours")
    assert (facts["rows"], facts["copies"], facts["words_with_candidates"]) == (2, 8, 1.0)


def test_nothing_is_replaced_with_probability_0(masked_lm: Path, encoder: Path) -> None:
    rows = split(("the cat sees a dog .",))
    found, facts = run(rows, encoder, model=str(masked_lm), probability=0)
    assert (found.texts, found.targets.tolist(), facts["copies"]) == (rows.texts, [0], 0)


def test_both_sentences_of_a_pair_are_drawn_for_each_copy(masked_lm: Path, encoder: Path) -> None:
    rows = split(("the cat sees a dog", "a duck meets a goat"))
    found, _ = run(rows, encoder, model=str(masked_lm), copies=200, probability=0.3)
    changed = {tuple(new != old for new, old in zip(copy, rows.texts[0], strict=True)) for copy in found.texts[1:]}
    assert changed == {(True, False), (False, True), (True, True)}
    partners = {second for first, second in found.texts[1:] if first == rows.texts[0][0]}
    assert len(partners) > 20, "the second sentence changes while the first is as it was"


def test_a_copy_depends_on_its_row_and_number_alone(masked_lm: Path, encoder: Path) -> None:
    options = {"model": str(masked_lm), "probability": 0.5}
    rows = split(
        *((f"the {noun} sees a dog and the {verb} horse .",) for noun, verb in zip(NOUNS, VERBS, strict=False))
    )
    found, _ = run(rows, encoder, copies=8, **options)
    assert run(rows, encoder, copies=8, **options)[0].texts == found.texts
    fewer, _ = run(Split(rows.texts[:3], rows.targets[:3]), encoder, copies=8, **options)
    assert (
        fewer.texts[3:]
        == tuple(text for text, target in zip(found.texts, found.targets, strict=True) if target <= 20)[3:]
    )
    more, _ = run(rows, encoder, copies=16, **options)
    for target in rows.targets:
        eight, sixteen = ([t for t, n in zip(s.texts, s.targets, strict=True) if n == target] for s in (found, more))
        assert sixteen[: len(eight)] == eight
    other, _ = augmented(rows, Augmentation(copies=8, **options), encoder, 8, lambda label, done, total: None)
    assert other.texts != found.texts
    twice, _ = run(split(rows.texts[0], rows.texts[0]), encoder, copies=8, **options)
    first, second = ({t for t, n in zip(twice.texts, twice.targets, strict=True) if n == target} for target in (0, 10))
    assert first != second, "rows do not share their draws"


def test_a_sentence_too_long_for_the_model_takes_neighbours(masked_lm: Path, encoder: Path) -> None:
    rows = split((" ".join(["the cow sees a fish and"] * 4),))  # 51 tokens beside itself; the model takes 40
    options = {"probability": 1, "min_cosine": -1, "copies": 3}
    found, _ = run(rows, encoder, model=str(masked_lm), **options)
    assert found.texts == run(rows, encoder, **options)[0].texts
    assert len(found) == 4


def test_a_model_without_a_trained_head_is_not_used(encoder: Path, tmp_path: Path) -> None:
    """transformers would give the encoder a head of random weights without a word."""
    with pytest.raises(UntrainedError, match="no trained masked-LM head"):
        MaskedLM(encoder, ALLOWED)
    rows = split(("the cat sees a dog .",))
    found, facts = run(rows, encoder, model=str(encoder), min_cosine=-1)
    plain, plain_facts = run(rows, encoder, min_cosine=-1)
    assert found.texts == plain.texts
    assert len(found) > 1
    assert plain_facts["candidates"] == "nearest neighbours in the teacher's token embeddings"
    assert facts["candidates"].startswith(
        f"{plain_facts['candidates']} ({encoder.name} is no masked language model: no trained masked-LM head (cls."
    )
    with pytest.raises(EdgekdError, match="cannot be loaded as an encoder"):
        MaskedLM(tmp_path, ALLOWED)


def test_neighbours_are_those_of_the_token_table(encoder: Path) -> None:
    table = transformers.AutoModel.from_pretrained(encoder).get_input_embeddings().weight.detach()
    vocabulary = json.loads((encoder / "tokenizer.json").read_text())["model"]["vocab"]
    others = [word for word in NOUNS + VERBS if word != "cat"]
    cosines = [torch.cosine_similarity(table[vocabulary["cat"]], table[vocabulary[word]], dim=0) for word in others]
    expected = [word for _, word in sorted(zip(cosines, others, strict=True), reverse=True)][:3]
    assert token_neighbours(encoder, ALLOWED).nearest(["cat"], 3) == {"cat": tuple(expected)}


def test_words_without_a_vector_stay(encoder: Path, tmp_path: Path) -> None:
    (tmp_path / "vectors.txt").write_text("cat 1 0\nlion 4 3\nfish 3 -4\n")
    rows = split(("the cat sees a dog .",))
    found, facts = run(rows, encoder, vectors=str(tmp_path / "vectors.txt"), probability=1, candidates=1)
    assert found.texts == (*rows.texts, ("the lion sees a dog .",))
    assert facts["candidates"] == "nearest neighbours in vectors.txt"
    assert facts["words_with_candidates"] == pytest.approx(1 / 3)
