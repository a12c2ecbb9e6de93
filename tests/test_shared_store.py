"""A store on object storage that several machines fill: a real server of the S3 protocol, on loopback."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgekd.artifact import MANIFEST, Artifact, Manifest
from edgekd.errors import EdgekdError
from edgekd.lease import Lease
from edgekd.objects import Objects
from edgekd.shared_store import SharedStore, opened
from tests.test_sweep import SMALL

pytest.importorskip("s3fs", reason="s3fs is not installed")
BEAT = 0.05
KEY = "0" * 32
EXPORTS = SMALL[SMALL.index("  - {{id: onnx,") : SMALL.index("devices:")].format()


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    moto = pytest.importorskip("moto.server", reason="moto is not installed")
    running = moto.ThreadedMotoServer(port=0, verbose=False)
    running.start()
    yield "http://{}:{}".format(*running.get_host_and_port())
    running.stop()


@pytest.fixture
def url(server: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    import s3fs

    access = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_DEFAULT_REGION": "us-east-1"}
    for name, value in {**access, "AWS_ENDPOINT_URL": server}.items():
        monkeypatch.setenv(name, value)
    bucket = f"bucket{abs(hash(request.node.name))}"
    s3fs.S3FileSystem(skip_instance_cache=True).mkdir(bucket)
    return f"s3://{bucket}/team"


def machine(folder: Path, url: str) -> SharedStore:
    return SharedStore(folder, Objects(url), BEAT)


def filled(weights: str) -> Callable[[Path], Artifact]:
    def fill(out: Path) -> Artifact:
        (out / "deep").mkdir()
        (out / "deep" / "model.bin").write_text(weights)
        (out / "tokenizer.json").write_text("{}")
        return Artifact.seal(out, Manifest(KEY, "s", 1, "torch", "", (), (), 0, {}, {}, {}, {}))

    return fill


def test_what_one_machine_makes_another_has(url: str, tmp_path: Path) -> None:
    here, there = machine(tmp_path / "here", url), machine(tmp_path / "there", url)
    assert KEY not in there
    with here.lock(KEY):
        made = here.publish(KEY, filled("right"))
    assert KEY in there
    with there.lock(KEY):
        loaded = there.load(KEY)
    assert loaded.digest == made.digest
    assert (loaded.path / "deep" / "model.bin").read_text() == "right"
    assert loaded.path.is_relative_to(tmp_path / "there")
    here.keep("m", {"seconds": [0.1]})
    assert there.measured("m") == {"seconds": [0.1]}
    assert there.measured("n") is None
    assert not here.objects.names(f"leases/{KEY}")
    assert list((tmp_path / "there" / "tmp").iterdir()) == []


def test_of_two_that_publish_the_first_did(url: str, tmp_path: Path) -> None:
    first, second = machine(tmp_path / "first", url), machine(tmp_path / "second", url)
    made = first.publish(KEY, filled("of the first"))
    other = second.publish(KEY, filled("of the second"))
    assert other.digest == made.digest
    assert (other.path / "deep" / "model.bin").read_text() == "of the first"


def test_what_was_made_and_not_sent_is_sent(url: str, tmp_path: Path) -> None:
    from edgekd.store import Store

    made = Store(tmp_path / "here").publish(KEY, filled("right"))
    here = machine(tmp_path / "here", url)
    assert KEY not in here

    def never(out: Path) -> Artifact:
        raise AssertionError("it was there")

    assert here.publish(KEY, never).digest == made.digest
    assert machine(tmp_path / "there", url).load(KEY).digest == made.digest


def test_a_machine_waits_for_another_and_has_what_it_made(url: str, tmp_path: Path) -> None:
    here, there = machine(tmp_path / "here", url), machine(tmp_path / "there", url)
    held, waited, had = threading.Event(), threading.Event(), []

    def second() -> None:
        held.wait()
        with there.lock(KEY, waited.set):
            had.append(KEY in there)

    thread = threading.Thread(target=second)
    thread.start()
    with here.lock(KEY):
        held.set()
        assert waited.wait(30)
        time.sleep(20 * BEAT)  # far longer than a holder's silence is borne
        assert not had
        here.publish(KEY, filled("right"))
    thread.join(30)
    assert had == [True]


def test_a_dead_holder_is_taken_over_and_one_that_gives_up_at_once(url: str) -> None:
    objects, silent = Objects(url), 6 * BEAT
    assert objects.create("leases/k/000001", b"who died")
    start = time.monotonic()
    with Lease(objects, "leases/k", BEAT)(lambda: None, lambda: False) as ours:
        assert ours
        assert time.monotonic() - start > silent
        assert objects.names("leases/k") == ["000001", "000002"]
    start = time.monotonic()
    with Lease(objects, "leases/k", 100)(lambda: pytest.fail("it waits"), lambda: False) as ours:
        assert ours
        assert objects.names("leases/k")[-1] == "000003"


def test_a_term_is_taken_by_one_of_many(url: str) -> None:
    """Eight that start at once hold it one after another."""
    inside, most, turns = 0, 0, []

    def hold() -> None:
        nonlocal inside, most
        with Lease(Objects(url), "leases/k", BEAT)(lambda: None, lambda: False):
            inside += 1
            most = max(most, inside)
            time.sleep(0.02)
            turns.append(inside)
            inside -= 1

    threads = [threading.Thread(target=hold) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert (most, len(turns)) == (1, 8)


def test_what_is_damaged_or_reaches_out_is_told(url: str, tmp_path: Path) -> None:
    here = machine(tmp_path / "here", url)
    made = here.publish(KEY, filled("right"))
    blob = f"blobs/{made.manifest.files['deep/model.bin']['sha256']}"
    here.objects.write(blob, b"wrong")
    with pytest.raises(EdgekdError, match=f"{blob} is not what it was"):
        machine(tmp_path / "there", url).load(KEY)
    here.objects.remove(blob)
    with pytest.raises(EdgekdError, match=f"has lost {blob}"):
        machine(tmp_path / "there", url).load(KEY)
    manifest = json.loads((made.path / MANIFEST).read_text())
    manifest["files"] = {"../../../out": manifest["files"]["tokenizer.json"]}
    here.objects.write(f"artifacts/{KEY}.json", json.dumps(manifest).encode())
    with pytest.raises(EdgekdError, match="a file outside itself"):
        machine(tmp_path / "there", url).load(KEY)
    assert not (tmp_path / "there" / "artifacts" / KEY).exists()
    assert not (tmp_path / "out").exists()
    assert list((tmp_path / "there" / "tmp").iterdir()) == []


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("s3://nobody-made-it/x", "FileNotFoundError: The specified bucket does not exist"),
        ("gibberish://x/y", "Protocol not known: gibberish"),
        ("file:///x/y", "a folder is no URL"),
    ],
)
def test_a_place_that_can_be_no_store(url: str, tmp_path: Path, place: str, told: str) -> None:
    with pytest.raises(EdgekdError, match=told), opened(place, tmp_path / "runs").lock(KEY):
        pass


def test_a_server_that_does_not_answer(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(EdgekdError, match="Could not connect") as caught:
        assert KEY in machine(tmp_path, url)
    assert "AWS_ENDPOINT_URL" in caught.value.hint


RUN = """
import sys
from pathlib import Path
from edgekd import pipeline
from edgekd.watcher import Silent
from edgekd.objects import Objects
from edgekd.recipe import load
from edgekd.shared_store import SharedStore
from edgekd.store import Store
recipe, url, runs = sys.argv[1:]
folder = Path(runs, ".store")
store = SharedStore(folder, Objects(url), 0.2) if url else Store(folder)
pipeline.run(load(Path(recipe)), store, Path(runs), Silent())
"""


def test_a_machine_that_dies_is_taken_over(url: str, tmp_path: Path, corpus: Path, encoder: Path) -> None:
    """Two machines run one recipe on one store; the one that trains is killed. The other makes what it alone makes."""
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        SMALL.format(corpus=corpus, encoder=encoder).replace("epochs: 2", "epochs: 30").replace(EXPORTS, "")
    )

    def start(name: str, store: str = url) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", RUN, str(recipe), store, str(tmp_path / name)])

    first = start("first")
    while not list(tmp_path.glob("first/.store/scratch/*/at-*")):
        assert first.poll() is None
        time.sleep(0.02)
    second = start("second")
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    assert second.wait(300) == 0
    digests = {
        name: {folder.name: Artifact.load(folder).digest for folder in (tmp_path / name / ".store/artifacts").iterdir()}
        for name in ("first", "second")
        if (tmp_path / name / ".store/artifacts").exists()
    }
    assert list(digests) == ["second"]
    assert len(digests["second"]) == 1
    # A third has it without making it; and it is what one machine alone makes.
    from edgekd import pipeline
    from edgekd.recipe import load
    from edgekd.store import Store
    from edgekd.watcher import Silent

    third = pipeline.run(load(recipe), machine(tmp_path / "third", url), tmp_path / "third-runs", Silent())
    assert all(step.cached for step in third.steps)
    assert start("alone", "").wait(300) == 0
    alone = Store(tmp_path / "alone" / ".store")
    assert {key: alone.load(key).digest for key in digests["second"]} == digests["second"]
