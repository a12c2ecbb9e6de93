"""Set the smallest weights of every linear layer to zero."""

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from edgekd.artifact import carry
from edgekd.options import Source
from edgekd.stage import Compared, Job


class Example(Compared):
    """Prunes by magnitude, layer by layer (Han et al. 2015). The file stays as large as it was.

    The artifact is held to its source: the run fails where it loses more than `max_drop`, or answers otherwise on more
    rows than `min_agreement` allows.
    """

    # The formats that its source may have, and the one that it makes: a runtime has to serve it.
    accepts: ClassVar[frozenset[str]] = frozenset({"torch"})
    makes: ClassVar[str] = "torch"
    # Raise it when the same options would give another artifact: what older code made is then made anew.
    version: ClassVar[int] = 1
    # The packages that decide what comes out: their versions are part of the cache key.
    libraries: ClassVar[tuple[str, ...]] = ("torch", "transformers")

    source: Source = Field(description="The step to prune; default: the step before")
    # An option is a field with its description. It is part of the cache key, unless it is marked IsAside: a mere limit.
    share: float = Field(0.1, ge=0, lt=1, description="Share of a layer's weights that become zero")

    def run(self, job: Job) -> Mapping[str, Any]:
        # Imported here: who plans or explains does not wait for torch.
        import torch

        from edgekd.kd import coded, encoder

        assert job.source is not None
        model = encoder.load_classifier(job.source.path)
        layers = [module for module in model.modules() if isinstance(module, torch.nn.Linear)]
        for number, layer in enumerate(layers, start=1):
            weight = layer.weight.detach().view(-1)
            weight[weight.abs().argsort()[: round(self.share * len(weight))]] = 0
            job.progress("pruning", number, len(layers))
        encoder.save(model, job.out)
        # The tokenizer, and what else stands around a model, goes along with it.
        carry(job.source.path, job.out)
        # Facts for the manifest and the report: JSON, and nothing that differs between two runs.
        weights = [layer.weight for layer in layers]
        zeros, whole = sum(int((weight == 0).sum()) for weight in weights), sum(weight.numel() for weight in weights)
        return {"parameters": coded.stored(model), "zero": zeros / whole}
