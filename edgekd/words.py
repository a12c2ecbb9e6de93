"""A text's words, which are what a tagger labels: the same for training, for scoring, and for text that comes later.

An ideograph is a word of its own, and so is a run of hiragana or of katakana, whose tokens often hold several of them.
Everything else, Korean too, is cut at white space, and punctuation at the ends of what is left is a word apart
("Paris." is two, "U.S.A" and "'s" are one).
"""

import re
from collections.abc import Iterator, Sequence

Span = tuple[int, int]

# Ideographs, with the punctuation that goes with them.
_CHARACTER = "[\u3000-\u303f\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff00-\uff0f\uff1a-\uff20\U00020000-\U0002fa1f]"
_HIRAGANA, _KATAKANA = "[\u3041-\u309f]", "[\u30a1-\u30fa\u30fc-\u30ff]"
_APART = f"(?:{_CHARACTER}|{_HIRAGANA}|{_KATAKANA}|[\u30a0\u30fb])"
_PART = re.compile(f"{_CHARACTER}|{_HIRAGANA}+|{_KATAKANA}+|[\u30a0\u30fb]|(?:(?!{_APART})\\S)+")
_OPEN, CLOSE = '([{<"“‘«¿¡', '.,;:!?)]}>"”’»…'


def spans(text: str) -> list[Span]:
    """Where each word begins and ends, in characters."""
    return [span for part in _PART.finditer(text) if not part[0].isspace() for span in _peeled(part[0], part.start())]


def joined(words: Sequence[str]) -> str:
    """A text of these words: side by side where most are single characters of the kind that is a word, else spaced."""
    alone = sum(re.fullmatch(_APART, word) is not None for word in words)
    return ("" if 2 * alone > len(words) else " ").join(words)


def _peeled(part: str, at: int) -> Iterator[Span]:
    # By strip, whose time is the text's length: a regular expression tries each run of dots inside a word again.
    start = len(part) - len(part.lstrip(_OPEN))
    end = len(part.rstrip(CLOSE))
    if end <= start:  # nothing but punctuation
        yield at, at + len(part)
        return
    for first, last in ((0, start), (start, end), (end, len(part))):
        if first < last:
            yield at + first, at + last
