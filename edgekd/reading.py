"""What stands around a served model: texts to its inputs, and its outputs to answers."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgekd.artifact import DICTIONARY, TAGGER, Artifact
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


class Reader:
    """Reads texts for an artifact as it was trained to read them.

    `dictionary`: a file to read instead of the one that lies beside a tagger.
    """

    def __init__(self, artifact: Artifact, dictionary: Path | None = None) -> None:
        self.task, self.labels = TASKS.get(artifact.manifest.task)(), artifact.manifest.labels
        self._tokenizer = load_tokenizer(artifact.path, artifact.manifest.max_length)
        self._matcher, self._chain = None, None
        if (artifact.path / TAGGER).is_file():
            import numpy as np

            told = json.loads((artifact.path / TAGGER).read_text())
            self._chain = Chain(*(np.array(told[name]) for name in ("start", "transitions", "end")))
            entries = Dictionary.read(dictionary or artifact.path / DICTIONARY)
            self._matcher = Matcher(entries, told["kinds"], told["longest"])
        elif dictionary is not None:
            raise EdgekdError("this model reads no dictionary", "Give none, or train it with one.")

    def encode(self, texts: Sequence[Sequence[str]]) -> Encoded:
        return encode(self._tokenizer, texts, self.task.words, self._matcher)

    def answers(self, outputs: "Sequence[Floats]", tokens: Encoded) -> "NDArray[np.floating]":
        """Outputs of each row, (outputs,) or (length, outputs), to logits (positions, outputs).

        Those of a model whose tags are a chain are what `Chain.best` makes of them.
        """
        import numpy as np

        width = outputs[0].shape[-1]
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
