"""key -> folder. A folder is filled under a temporary name and renamed when whole, so what has a name is complete."""

import errno
import glob
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from edgekd.artifact import MANIFEST, Artifact, canonical
from edgekd.decoding import json_object
from edgekd.errors import EdgekdError


class Store:
    """Layout: artifacts/KEY, measured/KEY.json, scratch/KEY (checkpoints), tmp/KEY, locks/KEY.

    Locks are the kernel's (flock): a killed process holds none.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def place(self) -> str:
        """Where it is, for another process to open."""
        return str(self.root.absolute())

    def path(self, key: str) -> Path:
        return self.root / "artifacts" / key

    def __contains__(self, key: str) -> bool:
        return (self.path(key) / MANIFEST).is_file()

    def load(self, key: str) -> Artifact:
        return Artifact.load(self.path(key))

    def scratch(self, key: str) -> Path:
        """A folder that outlives a killed run, for checkpoints; gone once the artifact is published."""
        folder = self.root / "scratch" / key
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @contextmanager
    def lock(self, key: str, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Hold a key for this process; `waiting` is called once when another has it."""
        with writable(self.root):
            (self.root / "locks").mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.root / "locks" / key)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                waiting()
                lock.acquire()
        try:
            yield
        finally:
            lock.release()

    @contextmanager
    def claim(self, key: str) -> Iterator[bool]:
        """Hold a key where no process has it, and tell whether; waits for nobody."""
        (self.root / "locks").mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.root / "locks" / key)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            yield False
            return
        try:
            yield True
        finally:
            lock.release()

    def publish(self, key: str, fill: Callable[[Path], Artifact]) -> Artifact:
        """Call `fill` with an empty folder and give the folder its name. Hold its lock. Nothing stays on failure."""
        with writable(self.root):
            draft = self.root / "tmp" / key
            shutil.rmtree(draft, ignore_errors=True)  # what a killed run left
            draft.mkdir(parents=True)
            try:
                artifact = fill(draft)
                sync_tree(draft)
                final = self.path(key)
                final.parent.mkdir(parents=True, exist_ok=True)
                shutil.rmtree(final, ignore_errors=True)  # half-removed: it has no manifest, or we would not be here
                draft.replace(final)
                _sync(final.parent)
            finally:
                shutil.rmtree(draft, ignore_errors=True)
            shutil.rmtree(self.root / "scratch" / key, ignore_errors=True)
        return Artifact(self.path(key), artifact.manifest)

    def measured(self, key: str) -> Any | None:
        """A measurement kept earlier, or None."""
        try:
            return json_object(self.root / "measured" / f"{key}.json")
        except (FileNotFoundError, ValueError):
            return None

    def keep(self, key: str, value: Any) -> None:
        write_text(self.root / "measured" / f"{key}.json", canonical(value))


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """As `write_text`."""
    with writable(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = draft_of(path)
        try:
            draft.write_bytes(content)
            _sync(draft)
            draft.replace(path)
            _sync(path.parent)  # else a power cut may still take the name back
        finally:
            draft.unlink(missing_ok=True)


def draft_of(path: Path) -> Path:
    """The name beside a path of what is not whole yet."""
    return path.with_name(f".{path.name}.{socket.gethostname()}-{os.getpid()}")


def remove_drafts(folder: Path) -> None:
    """Remove what processes of this machine left in a folder that were killed while they wrote."""
    for draft in folder.glob(f".*.{glob.escape(socket.gethostname())}-*"):
        process = draft.name.rpartition("-")[2]
        if process.isdigit() and not _runs(int(process)):
            draft.unlink(missing_ok=True)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's
        pass
    return True


@contextmanager
def writable(place: Path) -> Iterator[None]:
    """Turn the operating system's refusals to write into advice."""
    try:
        yield
    except OSError as error:
        where = error.filename2 or error.filename or place
        match error.errno:
            case errno.ENOSPC | errno.EDQUOT | errno.EFBIG:
                raise _full(where, place) from None
            case errno.EACCES | errno.EPERM | errno.EROFS if _within(where, place):
                raise EdgekdError(
                    f"no permission to write {where}",
                    "Choose a folder of your own: edgekd run RECIPE --runs FOLDER --store FOLDER.",
                ) from None
            case errno.ENOENT if _within(where, place) and not place.exists():
                # Such as below /proc, whoever asks.
                raise EdgekdError(f"{where} cannot be made there", "Choose another folder.") from None
            case errno.ENOTDIR | errno.EEXIST | errno.EISDIR | errno.ENOTEMPTY if _within(where, place):
                raise EdgekdError(
                    f"{where} is in the way: {error.strerror}", "Move it, or choose another folder."
                ) from None
        raise
    except EdgekdError:
        raise
    except Exception as error:
        # The writers of weights, safetensors and torch, raise errors of their own, and torch's does not say why.
        writers = isinstance(error, RuntimeError) or type(error).__name__ == "SafetensorError"
        if writers and ("os error 28" in str(error) or _free(place) < 1_000_000):
            raise _full(place, place) from None
        raise


def _full(where: object, place: Path) -> EdgekdError:
    return EdgekdError(
        f"no space left to write {where} ({_free(place) / 1e6:.0f} MB free)",
        "Free some space, or put the store elsewhere: --store FOLDER. The run goes on where it stopped.",
    )


def _free(place: Path) -> int:
    return shutil.disk_usage(_existing(place)).free


def _within(where: object, place: Path) -> bool:
    return Path(str(where)).is_relative_to(place.absolute()) or place.absolute().is_relative_to(str(where))


def _existing(place: Path) -> Path:
    return next(folder for folder in (place, *place.absolute().parents) if folder.exists())


def check_folder(folder: Path) -> None:
    """Raises EdgekdError where it neither is a folder nor can be made below one."""
    hint = "Choose a folder of your own: --runs FOLDER --store FOLDER."
    try:
        if not (found := _existing(folder)).is_dir():
            raise EdgekdError(f"{found} is no folder", hint)
    except PermissionError:
        raise EdgekdError(f"no permission to look into {folder}", hint) from None


def sync_tree(folder: Path) -> None:
    """Have the disk take all of a folder, so that a rename after it cannot outlive what it names."""
    for file in folder.rglob("*"):
        _sync(file)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
