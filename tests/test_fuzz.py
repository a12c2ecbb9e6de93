"""Hostile input: nothing but an EdgekdError comes out, soon, and nothing is written elsewhere. The long run of the same
targets is `make fuzz`.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgekd import processes, yaml_marks
from edgekd.errors import EdgekdError
from edgekd.terminal import Terminal
from tests.fuzz.__main__ import watching
from tests.fuzz.target import CORPUS, Target, kept, load, names
from tests.fuzz.watch import OffenceError, watched

QUICK = [name for name in names() if name != "table"]  # which takes 30 ms an input


@pytest.mark.parametrize("name", names())
def test_what_once_was_a_finding_is_none(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    target = load(name)
    for number, data in enumerate([*target.seeds, *(file.read_bytes() for file in kept(name))]):
        folder = tmp_path_factory.mktemp(f"{name}{number}")
        with watched(folder):
            target.run(data, folder)


@pytest.mark.parametrize("name", QUICK)
def test_bent_inputs(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    target = load(name)
    known = [*target.seeds, *(file.read_bytes() for file in kept(name))]

    few = 40 + int(10 * target.share)

    @settings(max_examples=few, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.integers(0, 2**32))
    def bent(number: int) -> None:
        draw, folder = Random(number), tmp_path_factory.mktemp(name)
        with watched(folder):
            target.run(target.mutate(draw.choice(known), draw), folder)

    bent()


def test_every_target_is_of_a_surface_and_the_corpus_is_small() -> None:
    surfaces = {load(name).surface.partition(":")[0] for name in names()}
    assert surfaces == {
        "recipe parser", "device files", "protocol", "archives", "data readers", "dictionary matcher"
    }  # fmt: skip
    assert {folder.name for folder in CORPUS.iterdir()} <= set(names())
    assert sum(file.stat().st_size for file in CORPUS.rglob("*") if file.is_file()) < 1_000_000


def _writes(data: bytes, folder: Path) -> None:
    (folder.parent / "elsewhere").write_bytes(data)


def _runs_on(data: bytes, folder: Path) -> None:
    try:
        while True:
            pass
    except Exception:
        pass


def _starts(data: bytes, folder: Path) -> None:
    subprocess.run(["true"])


def _breaks(data: bytes, folder: Path) -> None:
    raise KeyError("kind")


def _tells(data: bytes, folder: Path) -> None:
    (folder / "own").write_bytes(data)
    raise EdgekdError("this is no recipe", "Write one.")


@pytest.mark.parametrize(
    ("check", "found"),
    [(_writes, OffenceError), (_runs_on, OffenceError), (_starts, OffenceError), (_breaks, KeyError), (_tells, None)],
)
def test_the_watch_sees(
    check: Callable[[bytes, Path], None], found: type[BaseException] | None, tmp_path: Path
) -> None:
    target = Target("a surface", check, (), lambda data, draw: data, name="it")
    (tmp_path / "own").mkdir()
    if found is None:
        with watched(tmp_path / "own"):
            target.run(b"x", tmp_path / "own")
        return
    with pytest.raises(found), watched(tmp_path / "own"):
        target.run(b"x", tmp_path / "own")
    assert not (tmp_path / "elsewhere").exists()


def test_a_finding_is_kept_under_its_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUZZ_FOUND", str(tmp_path / "found"))
    once = watching(Target("a surface", _breaks, (), lambda data, draw: data, name="it"), tmp_path, wanted=100)
    for data in (b"long input", b"short"):  # one place in the code: the shorter one is kept
        once(data)
    (file,) = (tmp_path / "found" / "it").iterdir()
    assert file.name == "f9b0078b5df596d2" and file.read_bytes() == b"short"


def test_the_long_run_counts_its_inputs() -> None:
    argv = [sys.executable, "-m", "tests.fuzz", "--inputs", "300", "--only", "rows", "--blind"]
    done = subprocess.run(argv, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": "."})
    assert done.returncode == 0 and done.stdout.endswith("300 inputs\n"), done.stdout + done.stderr


BOMB = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n" for before, name in zip("abcde", "bcdef", strict=True)
)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[" * 200_000, "nested more than 32 levels deep"),  # the library's own builder would end the process
        ("a: &a [*a]", "by its aliases it is nested more than 32"),
        (BOMB, "unfolds to more than 100,000 values"),
        ("when: 2020-13-45", "YAML's 'timestamp' is not read here"),
        ("seed: " + "9" * 5000, "is no int"),
        ("? {a: 1}\n: 2", "is not text"),
    ],
)
def test_yaml_that_would_take_all(text: str, problem: str) -> None:
    with pytest.raises(EdgekdError, match=problem) as caught:
        yaml_marks.parse(text, "FILE")
    assert caught.value.where.startswith("FILE:") and caught.value.hint


def test_a_line_without_end_and_an_endless_complaint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_LINE", 1 << 16)
    with pytest.raises(EdgekdError, match="said a line without end"):
        list(processes.lines(["sh", "-c", "yes | tr -d '\\n'"], os.environ, "", 60, "it"))
    complaint = "yes | head -c 3000000 >&2; yes no | tr -d '\\n' | head -c 3000000 >&2; echo told; exit 3"
    with pytest.raises(EdgekdError, match="ended with status 3") as caught:
        list(processes.lines(["sh", "-c", complaint], os.environ, "", 60, "it"))
    assert len(str(caught.value)) < 2000


def test_a_name_is_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    with Terminal() as terminal:
        terminal.columns(["device", "[b]"], [["[/pi]", ":smile:"]], {"device"})
    assert capsys.readouterr().out.split() == ["device", "[b]", "[/pi]", ":smile:"]
