"""Text in, answers out, by the runtime that serves the artifact."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

from edgekd import __version__, tuned
from edgekd.artifact import Artifact
from edgekd.engine import Engine
from edgekd.errors import EdgekdError
from edgekd.reading import Reader, whole
from edgekd.runtime import RUNTIMES, EngineDevice, installed, serving


def place(artifact: Artifact) -> EngineDevice:
    """Where it is best run on this machine: as tuning found, or all cores with the runtime's own settings."""
    runtime = serving(artifact.manifest.format)
    if (artifact.path / tuned.FILE).is_file():
        libraries = {**installed(RUNTIMES.get(runtime).libraries), "edgekd": __version__}
        if (found := tuned.here(artifact.path, runtime, libraries)) and found.ratio < 1:
            return EngineDevice("cpu", found.threads, tuple(found.settings.items()))
    return EngineDevice("cpu", 0)


class Model:
    """An artifact, loaded by the runtime that serves it. Not thread-safe; used as a context, it lets go at the end."""

    def __init__(self, folder: Path | str, dictionary: Path | None = None) -> None:
        """From an artifact's folder, such as runs/cola_int8/onnx_int8. `dictionary` is read instead of the artifact's
        own, where it has one.

        Raises EdgekdError where the folder is no sound artifact, or its runtime is not installed.
        """
        self.artifact = Artifact.load(Path(folder))
        self._reader = Reader(self.artifact, dictionary)
        self._engine = Engine()
        self._executable = self._engine.compile(self.artifact.path, place(self.artifact))

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of its labels; none where it gives a number."""
        return self.artifact.manifest.labels

    def predict(self, texts: Sequence[str | Sequence[str]]) -> list[dict[str, Any]]:
        """One answer a text, in order: {"label", "scores"}, or {"value"} of a regression; and {"cut": True} where the
        text is longer than the model reads, and the answer is for its beginning. A text is a string, or the two of a
        pair.

        Raises EdgekdError where a text has the wrong number of sentences or is none, for one string instead of a list
        of them, and after `close`.
        """
        if isinstance(texts, str):
            raise EdgekdError("predict takes a list of texts", f"Give [{texts[:20]!r}].")
        return list(self.answers([_row(text) for text in texts]))

    def answers(self, texts: Iterable[tuple[str, ...]]) -> Iterator[dict[str, Any]]:
        """As `predict`, one after another, as the texts come."""
        import numpy as np

        manifest = self.artifact.manifest
        if self._executable.closed:
            raise EdgekdError("this model is closed", "load() it again.")
        for text in texts:
            if len(text) != len(manifest.text):
                raise EdgekdError(
                    f"{len(text)} sentence{'s' * (len(text) != 1)} given, the model takes {len(manifest.text)}",
                    f"Give {' and '.join(manifest.text)}.",
                )
            tokens = self._reader.encode([text])
            logits = self._reader.run(self._executable, tokens)
            if not np.isfinite(logits).all():
                raise EdgekdError(
                    "the model answers with what is no finite number", "Make it again: edgekd run RECIPE."
                )
            answer = self._reader.task.decode(logits, manifest.labels, [text])[0]
            cut = tokens.cut and tokens.cut[0] and isinstance(answer, dict)
            yield {**answer, "cut": True} if cut else answer

    def close(self) -> None:
        self._engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _row(text: object) -> tuple[str, ...]:
    row = (text,) if isinstance(text, str) else tuple(text) if isinstance(text, Iterable) else ()
    if not row or not all(isinstance(part, str) for part in row):
        raise EdgekdError(f"{text!r} is no text", "Give a string, or two in a list for a model of pairs.")
    return whole(row)


def predict(folder: Path, texts: Iterable[tuple[str, ...]], dictionary: Path | None = None) -> Iterator[dict[str, Any]]:
    """One answer a text (or pair of texts, where the artifact was trained on pairs), in order; see `Model`."""
    with Model(folder, dictionary) as model:
        yield from model.answers(texts)
