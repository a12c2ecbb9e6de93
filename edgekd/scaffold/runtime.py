"""ONNX's reference evaluator: serves model.onnx by numpy, one operator after another."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekd.runtime import EngineDevice, Executable, Runtime

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgekd.runtime import Arrays, Shape


class Example(Runtime):
    # The formats that it serves, one runtime each: a stage whose `makes` says the same writes it (edgekd new stage).
    reads = frozenset({"example"})
    # Their versions stand in every report, and are part of what a measurement is kept under.
    libraries = ("onnx", "threadpoolctl")

    def compile(
        self, artifact: Path, device: EngineDevice, shape: "Shape | None" = None, precision: str = "fp32"
    ) -> Executable:
        # Imported here: who runs, plans or explains other things does not wait for it.
        from onnx.reference import ReferenceEvaluator
        from threadpoolctl import threadpool_limits

        # Both raise for what this runtime has not: nothing is replaced in silence.
        self.device(device)
        self.hint(precision)
        # What is timed on one thread has to run on one. 0 stands for all.
        threadpool_limits(device.threads or None, user_api="blas")
        try:
            return _Program(ReferenceEvaluator(str(artifact / "model.onnx")))
        except Exception as error:  # a broken file, or an operator that it lacks
            raise self.refused(artifact, error) from None


class _Program(Executable):
    def __init__(self, program: Any) -> None:
        self._program = program

    def infer(self, inputs: "Arrays") -> "dict[str, NDArray[Any]]":
        (logits,) = self._program.run(["logits"], {name: inputs[name] for name in self._program.input_names})
        return {"logits": logits}

    def precision(self, inputs: "Arrays") -> str:
        # What the runtime tells after running, by a profile say: never what was asked of it.
        return "not told"

    def release(self) -> None:
        self._program = None
