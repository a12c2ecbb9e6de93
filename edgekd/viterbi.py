"""The best tags of a row under a linear-chain CRF: outside of the model's graph, on any target, by numpy."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class Chain:
    """Scores of a first tag (Y,), of a tag (column) after another (row) (Y, Y), and of a last tag (Y,)."""

    start: "Floats"
    transitions: "Floats"
    end: "Floats"

    def best(self, emissions: "Floats") -> "Floats":
        """For each word and tag of emissions (W, Y), the score of the best tags of the row in which the word has this
        one, less that of the best at all: the largest of a word is 0, and stands where Viterbi's path goes (of two that
        are exactly as good, on one or the other).

        Max-marginals, by Viterbi's recursion (1967) from both ends. So what is compared, gated and told of a model with
        a CRF has the shape of any other's logits.
        """
        import numpy as np

        given = np.asarray(emissions, dtype=np.float64)
        left, right = given.copy(), np.zeros_like(given)
        left[0] += self.start
        right[-1] = self.end
        for word in range(1, len(given)):
            left[word] += (left[word - 1][:, None] + self.transitions).max(axis=0)
        for word in range(len(given) - 1, 0, -1):
            right[word - 1] = (self.transitions + given[word] + right[word]).max(axis=1)
        found = left + right
        best: Floats = (found - found.max(axis=1, keepdims=True)).astype(np.float32)
        return best
