"""Text in, answers out, by the runtime that serves the artifact."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from edgekd.artifact import Artifact
from edgekd.engine import Engine
from edgekd.errors import EdgekdError
from edgekd.runtime import EngineDevice
from edgekd.task import TASKS
from edgekd.tokens import encode, load_tokenizer


def predict(folder: Path, texts: Iterable[tuple[str, ...]]) -> Iterator[dict[str, Any]]:
    """One answer a text (or pair of texts, where the artifact was trained on pairs), in order.

    Raises EdgekdError where the folder is no sound artifact, or a text has the wrong number of sentences.
    """
    artifact = Artifact.load(folder)
    manifest = artifact.manifest
    task = TASKS.get(manifest.task)()
    tokenizer = load_tokenizer(artifact.path, manifest.max_length)
    with Engine() as engine:
        executable = engine.compile(artifact.path, EngineDevice("cpu", 0))
        for text in texts:
            if len(text) != len(manifest.text):
                raise EdgekdError(
                    f"{len(text)} sentence{'s' * (len(text) != 1)} given, the model takes {len(manifest.text)}",
                    f"Give {' and '.join(manifest.text)}.",
                )
            logits = executable.run(encode(tokenizer, [text]).pad([0]))["logits"]
            yield task.decode(logits, manifest.labels)[0]
