"""ExecuTorch: serves model.pte, lowered to XNNPACK, one row at a time."""

import os
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekd.errors import EdgekdError
from edgekd.quiet import quiet
from edgekd.runtime import EngineDevice, Executable, Runtime, together

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgekd.runtime import Arrays, Shape


class ExecuTorch(Runtime):
    reads = frozenset({"executorch"})
    libraries = ("executorch", "torch")

    def compile(
        self, artifact: Path, device: EngineDevice, shape: "Shape | None" = None, precision: str = "fp32"
    ) -> Executable:
        self.device(device)
        self.hint(precision)
        self.chosen(device)
        try:
            with quiet():
                import executorch.kernels.quantized  # noqa: F401  registers the 8-bit embedding's operators
                from executorch.extension.pybindings.portable_lib import (
                    _threadpool_get_thread_count,
                    _unsafe_reset_threadpool,
                )
                from executorch.runtime import Runtime as Loader

                # Its pool is the process's own, and takes every core unless it is told before anything runs. A program
                # that is open when it is told anew may end the process.
                threads, has = device.threads or os.cpu_count() or 1, _threadpool_get_thread_count()
                if has != threads and _open:
                    raise EdgekdError(
                        f"ExecuTorch has one pool of threads for a process, and models that use {has} are open",
                        f"Close those first, set threads: {has} here too, or use another process.",
                    )
                if has != threads:
                    _unsafe_reset_threadpool(threads)
                method = Loader.get().load_program(artifact / "model.pte").load_method("forward")
        except ImportError:
            raise EdgekdError("ExecuTorch is not installed", "Type: pip install 'edgekd[executorch]'") from None
        except (RuntimeError, ValueError) as error:
            raise self.refused(artifact, error) from None
        return _Method(method)


class _Method(Executable):
    def __init__(self, method: Any) -> None:
        self._method = method
        _open.add(self)
        meta = method.metadata
        count = meta.num_inputs()
        # A program names no inputs; what a dictionary says is the only one that is no table of tokens.
        reads = len(meta.input_tensor_meta(count - 1).sizes()) == 3
        names = ("input_ids", "attention_mask", "token_type_ids")[: count - reads]
        self._names = (*names, "dictionary") if reads else names

    def infer(self, inputs: "Arrays") -> "dict[str, NDArray[Any]]":
        import numpy as np
        import torch

        found = []
        for row in range(len(inputs["input_ids"])):  # its graph takes one row, at its real length
            tokens = int(np.count_nonzero(inputs["attention_mask"][row]))
            given = [
                torch.from_numpy(np.ascontiguousarray(inputs[name][row : row + 1, :tokens])) for name in self._names
            ]
            found.append(self._method.execute(given)[0].numpy())
        return {"logits": together(found, inputs["input_ids"].shape[1])}

    def precision(self, inputs: "Arrays") -> str:
        """Its Python runtime does not tell, and the delegate's part of a program is opaque."""
        return "not told"

    def release(self) -> None:
        self._method = None
        _open.discard(self)


_open: "weakref.WeakSet[_Method]" = weakref.WeakSet()
