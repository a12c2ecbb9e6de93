"""Trimming a vocabulary: what stays, what a trimmed tokenizer makes of old and of new text, what the encoder gives."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from edgekd import vocabulary
from edgekd.artifact import TOKENIZER, Artifact
from edgekd.engine import Engine
from edgekd.errors import EdgekdError
from edgekd.stage import STAGES, Job
from tests.conftest import artifact, build_encoder

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "play", "##ing", "##ed", "runs", "r", "##u", "##n", "##s", "p", "##l"]


def wordpiece(wrap: str = "template") -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece({piece: n for n, piece in enumerate(PIECES)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    if wrap == "template":
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
        )
    else:
        tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]"])
    return tokenizer


@pytest.mark.parametrize("wrap", ["template", "bert"])
def test_kept_tokens_are_renumbered_wherever_they_stand(wrap: str) -> None:
    whole = wordpiece(wrap)
    counts = vocabulary.used(whole, ["playing", "playing", "played"])
    assert counts == {4: 3, 5: 2, 6: 1}
    trimmed = vocabulary.trim(whole.to_str(), counts, "runs", fewest=2, most=None)
    # [PAD] [UNK] [CLS] [SEP], play, ##ing, and the pieces of r, u, n, s.
    assert [PIECES[old] for old in trimmed.kept] == [*PIECES[:6], "r", "##u", "##n", "##s"]
    small = Tokenizer.from_str(trimmed.tokenizer)
    assert small.encode("playing").tokens == ["[CLS]", "play", "##ing", "[SEP]"]
    assert small.encode("playing").ids == [2, 4, 5, 3]
    assert small.encode("runs").tokens == ["[CLS]", "r", "##u", "##n", "##s", "[SEP]"], "a word falls to its characters"
    assert small.encode("played").tokens == ["[CLS]", "[UNK]", "[SEP]"]


def test_the_rarest_go_first() -> None:
    whole = wordpiece()
    counts = {4: 5, 5: 3, 6: 3, 7: 1}
    trimmed = vocabulary.trim(whole.to_str(), counts, "", fewest=1, most=6)
    assert trimmed.kept == (0, 1, 2, 3, 4, 5)
    with pytest.raises(EdgekdError, match="max_tokens: 3 is too few, special tokens and characters alone are 4"):
        vocabulary.trim(whole.to_str(), counts, "", fewest=1, most=3)


def test_coverage_is_counted() -> None:
    whole = wordpiece()
    trimmed = vocabulary.trim(whole.to_str(), {4: 1, 5: 1}, "runs", fewest=1, most=None)
    found = vocabulary.coverage(whole, Tokenizer.from_str(trimmed.tokenizer), ["playing", "runs", "played"])
    assert found.texts == 3
    assert found.same == pytest.approx(1 / 3)
    assert found.tokens == pytest.approx((2 + 4 + 1) / (2 + 1 + 2))
    assert found.unknown == pytest.approx(1 / 7) and found.unknown_before == 0


def test_only_wordpiece_is_trimmed() -> None:
    with pytest.raises(EdgekdError, match="a BPE tokenizer cannot be trimmed"):
        vocabulary.trim(json.dumps({"model": {"type": "BPE"}}), {}, "", 1, None)


@pytest.mark.parametrize("kind", ["bert", "electra", "distilbert"])
def test_a_trimmed_encoder_gives_what_the_whole_one_gave(kind: str, job: Callable[..., Job], tmp_path: Path) -> None:
    source = artifact(build_encoder(tmp_path / "source", kind), "torch")
    Artifact.seal(source.path, source.manifest)
    work = job("trimmed", source)
    # Of this corpus every word is used: a limit makes some go.
    facts = STAGES.get("trim_vocabulary").model_validate({"source": "x", "max_tokens": 21}).run(work)
    Artifact.seal(work.out, artifact(work.out, "torch").manifest)
    assert facts["tokens"] == 21 < facts["tokens_before"]
    assert 0 < facts["coverage"]["dev"]["same"] < 1
    assert facts["coverage"]["general"]["texts"] > 1000
    config = json.loads((work.out / "config.json").read_text())
    assert config["vocab_size"] == 21 and config["max_position_embeddings"] == 32
    whole, small = (Tokenizer.from_file(str(folder / TOKENIZER)) for folder in (source.path, work.out))
    with Engine() as engine:
        ours, theirs = engine.compile(work.out), engine.compile(source.path)
        compared = 0
        for (text,) in work.data.dev.texts:
            old, new = whole.encode(text), small.encode(text)
            if old.tokens != new.tokens:
                continue
            compared += 1
            np.testing.assert_allclose(_logits(ours, new.ids), _logits(theirs, old.ids), atol=1e-5)
    assert compared > 3


def _logits(executable: Any, ids: list[int]) -> Any:
    row = np.array([ids])
    inputs = {"input_ids": row, "attention_mask": np.ones_like(row), "token_type_ids": np.zeros_like(row)}
    return executable.run(inputs)["logits"]


def test_a_corpus_is_kept_too_and_counts_in_the_key(job: Callable[..., Job], encoder: Path, tmp_path: Path) -> None:
    corpus = tmp_path / "more.txt"
    corpus.write_text("the cat sees a dog\n")
    stage = STAGES.get("trim_vocabulary").model_validate({"source": "x", "corpus": str(corpus)})
    before = stage.key_options()
    assert str(tmp_path) not in json.dumps(before)
    corpus.write_text("the dog sees a cat\n")
    assert stage.key_options() != before
    missing = STAGES.get("trim_vocabulary").model_validate({"source": "x", "corpus": str(tmp_path / "none")})
    with pytest.raises(EdgekdError, match="none cannot be read"):
        missing.key_options()
    corpus.write_bytes(b"\xff\xfe")
    with pytest.raises(EdgekdError, match="is not UTF-8"):
        stage.run(job("x", artifact(encoder, "torch")))
