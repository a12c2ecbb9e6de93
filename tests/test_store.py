"""What has a name in the store is whole; what could not be written leaves nothing behind."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgekd.artifact import MANIFEST, Artifact, Manifest
from edgekd.errors import EdgekdError
from edgekd.store import Store, draft_of, remove_drafts, write_text


def manifest(**more: object) -> Manifest:
    fields = {
        "key": "k",
        "stage": "s",
        "stage_version": 1,
        "format": "onnx",
        "task": "classification",
        "labels": ("a",),
    }
    fields |= {
        "text": ("t",),
        "max_length": 8,
        "options": {},
        "parents": {},
        "data": {},
        "libraries": {},
    }
    return Manifest(**{**fields, **more})  # type: ignore[arg-type]


def fill(out: Path) -> Artifact:
    (out / "inner").mkdir()
    (out / "inner" / "model.bin").write_bytes(b"weights")
    (out / "tokenizer.json").write_text("{}")
    return Artifact.seal(out, manifest())


def test_publish_and_load(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    store.scratch("k").joinpath("checkpoint").write_text("x")
    made = store.publish("k", fill)
    assert made.path == store.path("k") and "k" in store and "other" not in store
    loaded = store.load("k")
    assert loaded == made and loaded.digest == made.digest
    assert loaded.size == 9 and loaded.model_size == 7
    assert set(loaded.manifest.files) == {"inner/model.bin", "tokenizer.json"}
    assert not (tmp_path / "store" / "scratch" / "k").exists()


def test_a_failing_step_leaves_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)

    def break_off(out: Path) -> Artifact:
        (out / "half").write_text("half")
        raise RuntimeError("broken off")

    with pytest.raises(RuntimeError, match="broken off"):
        store.publish("k", break_off)
    assert "k" not in store and not list((tmp_path / "tmp").iterdir())


def test_what_a_killed_run_left_is_cleared(tmp_path: Path) -> None:
    store = Store(tmp_path)
    (tmp_path / "tmp" / "k").mkdir(parents=True)
    (tmp_path / "tmp" / "k" / "half").write_text("half")
    assert "half" not in store.publish("k", fill).manifest.files


def test_a_half_removed_artifact_is_made_again(tmp_path: Path) -> None:
    store = Store(tmp_path)
    (store.publish("k", fill).path / MANIFEST).unlink()
    assert "k" not in store
    assert store.publish("k", fill).path == store.path("k") and "k" in store


def test_measurements_are_kept(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.measured("m") is None
    store.keep("m", {"p50": 1.5})
    assert store.measured("m") == {"p50": 1.5}
    (tmp_path / "measured" / "m.json").write_text("{")
    assert store.measured("m") is None


def test_a_lock_is_waited_for(tmp_path: Path) -> None:
    store, order = Store(tmp_path), []
    with store.lock("k"):

        def second() -> None:
            with Store(tmp_path).lock("k", lambda: order.append("waits")):
                order.append("has it")

        thread = threading.Thread(target=second)
        thread.start()
        while "waits" not in order:
            time.sleep(0.01)
        order.append("released")
    thread.join()
    assert order == ["waits", "released", "has it"]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda path: (path / "tokenizer.json").write_text("[]"), "tokenizer.json is not the file that was recorded"),
        (lambda path: (path / "tokenizer.json").unlink(), "tokenizer.json is missing"),
        (lambda path: (path / MANIFEST).write_text("{"), "cannot be read"),
        (lambda path: (path / MANIFEST).write_text("[]"), "it holds no object"),
        (
            lambda path: (path / MANIFEST).write_text('{"schema": 1, "labels": [], "text": []}'),
            "lacks a field",
        ),
        (lambda path: (path / MANIFEST).write_text('{"schema": 99}'), "manifest of schema 99, this edgekd reads 1"),
        (lambda path: (path / MANIFEST).unlink(), "is no artifact"),
    ],
)
def test_a_damaged_artifact_is_named(tmp_path: Path, change: object, expected: str) -> None:
    store = Store(tmp_path)
    path = store.publish("k", fill).path
    change(path)  # type: ignore[operator]
    with pytest.raises(EdgekdError, match=expected):
        Artifact.load(path)


def test_the_right_artifact_is_named_for_a_mistaken_path(tmp_path: Path) -> None:
    Store(tmp_path).publish("k", fill)
    with pytest.raises(EdgekdError) as caught:
        Artifact.load(tmp_path / "artifacts" / "kk")
    assert str(tmp_path / "artifacts" / "k") in caught.value.hint


def test_the_manifest_is_the_same_for_the_same_files(tmp_path: Path) -> None:
    first, second = Store(tmp_path / "a").publish("k", fill), Store(tmp_path / "b").publish("k", fill)
    assert (first.path / MANIFEST).read_bytes() == (second.path / MANIFEST).read_bytes()
    assert str(tmp_path) not in json.dumps(json.loads((first.path / MANIFEST).read_text()))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 256 kB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = (
        os.geteuid() == 0
        and not subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)], capture_output=True
        ).returncode
    )
    if not mounted:
        pytest.skip("needs the right to mount a small tmpfs")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_is_said_and_leaves_nothing(small_disk: Path) -> None:
    store = Store(small_disk)

    def large(out: Path) -> Artifact:
        (out / "model.bin").write_bytes(bytes(1_000_000))
        return Artifact.seal(out, manifest())

    with pytest.raises(EdgekdError, match="no space left to write") as caught:
        store.publish("k", large)
    assert "--store" in caught.value.hint
    assert "k" not in store and not list((small_disk / "tmp").iterdir())

    def weights(out: Path) -> Artifact:
        import torch
        from safetensors.torch import save_file

        save_file({"w": torch.zeros(250_000)}, out / "model.safetensors")
        return Artifact.seal(out, manifest())

    with pytest.raises(EdgekdError, match="no space left"):
        store.publish("k", weights)
    with pytest.raises(EdgekdError, match="no space left"):
        write_text(small_disk / "report.json", "x" * 1_000_000)
    assert not list(small_disk.glob("*report*"))
    assert store.publish("k", fill)  # what fits still goes in


def test_no_permission(tmp_path: Path) -> None:
    """As another user where this one is root, whom no permission holds back."""
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    for folder in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        folder.chmod(0o755)
    code = (
        "import os, sys, json, filelock\n"
        "from pathlib import Path; from edgekd.store import Store\n"
        "from edgekd.errors import EdgekdError\n"
        "if os.geteuid() == 0: os.seteuid(65534)\n"
        "try:\n"
        "    with Store(Path(sys.argv[1])).lock('k'): pass\n"
        "except EdgekdError as error: print(error)"
    )
    argv = [sys.executable, "-c", code, str(locked / "store")]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert "no permission to write" in done.stdout, done.stderr
    assert "--store FOLDER" in done.stdout


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(EdgekdError, match="is in the way"):
        write_text(tmp_path / "file" / "report.json", "x")


def test_what_a_killed_writer_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    writer = "import os, sys; from pathlib import Path; from edgekd.store import draft_of;"
    writer += "draft_of(Path(sys.argv[1])).write_text('half'); os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", writer, str(tmp_path / "report.json")])
    (left,) = tmp_path.iterdir()
    ours = draft_of(tmp_path / "report.md")  # of a process that still writes
    others = tmp_path / ".report.md.another-machine-1234"
    for file in (ours, others, tmp_path / "report.json", tmp_path / ".hidden"):
        file.write_text("whole")
    remove_drafts(tmp_path)
    assert not left.exists()
    assert {file.name for file in tmp_path.iterdir()} == {ours.name, others.name, "report.json", ".hidden"}
