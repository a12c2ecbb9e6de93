"""edgekd push, to a hub on the loopback that takes what the hub's own client sends, and gives it back."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import Ran
from tests.loopback_hub import OWNER, TOKEN, Hub, serve

Push = Callable[..., subprocess.CompletedProcess[str]]
FETCH = "import sys, huggingface_hub; print(huggingface_hub.snapshot_download(sys.argv[1]))"
SERVE = "import runpy, sys; runpy.run_path(sys.argv[1], run_name='__main__'); import edgekd; print(edgekd.__file__)"


pytestmark = pytest.mark.usefixtures("served_wheels")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with serve(tmp_path_factory.mktemp("hub")) as hub:
        yield hub


@pytest.fixture
def python(served: Hub, tmp_path: Path) -> Push:
    """A Python that knows this hub alone. Its client reads the environment once, so each has a process of its own."""

    def call(*argv: object, **environment: str) -> subprocess.CompletedProcess[str]:
        own = {"HF_ENDPOINT": served.url, "HF_HOME": str(tmp_path / "hf"), "NO_PROXY": "127.0.0.1"}
        # Large files by LFS: the protocol of the hub's own storage (Xet) is not one to write a server for here.
        own |= {"HF_HUB_DISABLE_XET": "1", "HF_TOKEN": TOKEN, **environment}
        given = [sys.executable, *map(str, argv)]
        return subprocess.run(given, env={**os.environ, **own}, capture_output=True, text=True, timeout=300)

    return call


def test_what_was_pushed_is_what_is_fetched(python: Push, served: Hub, ran: Ran, tmp_path: Path) -> None:
    name = f"{OWNER}/small"
    done = python("-m", "edgekd", "push", ran.folder, name, "--private")
    assert done.returncode == 0 and done.stdout.strip() == f"{served.url}/{name}", done.stderr
    assert served.private == {name: True}
    told = python("-c", FETCH, name)
    assert told.returncode == 0, told.stderr
    fetched = Path(told.stdout.strip())
    sent = {file.name: file.read_bytes() for file in (ran.folder / "onnx_int8").iterdir()}
    assert sent == {file.name: file.read_bytes() for file in (fetched / "model").iterdir()}
    large = {asked.rpartition("/")[2] for asked in served.asked if asked.startswith("PUT /lfs/")}
    manifest = json.loads(sent["manifest.json"])
    assert manifest["files"]["model.onnx"]["sha256"] in large
    assert "# small-onnx_int8" in (fetched / "README.md").read_text()
    # It serves where the client puts it, by its own code: a folder of links.
    answer = python("-c", SERVE, fetched / "predict.py", "--selftest")
    assert answer.returncode == 0 and "selftest passed" in answer.stdout, answer.stderr
    assert answer.stdout.splitlines()[-1] == str(fetched / "edgekd" / "__init__.py")
    # Another artifact in the same place: what is no file of a bundle's stays, and of an older one's nothing.
    there = served.folder / "models" / name
    for file in ("picture.png", "model/older.onnx"):
        (there / file).write_bytes(b"older")
    done = python("-m", "edgekd", "push", ran.folder, name, "--step", "onnx")
    assert done.returncode == 0 and (there / "picture.png").exists(), done.stderr
    sent = {file.name: file.read_bytes() for file in (ran.folder / "onnx").iterdir()}
    assert sent == {file.name: file.read_bytes() for file in (there / "model").iterdir()}


def test_what_is_to_be_private_is_not_put_where_all_see_it(python: Push, served: Hub, ran: Ran) -> None:
    there = served.folder / "models" / OWNER / "public"
    there.mkdir(parents=True)
    done = python("-m", "edgekd", "push", ran.folder, f"{OWNER}/public", "--private")
    assert done.returncode == 1 and "is there already, and public" in done.stderr
    assert not list(there.iterdir())


def test_what_was_refused_is_not_pushed(python: Push, served: Hub, ran: Ran, tmp_path: Path) -> None:
    report = json.loads((ran.folder / "report.json").read_text())
    report["steps"][-1]["gates"][0]["passed"] = False
    folder = shutil.copytree(ran.folder, tmp_path / "refused", symlinks=True)
    (folder / "report.json").write_text(json.dumps(report))
    asked = len(served.asked)
    done = python("-m", "edgekd", "push", folder, f"{OWNER}/refused")
    assert done.returncode == 1 and "'onnx_int8' was refused (" in done.stderr and "--step onnx" in done.stderr
    done = python("-m", "edgekd", "push", folder, f"{OWNER}/refused", "--step", "onxn")
    assert done.returncode == 1 and "Did you mean 'onnx'?" in done.stderr
    assert len(served.asked) == asked


@pytest.mark.parametrize(
    ("repository", "environment", "problem", "hint"),
    [
        (f"{OWNER}/x", {"HF_TOKEN": ""}, "there is no token", "hf auth login"),
        (f"{OWNER}/x", {"HF_TOKEN": "hf_other"}, "does not take this token", "hf auth login"),
        ("other/x", {}, "may not write there", "hf auth whoami"),
        (f"{OWNER}/x/y", {}, "names no repository", "OWNER/NAME"),
        (f"{OWNER}/x", {"HF_ENDPOINT": "http://127.0.0.1:9"}, "http://127.0.0.1:9 cannot be reached", "HF_ENDPOINT"),
        (f"{OWNER}/x", {"HF_HUB_OFFLINE": "1"}, "cannot be reached", "HF_HUB_OFFLINE"),
    ],
)
def test_what_keeps_it_from_the_hub_is_said(
    repository: str, environment: dict[str, str], problem: str, hint: str, python: Push, served: Hub, ran: Ran
) -> None:
    done = python("-m", "edgekd", "push", ran.folder, repository, **environment)
    assert done.returncode == 1 and problem in done.stderr and hint in done.stderr, done.stderr
    assert not (served.folder / "models" / OWNER / "x").exists()
