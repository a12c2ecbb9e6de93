"""A token table by product quantization (Jégou, Douze, Schmid 2011, section II.C): a vector is cut into parts, and of
each part only the number of the nearest one in a codebook of 256 is stored, a byte.

The codes are found once and stay; the codebooks are trained with the model, as iPQ does (Fan et al. 2020, "Training
with Quantization Noise for Extreme Model Compression", section 4.2).
"""

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

ENTRIES = 256  # of a codebook: what a byte can name
_LEAST = -128
FIELD = "token_codes"  # of config.json: codes a token

Model = TypeVar("Model")


class CodedTable(nn.Module):
    """Vectors (..., width) of token ids (...): `codes` (tokens, parts), `books` (parts * 256, width / parts).

    Codes are counted from -128: converters know no constants of unsigned bytes.
    """

    codes: Tensor
    padding_idx = None  # which nn.Embedding has: no entry is padding's alone

    def __init__(self, tokens: int, width: int, parts: int) -> None:
        super().__init__()
        self.num_embeddings, self.embedding_dim = tokens, width
        self.register_buffer("codes", torch.zeros(tokens, parts, dtype=torch.int8))
        self.register_buffer("first", torch.arange(parts) * ENTRIES - _LEAST, persistent=False)
        self.books = nn.Parameter(torch.zeros(parts * ENTRIES, width // parts))

    first: Tensor  # the entry of each part's code 0

    def forward(self, ids: Tensor) -> Tensor:
        entries = functional.embedding(ids, self.codes).long() + self.first
        return functional.embedding(entries, self.books).flatten(-2)

    @property
    def weight(self) -> Tensor:
        """The table (tokens, width) that it stands for."""
        found: Tensor = self(torch.arange(self.num_embeddings, device=self.codes.device))
        return found

    def keep(self, kept: list[int]) -> None:
        """Leave it only these tokens; new id = position in `kept`."""
        self.codes = self.codes[kept].clone()
        self.num_embeddings = len(kept)


def coded(table: Any, parts: int, seed: int, progress: Callable[[str, float, float], None]) -> CodedTable:
    """The nearest a table of `parts` codes comes to an embedding, by k-means of each part. `parts` divide its width.
    On any number of cores the same one.
    """
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    found = CodedTable(table.num_embeddings, table.embedding_dim, parts)
    values = table.weight.detach().float().numpy().reshape(table.num_embeddings, parts, -1)
    # scikit-learn adds up what its threads found as each is done: in another order they are other sums.
    with torch.no_grad(), threadpool_limits(1):
        for part in range(parts):
            progress("codebooks", part, parts)
            # More means than different points, and some would stand where no point is.
            entries = min(ENTRIES, len(np.unique(values[:, part], axis=0)))
            means = KMeans(entries, n_init=1, max_iter=50, random_state=(seed + part) % 2**32).fit(values[:, part])
            found.codes[:, part] = torch.from_numpy(means.labels_ + _LEAST).to(torch.int8)
            start = part * ENTRIES
            found.books[start : start + entries] = torch.from_numpy(means.cluster_centers_)
    progress("codebooks", parts, parts)
    return found


def install(model: Model) -> Model:
    """Give a model whose configuration tells of codes a table for them, to be filled."""
    own: Any = model
    if parts := getattr(own.config, FIELD, None):
        old = own.get_input_embeddings()
        own.set_input_embeddings(CodedTable(old.num_embeddings, old.embedding_dim, parts))
    return model


def plain(model: Model) -> Model:
    """Give a model with a coded table the one that its codes stand for."""
    own: Any = model
    if isinstance(table := own.get_input_embeddings(), CodedTable):
        whole = nn.Embedding(table.num_embeddings, table.embedding_dim)
        whole.weight.data = table.weight.detach()
        own.set_input_embeddings(whole)
        delattr(own.config, FIELD)
    return model


def of_state(codes: Tensor, books: Tensor) -> CodedTable:
    """A table of what was saved of one."""
    tokens, parts = codes.shape
    found = CodedTable(tokens, parts * books.shape[1], parts)
    found.load_state_dict({"codes": codes, "books": books})
    return found


def size(tokens: int, width: int, parts: int) -> int:
    """How many numbers such a table stores."""
    return tokens * parts + ENTRIES * width


def stored(model: nn.Module) -> int:
    """How many numbers a model stores: its parameters and, where its table is coded, the codes."""
    tables = [module for module in model.modules() if isinstance(module, CodedTable)]
    return sum(value.numel() for value in [*model.parameters(), *(table.codes for table in tables)])
