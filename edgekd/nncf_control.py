"""NNCF's accuracy control: it quantizes, and takes operators back to float until the metric on dev is kept."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgekd.errors import RefusedError
from edgekd.openvino_graph import in_float
from edgekd.quiet import quiet
from edgekd.reading import Reader
from edgekd.stage import Job

_RANKING_ROWS = 64
# NNCF divides by the metric of the source, which can be 0; what it compares is a difference.
_ABOVE_ZERO = 2.0


@dataclass(frozen=True)
class Control:
    """How far NNCF may go: the largest loss of the metric, and the most steps back to float."""

    job: Job
    max_drop: float
    steps: int

    def quantized(
        self, model: Any, names: tuple[str, ...], layers: Mapping[str, Sequence[str]], options: Mapping[str, Any]
    ) -> tuple[Any, Mapping[str, Any]]:
        """The quantized model, with facts of what is left in float. `options`: as nncf.quantize takes them.

        Raises RefusedError where NNCF gives back a model that loses more, or one with nothing quantized: it does both.
        """
        import nncf
        import numpy as np
        import openvino

        assert self.job.source is not None
        reader = Reader(self.job.source)
        dev = reader.encode(self.job.data.dev.texts)
        everything = range(len(dev.ids))
        theirs: dict[int, Any] = {}  # the source's outputs
        scored = 0

        def validate(compiled: Any, rows: Iterable[int]) -> tuple[float, list[float]]:
            """Of dev, the metric; of some of its rows, how near the outputs are to the source's. And that for each row.

            NNCF takes back first what scores best when taken back. Given outputs instead of scores, it takes the
            greatest error to be the best.
            """
            nonlocal scored
            outputs = {row: np.array(compiled([dev.pad([row])[name] for name in names])[0]) for row in rows}
            theirs.update({} if theirs else outputs)
            near = [-float(np.square(logits - theirs[row]).mean()) for row, logits in outputs.items()]
            if len(outputs) < len(everything):
                return sum(near) / len(near), near
            scored = min(scored + 1, self.steps + 4)
            self.job.progress("NNCF's accuracy control", scored, self.steps + 4)
            logits = reader.answers([given[0] for given in outputs.values()], dev)
            return self.job.data.value(logits) + _ABOVE_ZERO, near

        def score(model: Any) -> float:
            return validate(openvino.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"}), everything)[0]

        given = dict(options)
        with quiet():
            target = score(model)
            made = nncf.quantize_with_accuracy_control(
                model,
                given.pop("calibration_dataset"),
                nncf.Dataset(everything),
                validate,
                max_drop=self.max_drop,
                advanced_quantization_parameters=given.pop("advanced_parameters"),
                advanced_accuracy_restorer_parameters=nncf.AdvancedAccuracyRestorerParameters(
                    max_num_iterations=self.steps, ranking_subset_size=_RANKING_ROWS, num_ranking_workers=1
                ),
                **given,
            )
            drop = target - score(made)
        floats = in_float(made, layers)
        if drop > self.max_drop or len(floats) == len(layers):
            raise RefusedError(
                f"NNCF's accuracy control keeps no drop of {self.max_drop:g}: "
                f"with {len(floats)} of {len(layers)} layers in float, it loses {drop:.4f}",
                "Raise max_drop or max_reverted, or leave fallback_by out.",
            )
        return made, {"float_layers": floats}
