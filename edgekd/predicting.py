"""Text in, answers out, by the runtime that serves the artifact."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from edgekd.artifact import Artifact
from edgekd.engine import Engine
from edgekd.errors import EdgekdError
from edgekd.reading import Reader
from edgekd.runtime import EngineDevice


def predict(folder: Path, texts: Iterable[tuple[str, ...]], dictionary: Path | None = None) -> Iterator[dict[str, Any]]:
    """One answer a text (or pair of texts, where the artifact was trained on pairs), in order.

    `dictionary` is read instead of the artifact's own, where it has one. Raises EdgekdError where the folder is no
    sound artifact, or a text has the wrong number of sentences.
    """
    artifact = Artifact.load(folder)
    manifest = artifact.manifest
    reader = Reader(artifact, dictionary)
    with Engine() as engine:
        executable = engine.compile(artifact.path, EngineDevice("cpu", 0))
        for text in texts:
            if len(text) != len(manifest.text):
                raise EdgekdError(
                    f"{len(text)} sentence{'s' * (len(text) != 1)} given, the model takes {len(manifest.text)}",
                    f"Give {' and '.join(manifest.text)}.",
                )
            logits = reader.run(executable, reader.encode([text]))
            yield reader.task.decode(logits, manifest.labels, [text])[0]
