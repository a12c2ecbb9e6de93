"""A killed process's temporary folders go with the next one's; nobody else's do."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from edgekd import temporary

HOLDER = """\
import sys
from pathlib import Path
from edgekd import temporary
with temporary.folder(within=Path(sys.argv[1])) as folder:
    (folder / "inputs").write_text("much")
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def _a_process_that_has_made_none() -> None:
    temporary._clear.cache_clear()


def holder(place: Path) -> tuple[subprocess.Popen[str], Path]:
    argv = [sys.executable, "-c", HOLDER, str(place)]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    return process, Path(process.stdout.readline().strip())


def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path: Path) -> None:
    (killed, left), (living, held) = holder(tmp_path), holder(tmp_path)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert left.is_dir() and held.is_dir()
    with temporary.folder(within=tmp_path) as own:
        assert sorted(tmp_path.iterdir()) == sorted([held, own])
        assert (held / "inputs").read_text() == "much"
    living.communicate("")
    assert not list(tmp_path.iterdir())


def test_what_others_have_stays(tmp_path: Path) -> None:
    own = tmp_path / "apart"
    own.mkdir()
    place = tmp_path / "place"
    here = f"edgekd-{temporary.mark()}"
    for name in (
        "edgekd-baseline",
        f"{here}mine",
        f"{here}abcdefghi",
        "edgekd-tmp-ffffff-abcdefgh",
        f"e{here[4:]}abcdefgh",
    ):
        (place / name).mkdir(parents=True)
    (place / f"{here}abcdefgh").symlink_to(own)
    (place / f"{here}abcdefg1").write_text("a file")
    before = sorted(place.iterdir())
    with temporary.folder(within=place):
        pass
    assert sorted(place.iterdir()) == before and own.is_dir()


def test_one_that_is_cleared_away_before_it_is_held_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Path] = []
    lock = temporary._lock

    def late(path: Path, wait: bool = False) -> int | None:
        made.append(path)
        if len(made) == 1:
            path.rmdir()
        return lock(path, wait)

    monkeypatch.setattr(temporary, "_lock", late)
    with temporary.folder(within=tmp_path) as own:
        assert own.is_dir() and own == made[-1] and len(made) == 2


def test_what_may_not_be_written_goes_too(tmp_path: Path) -> None:
    with temporary.folder(within=tmp_path) as own:
        (own / "copy" / "within").mkdir(parents=True)
        (own / "copy" / "within" / "model").write_text("of a store that is read only")
        (own / "copy" / "within").chmod(0o555)
        (own / "copy").chmod(0o555)
    assert not own.exists()


def test_it_goes_with_an_error_too(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), temporary.folder(within=tmp_path) as own:
        (own / "draft").write_text("half")
        raise ZeroDivisionError
    assert not own.exists()
