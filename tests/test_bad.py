"""Input that is wrong, of every kind that edgekd reads: one file a fault, and its message beside it.

A case is a file, or a folder, in tests/bad/KIND; NAME.expected is what the command says of it. Each runs as a user
types it, in a copy of tests/bad/good. EDGEKD_WRITE_EXPECTED=1 writes the messages anew: read each before you commit it.
"""

import io
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path

import pytest

BAD = Path(__file__).parent / "bad"
EXPECTED = ".expected"
# Kind -> what is typed; {} is the case. What follows `<` is its standard input, and @ stands for its lines.
COMMANDS: Mapping[str, str] = {
    "recipes": "plan {} --offline",
    "devices": "devices clean {}",
    "studies": "study {} --plan --offline",
    "labels": "run labels.yaml --set data.source={}",
    "found": "run found.yaml --set data.source={}",
    "numbers": "run numbers.yaml --set data.source={}",
    "words": "run words.yaml --set data.source={}",
    "dictionaries": "run words.yaml --set teacher.dictionary.source={}",
    "texts": "predict runs/small/onnx < {}",
    "models": "run labels.yaml --set teacher.model=./{}",
    "artifacts": "predict {} a-cat",
    "reports": "report {} --format html",
    "tables": "new recipe --data {} --out new.yaml",
    "commands": "@",
}
RUN, MADE = "runs/small", "../.store/artifacts/0123456789abcdef0123456789abcdef"
CASES = sorted(
    path.relative_to(BAD).as_posix() for kind in COMMANDS for path in (BAD / kind).iterdir() if path.suffix != EXPECTED
)


def listing(folder: Path) -> dict[str, str]:
    """Every path below a folder, with what it holds; but a lock's file, which is empty and stays."""
    return {
        path.relative_to(folder).as_posix(): str(path.readlink())
        if path.is_symlink()
        else sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or (path.is_file() and path.parent.name != "locks")
    }


@pytest.mark.parametrize("case", CASES)
def test_what_is_wrong_is_said_and_leaves_all_as_it_was(
    edgekd: Callable[..., tuple[int, str, str]], case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, scratch = tmp_path / "home", tmp_path / "scratch"
    shutil.copytree(BAD / "good", home)
    (home / RUN).mkdir()
    (home / RUN / "onnx").symlink_to(MADE)  # here, since an archive of the project may not keep links
    scratch.mkdir()
    copy = shutil.copytree if (BAD / case).is_dir() else shutil.copyfile
    (home / case).parent.mkdir()
    copy(BAD / case, home / case)
    monkeypatch.chdir(home)
    for name in ("HF_ENDPOINT", "EDGEKD_STORE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    before = listing(home)
    code, out, err = edgekd(*typed(home / case, case, monkeypatch))
    golden = BAD / f"{case}{EXPECTED}"
    said = err.replace(str(home), "HOME").replace(os.path.realpath(home), "HOME")
    if os.environ.get("EDGEKD_WRITE_EXPECTED"):
        golden.write_text(f"{said}exit {code}\n" if code != 1 else said, encoding="utf-8")
    assert said == golden.read_text(encoding="utf-8")
    assert code == 1 and said.startswith("error: ") and "\n  " in said, "what was wrong, and what to do next"
    assert not set("\x1b\x07\x08\r\x7f\x9b\u202e") & set(out + err), "a terminal would obey it"
    assert listing(home) == before and not listing(scratch)


def typed(file: Path, case: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The arguments of a case's command."""
    command = COMMANDS[case.partition("/")[0]]
    if command == "@":
        return file.read_text(encoding="utf-8").split("\n")[:-1]
    argv, _, given = command.partition(" < ")
    if given:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(file.read_bytes())))
    return [word.replace("{}", case) for word in argv.split()]


def test_every_message_has_its_case() -> None:
    golden = {path.relative_to(BAD).as_posix().removesuffix(EXPECTED) for path in BAD.rglob(f"*{EXPECTED}")}
    assert golden == set(CASES) and len(CASES) >= 150
