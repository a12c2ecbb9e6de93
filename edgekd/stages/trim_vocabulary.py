"""Drop the tokens that a task does not use: an embedding table is two thirds of a small encoder."""

import string
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from edgekd import corpus, vocabulary
from edgekd.artifact import TOKENIZER, carry
from edgekd.data import Data
from edgekd.data_options import DataOptions
from edgekd.embedded import is_embedded
from edgekd.options import IsAside, IsFile, Source
from edgekd.stage import Job, Stage, Tolerance

GENERAL = "embedded/acceptability"


class TrimVocabulary(Stage):
    """Keeps the tokens of the train split and of a corpus, the special ones, and a piece for each character, so that
    text it never saw still encodes; cuts the position table to data.max_length. On text whose tokens all stayed, the
    trimmed encoder gives what the whole one gave.

    Put it before the distillation, on the teacher, and the student learns with the small vocabulary.
    """

    accepts: ClassVar[frozenset[str]] = frozenset({"torch"})
    makes: ClassVar[str] = "torch"
    libraries: ClassVar[tuple[str, ...]] = ("torch", "transformers", "tokenizers")

    source: Source = Field(description="The step to trim; default: the step before")
    corpus: Annotated[str | None, IsFile()] = Field(
        None, description="A text file, one text a line, whose tokens are kept beside the train split's"
    )
    min_count: int = Field(1, ge=1, description="How often a token must occur to be kept")
    max_tokens: int | None = Field(None, ge=8, description="Most tokens to keep, the most frequent first")
    characters: Literal["seen", "all"] = Field(
        "seen", description="Character pieces to keep: of the texts and ASCII, or all that the vocabulary has"
    )
    general: Annotated[str, IsFile()] = Field(
        GENERAL, description="A text file, one text a line, on which coverage is reported; it decides nothing"
    )
    max_drop: Annotated[float, IsAside()] = Field(
        0.005, ge=0, description="Largest loss of the recipe's metric against the source"
    )

    def tolerance(self) -> Tolerance:
        return Tolerance(max_drop=self.max_drop)

    def run(self, job: Job) -> Mapping[str, Any]:
        from tokenizers import Tokenizer

        from edgekd.kd import encoder
        from edgekd.kd.coded import stored

        assert job.source is not None
        source = (job.source.path / TOKENIZER).read_text()
        whole = Tokenizer.from_str(source)
        texts = _flat(job.data.train.texts) + (corpus.lines(Path(self.corpus)) if self.corpus else [])
        kept = vocabulary.trim(
            source, vocabulary.used(whole, texts), self._characters(whole, texts), self.min_count, self.max_tokens
        )
        trimmed = Tokenizer.from_str(kept.tokenizer)
        model = encoder.load_classifier(job.source.path)
        before = model.config.vocab_size
        encoder.keep_tokens(model, kept.kept)
        encoder.keep_positions(model, job.data.options.max_length)
        encoder.save(model, job.out)
        carry(job.source.path, job.out)
        trimmed.save(str(job.out / TOKENIZER))
        general = _general(self.general, job.seed)
        return {
            "parameters": stored(model),
            "tokens": len(kept.kept),
            "tokens_before": before,
            "coverage": {
                "dev": asdict(vocabulary.coverage(whole, trimmed, _flat(job.data.dev.texts))),
                "general": {"source": Path(self.general).name, **asdict(vocabulary.coverage(whole, trimmed, general))},
            },
        }

    def _characters(self, tokenizer: Any, texts: list[str]) -> set[str]:
        if self.characters == "all":
            prefix = tokenizer.model.continuing_subword_prefix
            return {bare for token in tokenizer.get_vocab() if len(bare := token.removeprefix(prefix)) == 1}
        normal = tokenizer.normalizer
        seen = {character for text in texts for character in (normal.normalize_str(text) if normal else text)}
        return seen | set(string.printable) - set(string.whitespace)


def _flat(texts: Any) -> list[str]:
    return [sentence for row in texts for sentence in row]


def _general(name: str, seed: int) -> list[str]:
    if is_embedded(name):
        return _flat(Data(DataOptions.model_validate({"source": name}), seed).dev.texts)
    return corpus.lines(Path(name))
