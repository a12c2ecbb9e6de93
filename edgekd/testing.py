"""Small real parts for tests of edgekd and of plug-ins: an encoder with random weights, a corpus of made-up sentences,
a recipe over both. No network.
"""

import csv
import random
from pathlib import Path
from typing import Any

NOUNS = ["cat", "dog", "bird", "fish", "horse", "mouse", "cow", "sheep", "goat", "duck"]
VERBS = ["sees", "likes", "helps", "finds", "hears", "hates", "knows", "meets"]
WORDS = ["the", "a", ".", "not", "and", *NOUNS, *VERBS]
_RECIPE = """\
name: small
data: {{source: '{folder}', text: [sentence], labels: ["no", "yes"], metric: accuracy, max_length: 32}}
seed: 7
steps:
  - {{id: teacher, stage: finetune, model: '{folder}/encoder', epochs: 12, learning_rate: 2.0e-3, batch_size: 16}}
{steps}
devices: []
"""


def build_encoder(folder: Path, kind: str = "bert", layers: int = 2, width: int = 32, seed: int = 0) -> Path:
    """A pretrained folder as the hub serves it: config.json, model.safetensors, tokenizer.json; weights are random."""
    import torch
    import transformers
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    vocabulary = {token: number for number, token in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS])}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    special = {name + "_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder)
    torch.manual_seed(seed)
    common = {"vocab_size": len(vocabulary), "max_position_embeddings": 40, "initializer_range": 0.1}
    match kind:
        case "distilbert":
            config: Any = transformers.DistilBertConfig(
                **common, dim=width, n_layers=layers, n_heads=4, hidden_dim=2 * width
            )
        case _:
            config = transformers.AutoConfig.for_model(
                kind,
                **common,
                hidden_size=width,
                embedding_size=width,
                num_hidden_layers=layers,
                num_attention_heads=4,
                intermediate_size=2 * width,
                pad_token_id=0,
            )
    transformers.AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)
    return folder


def sentences(rows: int, seed: int) -> list[dict[str, str]]:
    """Sentences whose label is whether they say 'not': learnable in a few steps, and both labels equally often."""
    draw = random.Random(seed)
    found = []
    for number in range(rows):
        subject, verb, thing = draw.choice(NOUNS), draw.choice(VERBS), draw.choice(NOUNS)
        sure = ["the", subject, "not", verb, "a", thing] if number % 2 else ["the", subject, verb, "a", thing]
        tail = ["and", "the", draw.choice(NOUNS)] * draw.randint(0, 2)
        found.append({"sentence": " ".join([*sure, *tail, "."]), "label": "no" if number % 2 else "yes"})
    return found


def write_csv(file: Path, rows: list[dict[str, Any]]) -> Path:
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    return file


def write_recipe(folder: Path, *steps: str) -> Path:
    """The recipe `small`, with all that it needs beside it: a teacher that learns in seconds, and these steps after it.

    Nothing is timed. It runs on any machine: `run(write_recipe(folder, "{id: onnx, stage: export_onnx}"), runs)`.
    """
    build_encoder(folder / "encoder")
    write_csv(folder / "train.csv", sentences(96, seed=1))
    write_csv(folder / "dev.csv", sentences(40, seed=2))
    file = folder / "small.yaml"
    file.write_text(_RECIPE.format(folder=folder, steps="\n".join(f"  - {step}" for step in steps)))
    return file
