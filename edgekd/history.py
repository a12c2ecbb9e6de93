"""Runs that lie in a folder: which there are, how to remove one, and what the store holds for none of them."""

import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from edgekd import answers, report_files, signing, study_files, tracking
from edgekd.artifact import Artifact
from edgekd.decoding import json_object
from edgekd.errors import EdgekdError, nearest
from edgekd.plan import STATE
from edgekd.report import Report
from edgekd.store import Store, remove_drafts

_OURS = (*report_files.NAMES, report_files.RECIPE, answers.FILE, STATE)


@dataclass(frozen=True)
class Garbage:
    """What no run needs, by key: artifacts, and drafts and checkpoints of what was not finished; `size` in bytes."""

    artifacts: tuple[str, ...]
    drafts: tuple[str, ...]
    size: int


def runs(folder: Path) -> Iterator[tuple[str, Report | None]]:
    """Every run's name and report, those of studies too; None where it was not finished."""
    for state in sorted(folder.glob(f"[!.]*/{STATE}")) + sorted(folder.glob(f"[!.]*/*/{STATE}")):
        try:
            report = report_files.report(state.parent)
        except EdgekdError:
            report = None
        yield state.parent.relative_to(folder).as_posix(), report


def remove(folder: Path, name: str) -> None:
    """Remove a run's report and links. The artifacts stay in the store until it is cleaned; nor is a file touched that
    edgekd did not write.

    Raises EdgekdError where no such run lies there.
    """
    run = folder / name
    if not (run / STATE).is_file():
        hint = nearest(name, [found for found, _ in runs(folder)])
        raise EdgekdError(f"{run} is no run", hint or "List them: edgekd runs list.")
    for file in run.iterdir():
        if file.is_symlink() or file.name in _OURS:
            file.unlink()
    shutil.rmtree(run / tracking.FOLDER, ignore_errors=True)
    if not any(run.iterdir()):
        run.rmdir()


@dataclass(frozen=True)
class Verified:
    """What was looked at: how many artifacts, their bytes, and what is wrong with some of them."""

    artifacts: int
    size: int
    damaged: tuple[EdgekdError, ...]


def verify(folders: Iterable[Path]) -> Verified:
    """Read artifacts and bundles whole, and hold every file to the digest that it had when it was made."""
    count, size = 0, 0
    damaged: list[EdgekdError] = []
    for folder in folders:
        count += 1
        try:
            bundled = (folder / signing.SUMS).is_file()
            if bundled:
                signing.check(folder)  # the model's files with the others
            size += Artifact.load(folder / "model" if bundled else folder, check=not bundled).size
        except EdgekdError as error:
            damaged.append(error)
    return Verified(count, size, tuple(damaged))


def artifacts(store: Store) -> Iterator[Path]:
    """The folders of a store's artifacts, those on this machine."""
    return (store.path(key) for key in sorted(_names(store, "artifacts")))


def garbage(store: Store, folders: Iterable[Path]) -> Garbage:
    """What the runs and studies in these folders do not need of the store: neither an artifact of theirs, nor what one
    was made from.
    """
    needed, todo = set[str](), [key for folder in folders for key in _keys(folder)]
    while todo:
        if (key := todo.pop()) not in needed:
            needed.add(key)
            todo += _parents(store, key)
    artifacts = tuple(sorted(key for key in _names(store, "artifacts") if key not in needed))
    drafts = tuple(sorted({*_names(store, "scratch"), *_names(store, "tmp")}))
    places = [("artifacts", key) for key in artifacts] + [(part, key) for part in ("scratch", "tmp") for key in drafts]
    return Garbage(artifacts, drafts, sum(_size(store.root / part / key) for part, key in places))


def clean(store: Store, found: Garbage) -> None:
    """Remove garbage. What a run is making right now is left alone."""
    remove_drafts(store.root / "measured")
    for key in {*found.artifacts, *found.drafts}:
        with store.claim(key) as mine:
            for part in ("artifacts", "scratch", "tmp"):
                if mine and (part != "artifacts" or key in found.artifacts):
                    shutil.rmtree(store.root / part / key, ignore_errors=True)


def _keys(folder: Path) -> Iterator[str]:
    """Of each artifact that a run links to or a report tells of, refused ones among them."""
    for link in (*folder.glob("[!.]*/*"), *folder.glob("[!.]*/*/*")):
        if link.is_symlink():
            yield link.readlink().name
    told = {report_files.JSON: "steps", study_files.JSON: "outcomes"}
    for name, listed in told.items():
        for file in (*folder.glob(f"[!.]*/{name}"), *folder.glob(f"[!.]*/*/{name}")):
            try:
                found = [entry["key"] for entry in json_object(file)[listed]]
            except (OSError, ValueError, KeyError, TypeError) as error:
                # What it needs is not known: nothing may be called garbage.
                hint = f"Remove its run first, or its folder: {file.parent}"
                raise EdgekdError(f"{file} cannot be read: {error}", hint) from None
            yield from found


def _parents(store: Store, key: str) -> list[str]:
    """The artifacts that one was made from."""
    try:
        return list(Artifact.load(store.path(key), check=False).manifest.parents.values())
    except EdgekdError:
        return []


def _names(store: Store, part: str) -> list[str]:
    return [path.name for path in (store.root / part).glob("*")]


def _size(folder: Path) -> int:
    return sum(file.lstat().st_size for file in folder.rglob("*") if file.is_file())
