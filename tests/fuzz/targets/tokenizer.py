"""The tokenizer.json of an artifact."""

from pathlib import Path

from edgekd.tokens import encode, load_tokenizer
from edgekd.words import spans
from tests.fuzz.mutators import json_tree
from tests.fuzz.target import Target


def _made(pair: bool) -> bytes:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    listed = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "dog", "##s", "sees", "a", "."]
    tokenizer = Tokenizer(models.WordPiece({token: number for number, token in enumerate(listed)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1" if pair else None,
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    tokenizer.add_special_tokens(listed[:5])
    return tokenizer.to_str().encode()


TOKENIZER = _made(pair=True)
SEEDS = (TOKENIZER, _made(pair=False))
TEXTS = ["the cats see a dog .", "", "词 İ\ufeff x", "a" * 300]


def check(data: bytes, folder: Path) -> None:
    (folder / "tokenizer.json").write_bytes(data)
    for most in (32, 8):
        tokenizer = load_tokenizer(folder, most)
        for rows in ([(text,) for text in TEXTS], [(text, "a dog") for text in TEXTS]):
            found = encode(tokenizer, rows, spans)
            assert found.lengths.max() <= most
            if found.lengths.min():
                found.pad(range(len(rows)))


TARGET = Target("archives: tokenizer.json", check, SEEDS, json_tree(SEEDS), share=8)
