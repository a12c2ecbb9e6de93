"""Stages whose libraries are not installed here: their work in an environment that edgekd makes for them."""

import filecmp
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

import pytest

import edgekd
from edgekd import apart, extras
from edgekd.artifact import Artifact
from edgekd.errors import EdgekdError, RefusedError
from edgekd.processes import EndedError
from edgekd.stage import Job
from tests.conftest import write_wheel

ROOT = Path(edgekd.__file__).parents[1]
# A stage of another package that needs a library which only the environment has.
TALKING = '''
import os, shutil, subprocess, sys, time
from pathlib import Path
from pydantic import Field
from edgekd.errors import EdgekdError, RefusedError
from edgekd.processes import EndedError
from edgekd.stage import Stage

class Talking(Stage):
    """Talks."""
    makes = "torch"
    libraries = ("spoken",)
    model: str = Field(description="A folder to copy")
    how: str = Field("right", description="How it ends")

    def run(self, job):
        import spoken
        print("chatter without an end", end="")
        os.write(1, b"native chatter")
        subprocess.run(["echo", "a child's chatter"])
        job.progress("talking", 1, 2)
        match self.how:
            case "wrong":
                raise EdgekdError("it cannot talk", "Type: talk")
            case "refused":
                raise RefusedError("it talks nonsense", "Listen.")
            case "bug":
                raise ZeroDivisionError("by talking")
            case "killed":
                print("the last words", file=sys.stderr, flush=True)
                os.kill(os.getpid(), 9)
            case "waiting":
                (job.scratch / "pid").write_text(str(os.getpid()))
                time.sleep(600)
        for file in Path(self.model).iterdir():
            shutil.copy(file, job.out)
        return {"word": spoken.WORD, "prefix": sys.prefix, "rows": len(job.data.train), "seed": job.seed}
'''
ENTRY_POINT = "[edgekd.stages]\ntalking = talking:Talking\n"
METADATA = """\
Metadata-Version: 2.4
Name: edgekd
Version: 1.0
Provides-Extra: talk
Provides-Extra: new
Requires-Dist: click>=1
Requires-Dist: spoken==1.0; extra == "talk"
Requires-Dist: pydantic>=99; extra == "new"
"""
RECIPE = """\
name: talk
data: {{source: {corpus}, text: [sentence], labels: ["no", "yes"], metric: accuracy, max_length: 32}}
steps: [{{id: talk, stage: talking, model: {encoder}}}]
devices: [quick]
"""
DEVICE = "name: quick\nrun: {min_runs: 5, min_s: 0, repeats: 1, warmup_s: 0, max_s: 1}\n"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def talking(wheels: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The module of the stage; edgekd says here that the library it needs is in an extra."""
    here = sysconfig.get_path("purelib")  # pip finds no pydantic in a folder: the environment looks for it where we do
    library = {"spoken.py": "WORD = 'hello'\n", "beside.pth": f"{here}\n", "dist-info/entry_points.txt": ENTRY_POINT}
    write_wheel(wheels, "spoken", {**library, "talking.py": TALKING})
    write_wheel(wheels, "click", {})
    monkeypatch.setenv("EDGEKD_CACHE", str(cache))
    told = tmp_path / "told"
    (told / "edgekd-1.0.dist-info").mkdir(parents=True)
    (told / "edgekd-1.0.dist-info" / "METADATA").write_text(METADATA)
    (told / "edgekd-1.0.dist-info" / "entry_points.txt").write_text(ENTRY_POINT)
    (told / "talking.py").write_text(TALKING)
    monkeypatch.syspath_prepend(str(told))
    monkeypatch.setenv("PYTHONPATH", f"{told}{os.pathsep}{ROOT}")
    monkeypatch.delitem(sys.modules, "talking", raising=False)
    extras._listed.cache_clear()
    import talking

    yield talking
    extras._listed.cache_clear()


Work = Callable[[str], list[tuple[object, ...]]]


@pytest.fixture
def work(talking: ModuleType, encoder: Path, job: Callable[..., Job], tmp_path: Path) -> Work:
    """Does the stage's work apart, as it ends in one way, and checks what came of it; returns its progress."""

    def done(how: str) -> list[tuple[object, ...]]:
        told: list[tuple[object, ...]] = []
        given = replace(job("talk", None), progress=lambda *event: told.append(event))
        python = extras.environment(extras.lacking(("spoken",)), lambda text: None, lambda *event: None)
        facts, libraries = apart.run(talking.Talking(model=str(encoder), how=how), given, python)
        assert facts == {"word": "hello", "prefix": str(python.parents[1]), "rows": 96, "seed": 7}
        assert libraries == {"spoken": "1.0"}
        assert filecmp.dircmp(given.out, encoder).diff_files == filecmp.dircmp(given.out, encoder).right_only == []
        return told

    return done


def test_it_works_in_the_environment_whatever_it_prints(work: Work) -> None:
    assert work("right") == [("talking", 1, 2)]


@pytest.mark.parametrize(
    ("how", "kind", "problem", "hint"),
    [
        ("wrong", EdgekdError, "it cannot talk", "Type: talk"),
        ("refused", RefusedError, "it talks nonsense", "Listen."),
        ("killed", EndedError, "talking ended with status -9", "the last words"),
    ],
)
def test_what_ends_it_is_raised_here(how: str, kind: type[EdgekdError], problem: str, hint: str, work: Work) -> None:
    with pytest.raises(EdgekdError) as caught:
        work(how)
    assert type(caught.value) is kind and caught.value.problem == problem
    assert caught.value.hint.endswith(hint)


def test_a_bug_comes_with_its_trace(work: Work) -> None:
    with pytest.raises(RuntimeError, match=r"(?s)talking.py.*\nZeroDivisionError: by talking"):
        work("bug")


def edgekd_(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "edgekd", *arguments]


@pytest.fixture
def recipe(talking: ModuleType, tmp_path: Path, corpus: Path, encoder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "devices").mkdir()
    (tmp_path / "devices" / "quick.yaml").write_text(DEVICE)
    (tmp_path / "recipe.yaml").write_text(RECIPE.format(corpus=corpus, encoder=encoder))
    return tmp_path / "recipe.yaml"


def test_one_command_makes_the_environment_and_the_artifact(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEKD_CACHE", str(tmp_path / "cache"))

    def typed(*arguments: str) -> str:
        return subprocess.run(edgekd_(*arguments), check=True, capture_output=True, text=True).stdout

    assert "to run: it has not run yet" in typed("plan", "recipe.yaml")
    assert not (tmp_path / "cache").exists()
    first = typed("run", "recipe.yaml")
    assert "talk: making the environment" in first
    assert typed("plan", "recipe.yaml").endswith(" cached\n")
    shutil.rmtree(tmp_path / "cache")
    assert "making the environment" not in typed("run", "recipe.yaml")
    manifest = Artifact.load(tmp_path / "runs" / "talk" / "talk").manifest
    assert manifest.libraries == {"spoken": "1.0"} and manifest.facts["word"] == "hello"


def test_where_it_cannot_be_made_the_packages_are_named(
    recipe: Path, wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEKD_CACHE", str(tmp_path / "cache"))
    (wheels / "spoken-1.0-py3-none-any.whl").unlink()
    done = subprocess.run(edgekd_("run", "recipe.yaml"), capture_output=True, text=True)
    assert done.returncode == 1
    assert "recipe.yaml:3:" in done.stderr and "not installed here: spoken==1.0; and an environment" in done.stderr
    assert "No matching distribution found for spoken==1.0" in done.stderr
    assert "run again, or have them here: pip install 'edgekd[talk]'" in done.stderr
    assert not list((tmp_path / "runs" / ".store" / "tmp").glob("*"))


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGINT])
def test_it_ends_with_the_run(ending: signal.Signals, recipe: Path, tmp_path: Path) -> None:
    run = subprocess.Popen(
        edgekd_("run", "recipe.yaml", "--set", "talk.how=waiting"),
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a background job's children ignore it
    )
    while not (told := list((tmp_path / "runs" / ".store" / "scratch").glob("*/pid"))) or not told[0].read_text():
        assert run.poll() is None
        time.sleep(0.05)
    child = int(told[0].read_text())
    assert running(child)
    run.send_signal(ending)
    assert run.wait() == (130 if ending == signal.SIGINT else -ending)
    while running(child):
        time.sleep(0.05)


def running(process: int) -> bool:
    found = subprocess.run(["ps", "-o", "stat=", "-p", str(process)], capture_output=True, text=True).stdout
    return bool(found.strip()) and not found.startswith("Z")


def test_an_extra_is_lacking_where_a_version_is_wrong(talking: ModuleType) -> None:
    assert extras.lacking(("spoken", "numpy")) == ("talk",) and extras.lacking(("pydantic", "spoken")) == (
        "new",
        "talk",
    )
    assert extras.lacking(("nowhere|spoken",)) == ("talk",)
    assert extras.lacking(("numpy", "click")) == extras.lacking(("spoken|numpy",)) == ()
    assert extras.versions(("spoken", "click")) == {"spoken": "==1.0", "click": ">=1"}
    assert extras.versions(("click",)) == {"click": version("click")}
    assert extras.packages(("talk",)) == ("click>=1", "spoken==1.0")
    with pytest.raises(EdgekdError, match="the library nowhere is not installed"):
        extras.versions(("spoken", "nowhere"))
