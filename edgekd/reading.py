"""What stands around a served model: texts to its inputs, and its outputs to answers."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgekd.artifact import DICTIONARY, TAGGER, Artifact, corrupt
from edgekd.ascii_text import Shortcut
from edgekd.decoding import json_object
from edgekd.dictionary import Dictionary, Matcher
from edgekd.errors import EdgekdError
from edgekd.task import TASKS
from edgekd.tokens import Encoded, encode, load_tokenizer
from edgekd.viterbi import Chain

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgekd.runtime import Executable
    from edgekd.task import Floats


_LARGEST = 1e30  # of a tag's scores, whose sums over a row stay numbers


class Reader:
    """Reads texts for an artifact as it was trained to read them.

    `dictionary`: a file to read instead of the one that lies beside a tagger.
    """

    def __init__(self, artifact: Artifact, dictionary: Path | None = None) -> None:
        self.task, self.labels = TASKS.get(artifact.manifest.task)(), artifact.manifest.labels
        self._tokenizer = load_tokenizer(artifact.path, artifact.manifest.max_length)
        self._ready = Shortcut(self._tokenizer)
        self._matcher, self._chain = None, None
        if (artifact.path / TAGGER).is_file():
            self._chain, kinds, longest = _tagger(artifact)
            entries = Dictionary.read(dictionary or artifact.path / DICTIONARY)
            self._matcher = Matcher(entries, kinds, longest)
        elif dictionary is not None:
            raise EdgekdError("this model reads no dictionary", "Give none, or train it with one.")

    def encode(self, texts: Sequence[Sequence[str]]) -> Encoded:
        if self.task.per_token:  # where words stand is asked for, as they are spelled
            return encode(self._tokenizer, texts, self.task.words, self._matcher)
        return encode(self._tokenizer, self._ready(texts))

    def answers(self, outputs: "Sequence[Floats]", tokens: Encoded) -> "NDArray[np.floating]":
        """Outputs of each row, (outputs,) or (length, outputs), to logits (positions, outputs).

        Those of a model whose tags are a chain are what `Chain.best` makes of them.
        """
        import numpy as np

        width = outputs[0].shape[-1]
        if width != (wanted := self.task.outputs(self.labels)):
            hint = "Make it again: edgekd run RECIPE."
            raise EdgekdError(f"the model gives {width} outputs, {wanted} are told of it", hint)
        flat = np.concatenate([row.reshape(-1, width) for row in outputs])
        found = self.task.answers(flat, tokens, self.labels)
        if self._chain is not None and tokens.places is not None:
            for row, own in zip(tokens.places, self._rows(tokens.places, found), strict=True):
                if (row >= 0).any():
                    own[row >= 0] = self._chain.best(own[row >= 0])
        return found

    @staticmethod
    def _rows(places: "Sequence[NDArray[np.int64]]", flat: "Floats") -> "list[Floats]":
        """Each row's part of what is flat, as views of it."""
        import numpy as np

        return np.split(flat, np.cumsum([len(row) for row in places])[:-1])

    def run(self, executable: "Executable", tokens: Encoded) -> "NDArray[np.floating]":
        """Logits (positions, outputs) of rows, one at a time, as they are served."""
        rows = range(len(tokens.ids))
        return self.answers([executable.run(tokens.pad([row]))["logits"][0] for row in rows], tokens)


def whole(row: tuple[str, ...]) -> tuple[str, ...]:
    """A row as it is. Raises EdgekdError where a text holds half a character: JSON and a shell can spell one."""
    for text in row:
        try:
            text.encode()
        except UnicodeEncodeError as error:
            half = f"\\u{ord(text[error.start]):04x}"
            raise EdgekdError(
                f"{half} is half a character", "Give text that is UTF-8, or JSON's pair of them."
            ) from None
    return row


def _tagger(artifact: Artifact) -> tuple[Chain, list[str], bool]:
    """What tagger.json says: the tags' chain, the dictionary's types, and whether its longest matches count alone."""
    import numpy as np

    try:
        told = json_object(artifact.path / TAGGER)
    except (OSError, ValueError) as error:
        raise corrupt(artifact.path, f"{TAGGER} cannot be read ({error})") from None
    if lacks := [name for name in ("start", "transitions", "end", "kinds", "longest") if name not in told]:
        raise corrupt(artifact.path, f"{TAGGER} lacks '{lacks[0]}'")
    if not TASKS.get(artifact.manifest.task).per_token:
        raise corrupt(artifact.path, f"{TAGGER} lies beside a model that tags no words")
    width, kinds, longest = len(artifact.manifest.labels), told["kinds"], told["longest"]
    try:
        parts = [np.array(told[name], dtype=np.float64) for name in ("start", "transitions", "end")]
        sound = [part.shape for part in parts] == [(width,), (width, width), (width,)]
        sound &= all((np.abs(part) < _LARGEST).all() for part in parts)
        sound &= isinstance(kinds, list) and all(isinstance(kind, str) for kind in kinds) and isinstance(longest, bool)
    except (ValueError, TypeError, OverflowError):
        sound = False
    if not sound:
        raise corrupt(artifact.path, f"{TAGGER} does not hold what a tagger of {width} tags needs")
    return Chain(*parts), kinds, longest
