"""An artifact's folder: its manifest, and what stands around the model."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edgekd.artifact import Artifact, Manifest, canonical, sha256
from edgekd.reading import Reader
from edgekd.runtime import serving
from tests.fuzz.mutators import json_tree
from tests.fuzz.target import Target
from tests.fuzz.targets.tokenizer import TOKENIZER

MODEL = b"no model: none is run here"


def _digest(content: bytes) -> dict[str, Any]:
    import hashlib

    return {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}


def manifest(**more: Any) -> bytes:
    fields: dict[str, Any] = {
        "key": "k",
        "stage": "export_onnx",
        "stage_version": 1,
        "format": "onnx",
        "task": "classification",
    }
    fields |= {
        "labels": ("no", "yes"),
        "text": ("sentence",),
        "max_length": 32,
        "options": {"seed": 1},
        "parents": {"source": "x"},
    }
    fields |= {
        "data": {"source": "files"},
        "libraries": {"onnx": "1"},
        "facts": {"lengths": [16], "parameters": 3},
        **more,
    }
    files = {"model.onnx": _digest(MODEL), "tokenizer.json": _digest(TOKENIZER)}
    return json.dumps(asdict(Manifest(**fields, files=files))).encode()


SEEDS = (manifest(), manifest(task="regression", labels=()), manifest(text=("one", "two"), offline=True))


def fill(folder: Path) -> None:
    (folder / "model.onnx").write_bytes(MODEL)
    (folder / "tokenizer.json").write_bytes(TOKENIZER)


def check(data: bytes, folder: Path) -> None:
    fill(folder)
    (folder / "manifest.json").write_bytes(data)
    artifact = Artifact.load(folder)
    for name in artifact.manifest.files:
        assert (folder / name).resolve().is_relative_to(folder.resolve()), "it reaches out of its folder"
        assert sha256(folder / name) == artifact.manifest.files[name]["sha256"]
    _ = artifact.size, artifact.model_size, artifact.digest
    serving(artifact.manifest.format)
    canonical(asdict(artifact.manifest))
    reader = Reader(artifact)
    reader.encode([("a cat",) * len(artifact.manifest.text)])


TARGET = Target("archives: manifests of artifacts and bundles", check, SEEDS, json_tree(SEEDS), share=9)
