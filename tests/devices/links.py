"""What every link has to do, whatever carries it, and a link without a daemon for the tests that need none."""

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from edgekd.connection import Link
from edgekd.errors import EdgekdError
from edgekd.processes import EndedError
from edgekd.shell import Shell


class Loop(Shell):
    """This machine's own shell, as if it were another's."""

    def wrapped(self, command: str) -> list[str]:
        return ["sh", "-c", command]

    def send(self, file: Path, there: str) -> None:
        for _ in self.shell(f"cat {shlex.quote(str(file))} > {shlex.quote(there)}"):
            pass


def streams_and_statuses(link: Link) -> None:
    assert list(link.run(["echo", "two  words", "$HOME;'"], {})) == ["two  words $HOME;'\n"]
    assert list(link.run(["sh", "-c", 'echo "$GREETING"; cat'], {"GREETING": "a b"}, "given\n")) == ["a b\n", "given\n"]
    assert list(link.run(["pwd"], {}))
    with pytest.raises(EndedError, match="ended with status 3") as caught:
        list(link.run(["sh", "-c", "echo told; echo cause >&2; exit 3"], {}))
    assert "cause" in caught.value.hint and caught.value.status == 3
    with pytest.raises(EndedError, match="ran over its 1 s"):
        list(link.run(["sleep", "60"], {}, deadline=1))


def files_go_there_and_back(link: Link, folder: Path) -> None:
    (folder / "some files" / "inner").mkdir(parents=True)
    (folder / "some files" / "one.bin").write_bytes(bytes(range(256)) * 1000)
    (folder / "some files" / "inner" / "ümlaut.txt").write_text("täxt")
    (folder / "link").symlink_to(folder / "some files")
    there = link.push(folder / "link")
    link.pull(f"{there}/one.bin", folder / "back.bin", 256_000)
    assert (folder / "back.bin").read_bytes() == (folder / "some files" / "one.bin").read_bytes()
    assert list(link.run(["cat", f"{there}/inner/ümlaut.txt"], {})) == ["täxt"]
    assert link.push(folder / "some files") == there
    with pytest.raises(EdgekdError):
        link.pull(f"{there}/none.bin", folder / "none.bin", 256_000)
    with pytest.raises(EdgekdError, match="larger than the 100,000 bytes"):
        link.pull(f"{there}/one.bin", folder / "cut.bin", 100_000)
    assert not (folder / "cut.bin").exists()


def what_is_there_is_checked(again: Callable[[], Link], folder: Path) -> None:
    """A file that was spoilt on the device, at the same size, is sent again; one that is sound is not."""
    file = folder / "weights.bin"
    file.write_bytes(b"right" * 100)
    with again() as link:
        there = link.push(file)
        spoil = f"printf wrong > {there}.new && tail -c +6 {there} >> {there}.new 2>/dev/null; mv {there}.new {there}"
        list(link.run(["sh", "-c", f"head -c 495 {there} > /dev/null; {spoil}"], {}))
    with again() as link:
        assert link.push(file) == there
        link.pull(there, folder / "back", 500)
        assert (folder / "back").read_bytes() == b"right" * 100
        mark = f"{there.rpartition('/')[0]}/mark"
        list(link.run(["sh", "-c", f"echo untouched > {mark}"], {}))
    with again() as link:
        link.push(file)
        assert list(link.run(["cat", mark], {})) == ["untouched\n"]


def a_full_disk_is_told_and_left_clean(link: Link, folder: Path) -> None:
    file = folder / "large.bin"
    file.write_bytes(b"x" * 4_000_000)
    with pytest.raises(EdgekdError, match=r"large\.bin cannot be put on the device"):
        link.push(file)
    assert not [line for line in link.run(["ls", "-R", link.home], {}) if "half" in line]
    small = folder / "small.bin"
    small.write_bytes(b"x" * 1000)
    link.push(small)
