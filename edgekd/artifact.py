"""An artifact: a folder that holds a model, its tokenizer and a manifest that says what it is and where it comes from.

The manifest holds nothing that differs between two runs of the same recipe (no time, no absolute path), so equal
inputs give an equal digest.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from edgekd.errors import EdgekdError

MANIFEST = "manifest.json"
TOKENIZER = "tokenizer.json"
TRAINING = "training.json"  # losses, beside the weights of what was trained
# Beside a tagger with a dictionary: what its features and its tags' order are, and the dictionary.
TAGGER, DICTIONARY = "tagger.json", "dictionary.tsv"
SCHEMA = 1


def sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def carry(source: Path, out: Path) -> None:
    """Copy what stands around a model, whatever format it is in: how texts are read, and tags decoded."""
    for name in (TOKENIZER, TAGGER, DICTIONARY):
        if (source / name).is_file():
            (out / name).write_bytes((source / name).read_bytes())


def canonical(value: Any) -> str:
    """JSON with one spelling for one value, for digests and files that are compared."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


@dataclass(frozen=True)
class Manifest:
    """What an artifact is. `files` maps each relative name to its sha256 and size in bytes."""

    key: str
    stage: str
    stage_version: int
    format: str
    task: str
    labels: tuple[str, ...]
    text: tuple[str, ...]
    max_length: int
    options: Mapping[str, Any]
    parents: Mapping[str, str]
    data: Mapping[str, Any]
    libraries: Mapping[str, str]
    offline: bool = False  # overrides of the recipe's offline block applied
    facts: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    schema: int = SCHEMA


@dataclass(frozen=True)
class Artifact:
    """A folder with a manifest. `path` may differ between machines; nothing else does."""

    path: Path
    manifest: Manifest

    @property
    def size(self) -> int:
        """Bytes on disk of all files, the tokenizer's included."""
        return sum(int(entry["bytes"]) for entry in self.manifest.files.values())

    @property
    def model_size(self) -> int:
        """Bytes on disk of the model's own files: what quantization shrinks."""
        own = self.manifest.files.keys() - {TOKENIZER, DICTIONARY}
        return sum(int(self.manifest.files[name]["bytes"]) for name in own)

    @property
    def digest(self) -> str:
        """One sha256 over the names and contents of all files, the manifest included."""
        listed = {name: entry["sha256"] for name, entry in self.manifest.files.items()}
        return hashlib.sha256(canonical([listed, asdict(self.manifest)]).encode()).hexdigest()

    @classmethod
    def seal(cls, path: Path, manifest: Manifest) -> "Artifact":
        """Write the manifest of a finished folder, with the digest of every file in it."""
        files = {name: {"sha256": sha256(path / name), "bytes": (path / name).stat().st_size} for name in _walk(path)}
        sealed = Manifest(**{**_fields(manifest), "files": files})
        (path / MANIFEST).write_text(json.dumps(asdict(sealed), indent=1, sort_keys=True, ensure_ascii=False) + "\n")
        return cls(path, sealed)

    @classmethod
    def load(cls, path: Path, check: bool = True) -> "Artifact":
        """Read a folder back. Raises EdgekdError when it is no artifact, or (`check`) when a file has changed."""
        try:
            raw = json.loads((path / MANIFEST).read_text())
        except FileNotFoundError:
            raise EdgekdError(f"{path} is no artifact: it has no {MANIFEST}", _neighbours(path)) from None
        except (ValueError, UnicodeDecodeError) as error:
            raise _corrupt(path, f"{MANIFEST} cannot be read ({error})") from None
        if not isinstance(raw, dict) or raw.get("schema") != SCHEMA:
            found = raw.get("schema") if isinstance(raw, dict) else None
            raise EdgekdError(
                f"{path}: manifest of schema {found}, this edgekd reads {SCHEMA}", "Run the recipe again."
            )
        try:
            for listed in ("labels", "text"):
                raw[listed] = tuple(raw[listed])
            artifact = cls(path, Manifest(**raw))
        except (TypeError, KeyError) as error:
            raise _corrupt(path, f"{MANIFEST} lacks a field or has one too many ({error})") from None
        if check:
            artifact.verify()
        return artifact

    def verify(self) -> None:
        """Compare every file with its recorded size and sha256. Raises EdgekdError at the first difference."""
        for name, entry in self.manifest.files.items():
            file = self.path / name
            if not file.is_file():
                raise _corrupt(self.path, f"{name} is missing")
            if file.stat().st_size != entry["bytes"] or sha256(file) != entry["sha256"]:
                raise _corrupt(self.path, f"{name} is not the file that was recorded")


def _fields(manifest: Manifest) -> dict[str, Any]:
    return {name: getattr(manifest, name) for name in Manifest.__dataclass_fields__}


def _walk(path: Path) -> Iterator[str]:
    names = (file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file())
    return (name for name in sorted(names) if name != MANIFEST)


def _corrupt(path: Path, what: str) -> EdgekdError:
    return EdgekdError(f"corrupt artifact {path}: {what}", f"Remove it and run again: rm -r {os.path.realpath(path)}")


def _neighbours(path: Path) -> str:
    """The artifacts that do lie at or beside a mistaken path, so that the right one can be typed."""
    for folder in (path, path.parent):
        if found := sorted(manifest.parent.as_posix() for manifest in folder.glob(f"*/{MANIFEST}")):
            return f"Artifacts there: {', '.join(found[:10])}."
    return "Name an artifact's folder, such as runs/cola_int8/onnx_int8."
