"""What the stages that quantize share: how much they may lose, and whether layers go back to float to keep that."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from edgekd.data_options import DataOptions
from edgekd.errors import EdgekdError
from edgekd.fallback import Build, Search
from edgekd.stage import Compared, Job


class Quantizing(Compared):
    """A stage that writes weights in fewer bits, and may leave some layers in float."""

    fallback: bool = Field(
        False,
        description="Leave the most sensitive layers in float until max_drop and min_agreement are kept on dev; the "
        "report ranks them",
    )
    min_speedup: float | None = Field(
        None,
        gt=0,
        description="With fallback: least speed in multiples of that with every layer in float, or the run fails",
    )

    def check(self, data: DataOptions) -> None:
        super().check(data)
        if self.min_speedup is not None and not self.fallback:
            raise EdgekdError("min_speedup is only looked at by the fallback", "Add fallback: true.")
        precision = getattr(self, "precision", "")
        if self.fallback and precision in ("fp32", "fp16"):
            raise EdgekdError(
                f"precision {precision} leaves every layer in float: there is nothing to fall back from",
                "Choose a precision of fewer bits, or leave fallback out.",
            )

    def key_options(self) -> dict[str, Any]:
        # Here the limits decide which layers are quantized, so they make another artifact.
        limits = {"max_drop": self.max_drop, "min_agreement": self.min_agreement}
        return {**super().key_options(), **(limits if self.fallback else {})}

    def quantized(self, job: Job, layers: Sequence[str], build: Build) -> Mapping[str, Any]:
        """Fill job.out by `build`, with as many of `layers` in float as the options ask for; returns facts of that.

        Raises RefusedError where the fallback finds no choice that keeps its limits.
        """
        if self.fallback:
            limits = (self.max_drop, self.min_agreement, self.min_speedup)
            return Search(job, build, layers, type(self).makes, *limits).run()
        build(frozenset(), job.out)
        return {}
