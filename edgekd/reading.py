"""What stands around a served model: texts to its inputs, and its outputs to answers."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgekd.artifact import Artifact
from edgekd.task import TASKS
from edgekd.tokens import Encoded, encode, load_tokenizer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgekd.runtime import Executable
    from edgekd.task import Floats


class Reader:
    """Reads texts for an artifact as it was trained to read them."""

    def __init__(self, artifact: Artifact) -> None:
        self.task, self.labels = TASKS.get(artifact.manifest.task)(), artifact.manifest.labels
        self._tokenizer = load_tokenizer(artifact.path, artifact.manifest.max_length)

    def encode(self, texts: Sequence[Sequence[str]]) -> Encoded:
        return encode(self._tokenizer, texts, self.task.words)

    def answers(self, outputs: "Sequence[Floats]", tokens: Encoded) -> "NDArray[np.floating]":
        """Outputs of each row, (outputs,) or (length, outputs), to logits (positions, outputs)."""
        import numpy as np

        width = outputs[0].shape[-1]
        return self.task.answers(np.concatenate([row.reshape(-1, width) for row in outputs]), tokens, self.labels)

    def run(self, executable: "Executable", tokens: Encoded) -> "NDArray[np.floating]":
        """Logits (positions, outputs) of rows, one at a time, as they are served."""
        rows = range(len(tokens.ids))
        return self.answers([executable.run(tokens.pad([row]))["logits"][0] for row in rows], tokens)
