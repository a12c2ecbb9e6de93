"""An artifact: a folder that holds a model, its tokenizer and a manifest that says what it is and where it comes from.

The manifest holds nothing that differs between two runs of the same recipe (no time, no absolute path), so equal
inputs give an equal digest.
"""

import hashlib
import json
import os
import shlex
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path, PurePosixPath
from typing import Any, TypedDict

from edgekd.decoding import json_object
from edgekd.errors import EdgekdError
from edgekd.paths import is_file

MANIFEST = "manifest.json"
TOKENIZER = "tokenizer.json"
TRAINING = "training.json"  # losses, beside the weights of what was trained
# Beside a tagger with a dictionary: what its features and its tags' order are, and the dictionary.
TAGGER, DICTIONARY = "tagger.json", "dictionary.tsv"
SCHEMA = 1
_LONGEST = 1_000_000  # tokens
_LISTED = ("labels", "text")


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


class Recorded(TypedDict):
    """What a file held when its artifact was made."""

    sha256: str
    bytes: int


@dataclass(frozen=True)
class Manifest:
    """What an artifact is. `files` are by relative names."""

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
    files: Mapping[str, Recorded] = field(default_factory=dict)
    schema: int = SCHEMA


@dataclass(frozen=True)
class Artifact:
    """A folder with a manifest. `path` may differ between machines; nothing else does."""

    path: Path
    manifest: Manifest

    @property
    def size(self) -> int:
        """Bytes on disk of all files, the tokenizer's included."""
        return sum(entry["bytes"] for entry in self.manifest.files.values())

    @property
    def model_size(self) -> int:
        """Bytes on disk of the model's own files: what quantization shrinks."""
        own = self.manifest.files.keys() - {TOKENIZER, DICTIONARY}
        return sum(self.manifest.files[name]["bytes"] for name in own)

    @property
    def digest(self) -> str:
        """One sha256 over the names and contents of all files, the manifest included."""
        listed = {name: entry["sha256"] for name, entry in self.manifest.files.items()}
        return hashlib.sha256(canonical([listed, asdict(self.manifest)]).encode()).hexdigest()

    @classmethod
    def seal(cls, path: Path, manifest: Manifest) -> "Artifact":
        """Write the manifest of a finished folder, with the digest of every file in it."""
        files = {name: Recorded(sha256=sha256(path / name), bytes=(path / name).stat().st_size) for name in _walk(path)}
        sealed = Manifest(**{**_fields(manifest), "files": files})
        (path / MANIFEST).write_text(json.dumps(asdict(sealed), indent=1, sort_keys=True, ensure_ascii=False) + "\n")
        return cls(path, sealed)

    @classmethod
    def load(cls, path: Path, check: bool = True) -> "Artifact":
        """Read a folder back. Raises EdgekdError when it is no artifact, or (`check`) when a file has changed."""
        try:
            raw = json_object(path / MANIFEST)
            canonical(raw).encode()  # half a character has no digest
        except (FileNotFoundError, NotADirectoryError):
            hint = _refused(path.parent) + _neighbours(path)
            raise EdgekdError(f"{path} is no artifact: it has no {MANIFEST}", hint) from None
        except (OSError, ValueError) as error:
            raise corrupt(path, f"{MANIFEST} cannot be read ({error})") from None
        if (found := raw.get("schema")) != SCHEMA:
            newer = isinstance(found, int) and found > SCHEMA
            hint = "Update edgekd: pip install --upgrade edgekd" if newer else "Run the recipe again."
            raise EdgekdError(f"{path}: manifest of schema {found!r}, this edgekd reads {SCHEMA}", hint)
        for field_ in fields(Manifest):
            if field_.name not in raw and field_.default is field_.default_factory is MISSING:
                raise corrupt(path, f"{MANIFEST} lacks a field, '{field_.name}'")
        if unknown := sorted(raw.keys() - {field_.name for field_ in fields(Manifest)}):
            raise corrupt(path, f"{MANIFEST} has a field too many, '{unknown[0]}'")
        if wrong := _wrong(raw):
            raise corrupt(path, f"in {MANIFEST}, {wrong}")
        artifact = cls(path, Manifest(**{**raw, **{name: tuple(raw[name]) for name in _LISTED}}))
        if check:
            artifact.verify()
        return artifact

    def verify(self) -> None:
        """Compare every file with its recorded size and sha256. Raises EdgekdError at the first difference."""
        for name, entry in self.manifest.files.items():
            file, parts = self.path / name, PurePosixPath(name).parts
            if not parts or parts[0] == "/" or ".." in parts:
                raise corrupt(self.path, f"'{name}' in {MANIFEST} lies outside of it")
            if not is_file(file):
                raise corrupt(self.path, f"{name} is missing")
            if file.stat().st_size != entry["bytes"] or sha256(file) != entry["sha256"]:
                raise corrupt(self.path, f"{name} is not the file that was recorded")


def _fields(manifest: Manifest) -> dict[str, Any]:
    return {name: getattr(manifest, name) for name in Manifest.__dataclass_fields__}


def _wrong(raw: Mapping[str, Any]) -> str:
    """What a manifest says and cannot be so, in words."""
    for name in ("key", "stage", "format", "task"):
        if not isinstance(raw[name], str):
            return f"{name} is no text"
    for name in _LISTED:
        if not isinstance(raw[name], list) or not all(isinstance(word, str) for word in raw[name]):
            return f"{name} is no list of texts"
    for name in ("options", "parents", "data", "libraries", "facts", "files"):
        if not isinstance(raw.get(name, {}), dict):
            return f"{name} is no object"
    least = 1 if raw["task"] else 0  # what knows no task reads nothing
    if not isinstance(raw["max_length"], int) or not least <= raw["max_length"] <= _LONGEST:
        return f"max_length is no number of tokens up to {_LONGEST:,}"
    for name, entry in raw.get("files", {}).items():
        if Path(name).is_absolute() or ".." in Path(name).parts:
            return f"the file {name} is not in the folder"
        if not isinstance(entry, dict) or not isinstance(entry.get("bytes"), int) or "sha256" not in entry:
            return f"the file {name} has no size and sha256"
    return "text names no column" if raw["task"] and not raw["text"] else ""


def _walk(path: Path) -> Iterator[str]:
    names = (file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file())
    return (name for name in sorted(names) if name != MANIFEST)


def corrupt(path: Path, what: str) -> EdgekdError:
    """What is wrong with an artifact that was sound once."""
    return EdgekdError(
        f"corrupt artifact {path}: {what}", f"Remove it and run again: rm -r {shlex.quote(os.path.realpath(path))}"
    )


def _refused(run: Path) -> str:
    """What a run says that refused an artifact, and then kept neither it nor what the recipe makes after it."""
    with suppress(OSError, ValueError):
        if told := json_object(run / "report.json").get("refused"):
            return f"The run ended: {told}. See {run / 'report.md'}. "
    return ""


def _neighbours(path: Path) -> str:
    """The artifacts that do lie at or beside a mistaken path, so that the right one can be typed."""
    for folder in (path, path.parent):
        if found := sorted(manifest.parent.as_posix() for manifest in folder.glob(f"*/{MANIFEST}")):
            return f"Artifacts there: {', '.join(found[:10])}."
    return "Name an artifact's folder, such as runs/cola_int8/onnx_int8."
