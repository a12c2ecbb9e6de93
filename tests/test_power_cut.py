"""The power fails: what was written and never synced is gone, and nothing that has a name is half there.

A store on an ext4 of its own, in a file. The kernel writes to that file what was synced, and no more while nothing is
older than 30 s, so a copy of it is the disk as a power cut leaves it: mounted, its journal is played, as at a start.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from edgekd.artifact import Artifact
from edgekd.store import Store
from tests.test_pipeline import Ran, command, digests

# Fills a store as fast as it can and tells what is done. Its files are large enough to be written late.
FILLER = """\
import os, sys
from pathlib import Path
from edgekd.store import Store, write_text
from tests.test_store import fill

def larger(draft):
    (draft / "model.bin").write_bytes(os.urandom(100_000))
    return fill(draft)

store = Store(Path(sys.argv[1]))
for number in range(10_000):
    store.publish(f"key{number}", larger)
    store.keep(f"key{number}", {"number": number})
    write_text(store.root / "state.json", f'{{"number": {number}}}')
    print(number, flush=True)
"""


class Disk:
    """An ext4 in a file, which renames without waiting for what is renamed (`noauto_da_alloc`): as hard as it gets."""

    def __init__(self, image: Path, stack: ExitStack) -> None:
        self.image, self.folder, self._stack = image, image.with_suffix(""), stack
        self.folder.mkdir()
        options = "loop,commit=300,noauto_da_alloc"
        done = subprocess.run(["mount", "-o", options, str(image), str(self.folder)], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"needs the right to mount a file: {done.stderr.strip()}")
        stack.callback(subprocess.run, ["umount", "--lazy", str(self.folder)], check=True)

    def cut(self, name: str) -> "Disk":
        """The disk as a machine finds it whose power failed now."""
        image = self.image.with_name(f"{name}.img")
        subprocess.run(["cp", "--sparse=always", str(self.image), str(image)], check=True)
        return Disk(image, self._stack)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    if os.geteuid() or not shutil.which("mkfs.ext4"):
        pytest.skip("needs root and mkfs.ext4")
    image = tmp_path / "disk.img"
    subprocess.run(["truncate", "--size=512M", str(image)], check=True)
    subprocess.run(["mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", str(image)], check=True)
    with ExitStack() as stack:
        yield Disk(image, stack)


def test_the_cut_loses_what_was_not_synced(disk: Disk) -> None:
    (disk.folder / "late").write_text("never synced")
    assert not (disk.cut("after").folder / "late").exists()


def test_what_a_store_told_of_is_there_after_a_power_cut_and_nothing_else_has_a_name(disk: Disk) -> None:
    draw = random.Random(seed := int.from_bytes(os.urandom(4)))
    for number in range(3):
        argv = [sys.executable, "-c", FILLER, str(disk.folder / f"store{number}")]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as filler:
            assert filler.stdout is not None and filler.stdout.readline()
            time.sleep(draw.uniform(0.05, 1))
            os.kill(filler.pid, signal.SIGSTOP)
            after = disk.cut(f"after{number}").folder / f"store{number}"
            filler.kill()
            done = 1 + len(filler.stdout.read().splitlines())
        store, found = Store(after), {path.name for path in (after / "artifacts").iterdir()}
        assert found >= {f"key{at}" for at in range(done)}, f"of {done}, seed {seed}"
        for name in found:
            Artifact.load(store.path(name)).verify()
        assert [store.measured(f"key{at}") for at in range(done)] == [{"number": at} for at in range(done)]
        assert (after / "state.json").read_text() in {f'{{"number": {at}}}' for at in (done - 1, done)}


@pytest.mark.slow
def test_runs_whose_power_fails_end_in_the_same_artifacts(ran: Ran, disk: Disk, tmp_path: Path) -> None:
    draw = random.Random(seed := int.from_bytes(os.urandom(4)))
    start = time.monotonic()
    subprocess.run(command(ran, "--runs", str(tmp_path / "undisturbed")), check=True, capture_output=True)
    span = time.monotonic() - start
    for number in range(8):
        argv = command(ran, "--runs", str(disk.folder / "runs"))
        process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(draw.uniform(0.2, 1.2) * span)
        process.send_signal(signal.SIGSTOP)
        disk, before = disk.cut(f"after{number}"), process
        before.kill()
        before.wait()
    done = subprocess.run(command(ran, "--runs", str(disk.folder / "runs")), capture_output=True, text=True)
    assert not done.returncode, f"{done.stderr}, seed {seed}"
    assert digests(disk.folder / "runs") == digests(tmp_path / "undisturbed")
