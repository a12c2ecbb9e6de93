"""Plain ASCII takes a shortcut through BERT's tokenizer: half of its time is the normalizer's, and all that one does to
such a text is to fold its case.
"""

import re
from collections.abc import Sequence
from typing import Any


class Shortcut:
    """Makes texts ready for a tokenizer that it has for itself, whose normalizer is there only while texts need it.

    Set by the texts before, the tokenizer stays as it is: to change it costs a sixth of what the shortcut saves.
    """

    def __init__(self, tokenizer: Any) -> None:
        from tokenizers.normalizers import BertNormalizer

        self._tokenizer, self._normalizer, self._there = tokenizer, tokenizer.normalizer, True
        added = tokenizer.get_added_tokens_decoder().values()
        # Of a text that spells a special token the case counts; one that is found after normalizing is not known here.
        self._open = isinstance(self._normalizer, BertNormalizer) and not any(token.normalized for token in added)
        self._special = re.compile("|".join(re.escape(token.content) for token in added) or "(?!)")

    def __call__(self, texts: Sequence[Sequence[str]]) -> Sequence[Sequence[str]]:
        """The texts to give the tokenizer now."""
        if not self._open:
            return texts
        plain = all(self._plain(text) for row in texts for text in row)
        if plain == self._there:
            self._tokenizer.normalizer, self._there = None if plain else self._normalizer, not plain
        return [[text.lower() for text in row] for row in texts] if plain and self._normalizer.lowercase else texts

    def _plain(self, text: str) -> bool:
        return text.isascii() and text.isprintable() and self._special.search(text) is None
