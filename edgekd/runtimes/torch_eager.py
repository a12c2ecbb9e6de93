"""PyTorch (eager): serves the folders that training makes, in fp32, and is every export's reference."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekd.errors import EdgekdError
from edgekd.runtime import EngineDevice, Executable, Runtime

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgekd.runtime import Arrays, Shape


class TorchEager(Runtime):
    reads = frozenset({"torch"})
    libraries = ("torch", "transformers")
    devices = {"cpu": "cpu", "cuda": "cuda"}  # noqa: RUF012

    def compile(
        self, artifact: Path, device: EngineDevice, shape: "Shape | None" = None, precision: str = "fp32"
    ) -> Executable:
        import torch

        from edgekd.kd.encoder import load_classifier

        self.hint(precision)
        self.chosen(device)
        place = self.device(device)
        if place == "cuda" and not torch.cuda.is_available():
            raise EdgekdError("PyTorch sees no GPU here", "Use device cpu.")
        torch.set_num_threads(device.threads or os.cpu_count() or 1)
        return _Module(load_classifier(artifact).eval().to(place), place)


class _Module(Executable):
    def __init__(self, module: Any, place: str) -> None:
        from edgekd.kd.encoder import input_names

        self._module, self._place, self._inputs = module, place, input_names(module)

    def infer(self, inputs: "Arrays") -> "dict[str, NDArray[Any]]":
        import torch

        with torch.inference_mode():
            tensors = {name: torch.from_numpy(inputs[name]).to(self._place) for name in self._inputs}
            return {"logits": self._module(**tensors).logits.cpu().numpy()}

    def precision(self, inputs: "Arrays") -> str:
        """By the types of the parameters: eager products compute in what they are given."""
        names = {"torch.float32": "fp32", "torch.bfloat16": "bf16", "torch.float16": "fp16"}
        kinds = {str(parameter.dtype) for parameter in self._module.parameters()}
        return ", ".join(sorted(names.get(kind, kind) for kind in kinds))

    def release(self) -> None:
        self._module = None
