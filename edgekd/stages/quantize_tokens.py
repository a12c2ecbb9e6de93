"""Store each token's vector as a few bytes: half of a small encoder, sometimes two thirds, is its token table."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import Field

from edgekd.artifact import carry
from edgekd.errors import EdgekdError
from edgekd.options import IsAside, Source
from edgekd.stage import Job, Stage, Tolerance


class QuantizeTokens(Stage):
    """Replaces the token table by codes of a byte and codebooks (product quantization). Every token stays, rare ones
    too, where trim_vocabulary drops them; both can be used, the trimming first.

    Put it before the distillation, on the teacher, and the student learns with the small table: the codes stay what
    they are, the codebooks are trained. `parameters` counts a code as one.
    """

    accepts: ClassVar[frozenset[str]] = frozenset({"torch"})
    makes: ClassVar[str] = "torch"
    libraries: ClassVar[tuple[str, ...]] = ("torch", "transformers", "tokenizers", "scikit-learn")

    source: Source = Field(description="The step whose token table is coded; default: the step before")
    codes: int = Field(48, ge=1, description="Codes a token, a byte each; they divide the width of the table")
    max_drop: Annotated[float, IsAside()] = Field(
        0.02, ge=0, description="Largest loss of the recipe's metric against the source"
    )

    def tolerance(self) -> Tolerance:
        return Tolerance(max_drop=self.max_drop)

    def run(self, job: Job) -> Mapping[str, Any]:
        from edgekd.kd import coded, encoder

        assert job.source is not None
        model = encoder.load_classifier(job.source.path)
        table = model.get_input_embeddings()
        self._fits(table)
        before, old = coded.stored(model), table.weight.detach()
        found = coded.coded(table, self.codes, job.seed, job.progress)
        lost = ((found.weight.detach() - old) ** 2).sum() / ((old - old.mean(dim=0)) ** 2).sum()
        model.set_input_embeddings(found)
        setattr(model.config, coded.FIELD, self.codes)
        encoder.save(model, job.out)
        carry(job.source.path, job.out)
        return {"parameters": coded.stored(model), "parameters_before": before, "variance_kept": 1 - float(lost)}

    def _fits(self, table: Any) -> None:
        import torch

        from edgekd.kd import coded

        if isinstance(table, coded.CodedTable):
            raise EdgekdError("the token table is coded already", "Leave the step out, or set codes on the first.")
        if type(table) is not torch.nn.Embedding:  # another may do more than look up
            raise EdgekdError(
                f"a token table of the kind {type(table).__name__} cannot be coded", "Leave the step out."
            )
        tokens, width = table.num_embeddings, table.embedding_dim
        smaller = [
            parts
            for parts in range(1, width + 1)
            if width % parts == 0 and coded.size(tokens, width, parts) < tokens * width
        ]
        if not smaller:
            problem = f"a table of {tokens:,} tokens, {width} wide, would not be smaller in codes"
            raise EdgekdError(problem, "Leave the step out.")
        if self.codes not in smaller:
            problem = "do not divide the width" if width % self.codes else "make the table no smaller: its width is"
            hint = f"Numbers that do: {', '.join(map(str, smaller))}."
            raise EdgekdError(f"codes: {self.codes} {problem} {width}", hint)
