"""An encoder that has learnt nothing, for a language without a pretrained one at hand.

python benchmarks/new_encoder.py FOLDER/models/bert-base-chinese-vocab OUT
    [--layers 4] [--width 256] [--heads 4] [--seed 0]

OUT gets a BERT with new weights and the tokenizer of the folder's vocab.txt, as `model: OUT` of a step takes it.
"""

import argparse
from pathlib import Path

import torch
from transformers import BertConfig, BertModel, BertTokenizerFast


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("vocabulary", type=Path)
    parser.add_argument("out", type=Path)
    for name, value in (("layers", 4), ("width", 256), ("heads", 4), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=value)
    given = parser.parse_args()
    torch.manual_seed(given.seed)
    tokenizer = BertTokenizerFast(str(given.vocabulary / "vocab.txt"))
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=given.width,
        num_hidden_layers=given.layers,
        num_attention_heads=given.heads,
        intermediate_size=4 * given.width,
    )
    model = BertModel(config)
    model.save_pretrained(given.out)
    tokenizer.save_pretrained(given.out)
    print(f"{given.out}: {sum(weights.numel() for weights in model.parameters()):,} parameters")


if __name__ == "__main__":
    main()
