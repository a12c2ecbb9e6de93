"""PyTorch as it is written, in fp32: serves the folders that training makes, and is every export's reference."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekd.runtime import EngineDevice, Executable, Runtime, expect_cpu

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgekd.runtime import Arrays


class TorchEager(Runtime):
    reads = frozenset({"torch"})
    libraries = ("torch", "transformers")

    def compile(self, artifact: Path, device: EngineDevice) -> Executable:
        import torch

        from edgekd.kd.encoder import load_classifier

        expect_cpu(device, "PyTorch (eager)")
        torch.set_num_threads(device.threads or os.cpu_count() or 1)
        return _Module(load_classifier(artifact).eval())


class _Module(Executable):
    precision = "fp32"

    def __init__(self, module: Any) -> None:
        from edgekd.kd.encoder import input_names

        self._module, self._inputs = module, input_names(module)

    def run(self, inputs: "Arrays") -> "dict[str, NDArray[Any]]":
        import torch

        with torch.inference_mode():
            tensors = {name: torch.from_numpy(inputs[name]) for name in self._inputs}
            return {"logits": self._module(**tensors).logits.numpy()}

    def close(self) -> None:
        self._module = None
