"""edgekd new stage, method, runtime and device: what it writes works as it is written."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

import edgekd
from edgekd import device_files
from edgekd.errors import EdgekdError
from edgekd.new_plugin import KINDS, write

ROOT = Path(edgekd.__file__).parents[1]
Command = Callable[..., tuple[int, str, str]]


def python(where: Path, path: Sequence[Path], *argv: str) -> str:
    """What a Python says that finds packages in `path`, in a folder."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path))}
    done = subprocess.run([sys.executable, *argv], cwd=where, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("kind", ["stage", *(pytest.param(k, marks=pytest.mark.slow) for k in ("method", "runtime"))])
def test_a_package_of_ones_own_is_installed_and_its_test_passes(
    kind: str, edgekd: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("setuptools")  # what builds it: pip would fetch it otherwise
    monkeypatch.chdir(tmp_path)
    first = "method" if kind == "runtime" else "runtime"
    assert edgekd("new", first, "first", "--package", "my_plugins")[0] == 0
    code, told, _ = edgekd("new", kind, "second", "--package", "my_plugins")
    lines = "\n".join(line[2:] for line in told.splitlines() if line.startswith("  "))
    assert code == 0 and lines.startswith(f'[project.entry-points."{KINDS[kind][0]}"]')
    with (tmp_path / "pyproject.toml").open("a") as project:  # as it says
        project.write(f"\n{lines}\n")
    pip = [
        "-m",
        "pip",
        "install",
        "-q",
        "--no-index",
        "--no-deps",
        "--no-build-isolation",
        "--target",
        "installed",
        ".",
    ]
    python(tmp_path, [], *pip)
    path = [tmp_path / "installed", ROOT]
    explained = python(tmp_path, path, "-m", "edgekd", "explain")
    assert "first" in explained and "second" in explained
    told = python(tmp_path, path, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_second.py")
    assert " passed" in told


def test_a_checkout_takes_it_among_its_own(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "edgekd", tmp_path / "edgekd", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "tests").mkdir()
    shutil.copy(ROOT / "tests" / "conftest.py", tmp_path / "tests")
    for kind, (package, tests) in KINDS.items():
        told = python(tmp_path, [tmp_path], "-m", "edgekd", "new", kind, f"own_{kind}")
        assert told.startswith(f"{package.replace('.', '/')}/own_{kind}.py: a {kind} that works")
        assert (tmp_path / tests / f"test_own_{kind}.py").is_file()
    explained = python(tmp_path, [tmp_path], "-m", "edgekd", "explain")
    assert all(f"own_{kind}" in explained for kind in KINDS)


@pytest.mark.parametrize(
    ("name", "package", "problem", "hint"),
    [
        ("distill", "mine", "'distill' is taken", "another name"),
        ("tinybert", "mine", "'tinybert' is taken", "another name"),  # names of all kinds are explained in one place
        ("my-stage", "mine", "no name of a Python module", "Such as 'my_stage'."),
        ("class", "mine", "no name of a Python module", "Such as"),
        ("made", "numpy", "'numpy' is another package", "--package"),
        ("made", "my-own", "no name of a Python package", "--package"),
        ("made", "", "no checkout of the edgekd that is running", "--package my_plugins"),
        ("there", "mine", "there.py is there already", "another name"),
        ("tested", "mine", "test_tested.py is there already", "another name"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_written(
    name: str, package: str, problem: str, hint: str, tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "tests").mkdir()
    for file in ("mine/there.py", "tests/test_tested.py"):
        (tmp_path / file).write_text("kept")
    with pytest.raises(EdgekdError, match=problem) as caught:
        write("stage", name, package, tmp_path)
    assert hint in caught.value.hint
    assert {file.read_text() for file in tmp_path.rglob("*.*")} == {"kept"}


@pytest.mark.parametrize(
    ("given", "transport", "runtimes"),
    [
        (["--host", "pi5.local", "--port", "2222", "--user", "pi"], "ssh", ("onnxruntime", "tflite")),
        (["--transport", "adb", "--serial", "ab:5555"], "adb", ("onnxruntime", "tflite")),
        (["--transport", "local"], "local", None),
    ],
)
def test_a_device_file_is_read_as_it_is_written(
    given: list[str],
    transport: str,
    runtimes: tuple[str, ...] | None,
    edgekd: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    code, told, _ = edgekd("new", "device", "on", *given)  # YAML's word for true, unless it is quoted
    assert code == 0 and told.endswith("Next: edgekd devices doctor on\n")
    device = device_files.load("on", Path())
    options = device.transport.model_dump(exclude_defaults=True)
    assert (device.name, device.transport.kind(), device.runtimes) == ("on", transport, runtimes)
    assert [str(value) for value in options.values()] == [word for word in given[1::2] if word != transport]
    code, _, told = edgekd("new", "device", "on", *given)
    assert code == 1 and "is there already" in told


def test_a_device_that_would_not_be_read_is_not_written(
    edgekd: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for given, problem in ((["pi"], "'transport.host' is missing"), (["a/b", "--host", "x"], "no name of a device")):
        code, _, told = edgekd("new", "device", *given)
        assert code == 1 and problem in told
    assert not list(tmp_path.iterdir())
