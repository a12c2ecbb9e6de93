"""A masked language model that fills in words: what else could stand where a word of a sentence stands."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor, nn

from edgekd.errors import EdgekdError
from edgekd.kd.encoder import input_names, longest
from edgekd.kd.loading import LOCAL, tokenizer_of
from edgekd.kd.words import Replaceable, Word, choice, whole_words
from edgekd.tokens import pad_rows

_TOKENS = 2048  # of a batch, with padding: larger ones are slower on a CPU

Blank = tuple[Any, Word]  # the encoding of a pair (sentence, sentence), and a word of the first, one token long


class UntrainedError(EdgekdError):
    """No trained masked-LM head: what it would fill in is noise."""


class MaskedLM:
    """The masked language model in a local folder of safetensors, which proposes allowed words.

    Raises UntrainedError where the head's weights or a mask token are missing, EdgekdError where nothing can be loaded.
    """

    def __init__(self, folder: Path, allowed: Replaceable) -> None:
        try:
            tokenizer = tokenizer_of(folder)
            self._tokenizer = tokenizer.backend_tokenizer
            self._model, loading = transformers.AutoModelForMaskedLM.from_pretrained(
                folder, output_loading_info=True, **LOCAL
            )
        except EdgekdError:
            raise
        except Exception as error:  # transformers, safetensors and torch each raise their own
            raise EdgekdError(
                f"{folder} cannot be loaded as a masked language model: {' '.join(str(error).split())[:400]}",
                "It needs config.json, model.safetensors and tokenizer.json.",
            ) from None
        if missing := sorted(loading["missing_keys"]):
            raise UntrainedError(
                f"no trained masked-LM head ({missing[0]} and {len(missing) - 1} more weights missing)"
            )
        if tokenizer.mask_token_id is None:
            raise UntrainedError("no mask token in its tokenizer")
        self._mask, self._pad = tokenizer.mask_token_id, tokenizer.pad_token_id or 0
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._device = torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
        self._model.eval().to(self._device)
        known = {token: word for token, word in whole_words(self._tokenizer).items() if allowed(word)}
        self._words, self._tokens = list(known.values()), torch.tensor(list(known), device=self._device)
        self.longest = longest(self._model)

    def pairs(self, sentences: Sequence[str]) -> list[Any]:
        """Encodings of each sentence beside itself; `fill` takes those of at most `longest` tokens."""
        found: list[Any] = self._tokenizer.encode_batch([(sentence, sentence) for sentence in sentences])
        return found

    def fill(
        self, blanks: Sequence[Blank], most: int, progress: Callable[[int], None] = lambda done: None
    ) -> list[tuple[str, ...]]:
        """For each blank the `most` likeliest words when its own is masked and the sentence stands beside it."""
        # One may be the word itself, and some may be others in another case.
        width = min(2 * most + 1, len(self._words))
        found: list[tuple[str, ...]] = [()] * len(blanks)
        done = 0
        for batch in _batches([len(encoding.ids) for encoding, _ in blanks]):
            likeliest = self._logits([blanks[number] for number in batch])[:, self._tokens].topk(width).indices.tolist()
            for number, ranked in zip(batch, likeliest, strict=True):
                found[number] = choice((self._words[place] for place in ranked), blanks[number][1].text, most)
            done += len(batch)
            progress(done)
        return found

    @torch.inference_mode()
    def _logits(self, blanks: Sequence[Blank]) -> Tensor:
        """(blanks, vocabulary): the model's scores at each masked position."""
        rows = list(range(len(blanks)))
        places = [word.tokens[0] for _, word in blanks]
        ids, types = [encoding.ids for encoding, _ in blanks], [encoding.type_ids for encoding, _ in blanks]
        batch = pad_rows(ids, types, rows, self._pad)
        batch["input_ids"][rows, places] = self._mask
        inputs = {name: torch.from_numpy(batch[name]).to(self._device) for name in input_names(self._model)}

        # The output layer is as wide as the vocabulary: over all positions its scores would be hundreds of megabytes.
        def masked_alone(module: nn.Module, states: Any) -> Any:
            return (states[0][rows, places].unsqueeze(1),)

        hook = self._model.get_output_embeddings().register_forward_pre_hook(masked_alone)
        try:
            logits: Tensor = self._model(**inputs).logits
        finally:
            hook.remove()
        # MobileBERT's head reads that layer's weights without calling it.
        return logits[:, 0] if logits.shape[1] == 1 else logits[rows, places]


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Numbers of rows of similar length, the longest first, so that memory runs out at once or never."""
    batch: list[int] = []
    for number in sorted(range(len(lengths)), key=lambda number: -lengths[number]):
        if batch and (len(batch) + 1) * lengths[batch[0]] > _TOKENS:
            yield batch
            batch = []
        batch.append(number)
    if batch:
        yield batch
