"""A store that many machines fill: objects hold the artifacts, a folder of each machine what it works with."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edgekd import temporary
from edgekd.artifact import MANIFEST, Artifact, canonical, sha256
from edgekd.errors import EdgekdError
from edgekd.lease import Lease
from edgekd.objects import Objects
from edgekd.store import Store, check_folder, writable, write_bytes


def opened(place: Path | str | None, runs: Path) -> Store:
    """The store at a folder or a URL such as s3://BUCKET/FOLDER, or that of a runs folder.

    Raises EdgekdError where it can be none.
    """
    check_folder(runs)
    if "://" in str(place):
        return SharedStore((runs / ".store").absolute(), Objects(str(place)))
    folder = Path(place or runs / ".store")
    check_folder(folder)
    return Store(folder.absolute())


class SharedStore(Store):
    """Objects: blobs/SHA256, each file once; artifacts/KEY.json, a manifest, whose creation publishes its artifact;
    measured/KEY.json; leases/KEY. What has a manifest is complete, and of two that publish a key the first did.

    The folder `root` is laid out as a Store, and holds copies. Checkpoints stay there: another machine that takes a
    step over begins it anew.
    """

    def __init__(self, root: Path, objects: Objects, beat_s: float = 10.0) -> None:
        super().__init__(root)
        self.objects, self._beat_s = objects, beat_s
        self._known: set[str] = set()

    @property
    def place(self) -> str:
        return self.objects.url

    def __contains__(self, key: str) -> bool:
        if key not in self._known and self.objects.exists(_manifest(key)):
            self._known.add(key)  # for good: nothing here removes it
        return key in self._known

    def load(self, key: str) -> Artifact:
        if not super().__contains__(key):
            self._fetch(key)
        return super().load(key)

    @contextmanager
    def lock(self, key: str, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
        with super().lock(key, waiting):
            if key in self:
                yield
                return
            lease = Lease(self.objects, f"leases/{key}", self._beat_s)
            with lease(waiting, lambda: key in self):
                yield
            if key in self:
                self.objects.remove(f"leases/{key}")

    def publish(self, key: str, fill: Callable[[Path], Artifact]) -> Artifact:
        if not super().__contains__(key):  # there: it was made, and not sent before its maker ended
            super().publish(key, fill)
        made = super().load(key)
        for name, entry in made.manifest.files.items():
            self.objects.put(made.path / name, _blob(entry["sha256"]))
        ours = (made.path / MANIFEST).read_bytes()
        if not self.objects.create(_manifest(key), ours) and self.objects.read(_manifest(key)) != ours:
            shutil.rmtree(made.path)  # another machine was first; what is made from it is made from the same everywhere
        return self.load(key)

    def measured(self, key: str) -> Any | None:
        if (found := super().measured(key)) is None and (content := self.objects.read(f"measured/{key}.json")):
            found = json.loads(content)
            super().keep(key, found)
        return found

    def keep(self, key: str, value: Any) -> None:
        super().keep(key, value)
        self.objects.write(f"measured/{key}.json", canonical(value).encode())

    def _fetch(self, key: str) -> None:
        """An artifact's files into the folder, whole or not at all."""
        if (manifest := self.objects.read(_manifest(key))) is None:
            raise EdgekdError(f"store {self.place} has no artifact {key} any more", "Run it again: it is made anew.")
        with writable(self.root):
            (self.root / "tmp").mkdir(parents=True, exist_ok=True)
            self.path(key).parent.mkdir(parents=True, exist_ok=True)
            with temporary.folder(f"{key}-", self.root / "tmp") as aside:
                draft = aside / key
                write_bytes(draft / MANIFEST, manifest)
                for name, entry in json.loads(manifest)["files"].items():
                    self._fetch_file(draft, name, entry["sha256"])
                shutil.rmtree(self.path(key), ignore_errors=True)
                draft.replace(self.path(key))

    def _fetch_file(self, draft: Path, name: str, digest: str) -> None:
        file = draft / name
        if not file.resolve().is_relative_to(draft.resolve()):
            raise EdgekdError(f"store {self.place}: an artifact names a file outside itself: {name}", "Do not use it.")
        file.parent.mkdir(parents=True, exist_ok=True)
        self.objects.get(_blob(digest), file)
        if sha256(file) != digest:
            raise EdgekdError(
                f"store {self.place}: {_blob(digest)} is not what it was",
                "Remove it there, and the manifests in artifacts/ that name it: what is missing is made anew.",
            )


def _manifest(key: str) -> str:
    return f"artifacts/{key}.json"


def _blob(digest: str) -> str:
    return f"blobs/{digest}"
