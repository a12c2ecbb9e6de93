"""The links that need no daemon: this machine, and a shell of its own as if it were another's."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgekd import processes
from edgekd.connection import CONNECTIONS, Link
from edgekd.connections.adb import Adb
from edgekd.connections.ssh import Ssh
from edgekd.errors import EdgekdError
from tests.devices import links


@pytest.fixture(params=["local", "shell"])
def link(request: pytest.FixtureRequest, tmp_path: Path) -> Link:
    return CONNECTIONS.get("local")().open() if request.param == "local" else links.Loop(str(tmp_path / "home"))


def test_streams_and_statuses(link: Link) -> None:
    links.streams_and_statuses(link)


def test_a_killed_command_is_told_with_what_to_do(link: Link) -> None:
    with pytest.raises(EdgekdError, match="ended with status -9") as caught:
        list(link.run(["sh", "-c", "kill -9 $$"], {}))
    assert "for lack of memory. Run it again" in caught.value.hint
    with pytest.raises(EdgekdError) as caught:
        list(link.run(["sh", "-c", "echo cause >&2; kill -9 $$"], {}))
    assert caught.value.hint == "cause"


def test_files_go_there_and_back(link: Link, tmp_path: Path) -> None:
    if link.here:
        assert link.push(tmp_path) == str(tmp_path)
    else:
        links.files_go_there_and_back(link, tmp_path)


def test_what_is_there_is_checked(tmp_path: Path) -> None:
    links.what_is_there_is_checked(lambda: links.Loop(str(tmp_path / "home")), tmp_path)


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Path]:
    """A disk of two megabytes."""
    mounted = tmp_path / "full"
    mounted.mkdir()
    argv = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(mounted)]
    if os.getuid() != 0 or subprocess.run(argv, capture_output=True).returncode:
        pytest.skip("mounting a small disk needs root")
    yield mounted
    subprocess.run(["umount", mounted], check=True)


def test_a_full_disk_is_told_and_left_clean(full: Path, tmp_path: Path) -> None:
    links.a_full_disk_is_told_and_left_clean(links.Loop(str(full / "home")), tmp_path)


def test_a_start_up_file_that_ends_the_shell_is_told(tmp_path: Path) -> None:
    class Silent(links.Loop):
        def wrapped(self, command: str) -> list[str]:
            return ["true"]

    with pytest.raises(EdgekdError, match="shell said nothing"):
        Silent(str(tmp_path))


def test_a_folder_that_a_shell_would_take_apart_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EdgekdError, match="edgekd's folder there would be"):
        links.Loop(str(tmp_path / "two words"))


@pytest.mark.parametrize(
    ("told", "problem"),
    [
        ("ssh: Could not resolve hostname pi5: Name or service not known", "the name pi5 is not known"),
        ("ssh: connect to host pi5 port 22: Connection timed out", "pi5 does not answer"),
        ("client_loop: send disconnect: Broken pipe", "the connection to pi5 broke"),
    ],
)
def test_what_ssh_says_is_told_in_words_about_the_board(
    told: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path / "ssh", f"echo '{told}' >&2; exit 255")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(EdgekdError, match=problem):
        Ssh(host="pi5").open()


@pytest.mark.parametrize(
    ("told", "problem"),
    [
        ("adb: device unauthorized.\nThis adb server's $ADB_VENDOR_KEYS is not set", "has not allowed this computer"),
        ("adb: more than one device/emulator", "several phones are connected"),
        ("adb: device offline", "does not answer"),
        ("adb: no devices/emulators found", "no such phone is connected: none at all"),
    ],
)
def test_what_adb_says_is_told_in_words_about_the_phone(told: str, problem: str, tmp_path: Path) -> None:
    program(tmp_path / "adb", f'echo "{told}" >&2; exit 1')
    with pytest.raises(EdgekdError, match=problem):
        Adb(adb=str(tmp_path / "adb")).open()


def test_a_program_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(EdgekdError, match="No such file"):
        Adb(adb=str(tmp_path / "none")).open()


def program(file: Path, body: str) -> None:
    """A text fixture: Debian's adbd never asks for authorization, and no name server is asked in a test."""
    file.write_text(f"#!/bin/sh\n{body}\n")
    file.chmod(0o755)


def test_a_command_here_gets_what_a_user_set_and_not_what_training_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (processes.KERNELS, "GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.setenv(name, "")  # so that it is put back as it was
        monkeypatch.delenv(name)
    link = CONNECTIONS.get("local")().open()
    argv = ["sh", "-c", f"echo $GOMP_SPINCOUNT, ${processes.KERNELS}."]
    processes.for_training()
    assert os.environ["GOMP_SPINCOUNT"] == "1000"
    assert list(link.run(argv, {})) == [", .\n"]
    monkeypatch.setenv("GOMP_SPINCOUNT", "0")
    monkeypatch.setenv(processes.KERNELS, "64")
    processes.for_training()
    assert list(link.run(argv, {})) == ["0, 64.\n"]
