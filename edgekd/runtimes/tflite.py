"""TFLite: serves model.tflite by LiteRT (ai-edge-litert), or by tflite-runtime where that is what a board has."""

import math
import os
import weakref
from abc import abstractmethod
from collections import Counter
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekd.errors import EdgekdError
from edgekd.quiet import quiet
from edgekd.runtime import EngineDevice, Executable, Runtime, summary, together

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgekd.runtime import Arrays, Shape

    Filled = dict[str, NDArray[Any]]

_PRODUCTS = ("FULLY_CONNECTED", "BATCH_MATMUL")
# A graph's inputs and outputs by name, and the count and shape of the one that it answers with.
_Buffers = tuple[dict[str, Any], dict[str, Any], int, tuple[int, ...]]
_SHARED = ":memory"  # LiteRT's name of a cache of packed weights that is no file


class TfLite(Runtime):
    reads = frozenset({"tflite"})
    libraries = ("ai-edge-litert|tflite-runtime",)
    settings = {"engine": ("compiled", "interpreter")}  # noqa: RUF012

    def compile(
        self, artifact: Path, device: EngineDevice, shape: "Shape | None" = None, precision: str = "fp32"
    ) -> Executable:
        self.device(device)
        self.hint(precision)
        file, threads = artifact / "model.tflite", device.threads or os.cpu_count() or 1
        length = None if shape is None else shape[1]
        alone = self.chosen(device)["engine"] == "interpreter"
        try:
            try:
                if alone:
                    return _Interpreter(file, threads, length)
                return _Compiled(file, threads, length)
            except (ImportError, ValueError, RuntimeError):
                # Older runtimes have the interpreter alone, and it alone says what is wrong with a file.
                return _Interpreter(file, threads, length)
        except (ValueError, RuntimeError) as error:
            raise self.refused(artifact, error) from None


class _Graphs(Executable):
    """A graph (signature) for each length in one file: a row takes the shortest that holds it, filled up and masked."""

    def __init__(self, file: Path, inputs: Mapping[str, Mapping[str, Any]], only: int | None) -> None:
        """`inputs`: by graph and by name, the dtype and shape of each; `only`: the one length that is asked for."""
        self._file = file
        lengths = {name: int(inputs[name]["input_ids"]["shape"][1]) for name in inputs}
        self._names = {length: name for name, length in lengths.items() if only in (None, length)}
        if not self._names:
            raise EdgekdError(f"the file has no graph for length {only}", f"Its graphs: {', '.join(inputs)}.")
        self._inputs = inputs
        self._filled: dict[int, Filled] = {}  # rewritten by each row: to allocate them took a tenth of an inference

    def infer(self, inputs: "Arrays") -> "dict[str, NDArray[Any]]":
        import numpy as np

        found = []
        for row in range(len(inputs["input_ids"])):
            tokens = int(np.count_nonzero(inputs["attention_mask"][row]))
            length = min((known for known in self._names if known >= tokens), default=0)
            if not length:
                raise EdgekdError(
                    f"a row of {tokens} tokens, the longest graph takes {max(self._names)}",
                    "Export it with a longer length.",
                )
            filled = self._filled.get(length) or self._empty(length)
            for name, values in filled.items():
                values[0, :tokens], values[0, tokens:] = inputs[name][row, :tokens], 0
            logits = self._answer(length, filled)
            found.append(logits if logits.ndim == 2 else logits[:, :tokens])
        return {"logits": found[0] if len(found) == 1 else together(found, inputs["input_ids"].shape[1])}

    def _empty(self, length: int) -> "Filled":
        import numpy as np

        wanted = self._inputs[self._names[length]]
        self._filled[length] = {name: np.zeros(told["shape"], told["dtype"]) for name, told in wanted.items()}
        return self._filled[length]

    @abstractmethod
    def _answer(self, length: int, filled: "Filled") -> "NDArray[Any]":
        """The logits of one graph, of its filled inputs."""

    def precision(self, inputs: "Arrays") -> str:
        """By the types of what the file's matrix products are given; its kernels take them as they are."""
        import numpy as np

        interpreter = _open(self._file, 1)
        types = {tensor["index"]: tensor["dtype"] for tensor in interpreter.get_tensor_details()}
        counts: Counter[str] = Counter()
        for operator in interpreter._get_ops_details():
            if operator["op_name"] in _PRODUCTS:
                activations, weights = (types.get(index) for index in operator["inputs"][:2])
                if weights == np.int8:
                    counts["int8" if activations == np.int8 else "int8 weights"] += 1
                else:
                    counts["fp32"] += 1
        return summary(counts)


class _Compiled(_Graphs):
    """By LiteRT's CompiledModel. Its graphs share their packed weights: by the interpreter each graph packs its own,
    and eight of them take eight times the memory, and the processor's cache.
    """

    def __init__(self, file: Path, threads: int, only: int | None) -> None:
        with quiet(always=True):  # it says of every accelerator that it is not there
            from ai_edge_litert.compiled_model import CompiledModel
            from ai_edge_litert.cpu_options import CpuOptions
            from ai_edge_litert.hardware_accelerator import HardwareAccelerator
            from ai_edge_litert.options import Options

            processor = CpuOptions(num_threads=threads, xnnpack_weight_cache_path=_SHARED)
            options = Options(hardware_accelerators=HardwareAccelerator.CPU, cpu_options=processor)
            model = CompiledModel.from_file(str(file), options=options)
        inputs = {name: model.get_input_tensor_details(name) for name in model.get_signature_list()}
        super().__init__(file, inputs, only)
        self._model: list[Any] = [model]
        self._buffers: dict[int, _Buffers] = {}
        # Also where nobody closes it: at the end of the process it would speak.
        self._drop = weakref.finalize(self, _drop, self._model, self._buffers)

    def _answer(self, length: int, filled: "Filled") -> "NDArray[Any]":
        import numpy as np

        name = self._names[length]
        given, told, count, shape = self._buffers.get(length) or self._prepare(length, name, filled)
        for entry, values in filled.items():
            given[entry].write(values)
        self._model[0].run_by_name(name, given, told)
        logits: NDArray[Any] = next(iter(told.values())).read(count, np.float32).reshape(shape)
        return logits

    def _prepare(self, length: int, name: str, filled: "Filled") -> _Buffers:
        model = self._model[0]
        outputs = model.get_output_tensor_details(name)
        given = {entry: model.create_input_buffer_by_name(name, entry) for entry in filled}
        told = {entry: model.create_output_buffer_by_name(name, entry) for entry in outputs}
        with quiet():  # the first write of a process looks for accelerators once more
            for entry, values in filled.items():
                given[entry].write(values)
        _end_in_silence()
        shape = tuple(next(iter(outputs.values()))["shape"])
        self._buffers[length] = given, told, math.prod(map(int, shape)), shape
        return self._buffers[length]

    def release(self) -> None:
        self._filled.clear()
        self._drop()


def _drop(model: list[Any], buffers: dict[int, Any]) -> None:
    with quiet():
        buffers.clear()
        model.clear()


@cache
def _end_in_silence() -> None:
    """Let the process end without what LiteRT then says of each accelerator: it has no setting for that.

    Standard error is closed when Python has ended and its own messages are out, by the C library's list of what is to
    be called then, before what it is closed for: last in, first out.
    """
    import ctypes

    library = ctypes.CDLL(None)
    library.__cxa_atexit(ctypes.cast(library.close, ctypes.c_void_p), ctypes.c_void_p(2), None)


class _Interpreter(_Graphs):
    def __init__(self, file: Path, threads: int, only: int | None) -> None:
        self._interpreter = _open(file, threads)
        self._runners = {
            name: self._interpreter.get_signature_runner(name) for name in self._interpreter.get_signature_list()
        }
        super().__init__(file, {name: runner.get_input_details() for name, runner in self._runners.items()}, only)

    def _answer(self, length: int, filled: "Filled") -> "NDArray[Any]":
        logits: NDArray[Any] = next(iter(self._runners[self._names[length]](**filled).values()))
        return logits

    def release(self) -> None:
        self._runners.clear()
        self._filled.clear()
        self._interpreter = None


def _open(file: Path, threads: int) -> Any:
    """An interpreter of the runtime that is there, the newer one first."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        try:
            from tflite_runtime.interpreter import Interpreter
        except ImportError:
            raise EdgekdError("no TFLite runtime is installed", "Type: pip install ai-edge-litert") from None
    return Interpreter(str(file), num_threads=threads)
