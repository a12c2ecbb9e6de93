"""Environments of their own: made once, with nothing of edgekd's, and gone where they cannot be made."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edgekd import isolated
from edgekd.errors import EdgekdError
from tests.conftest import write_wheel

PRINTS = """
import sys, edgekd
print(sys.prefix, edgekd.__version__)
try:
    import pydantic
except ImportError:
    print("alone")
"""


@pytest.fixture(autouse=True)
def spoken(wheels: Path) -> None:
    write_wheel(wheels, "spoken", {"spoken.py": PRINTS})


def test_it_is_made_once_and_holds_nothing_of_ours(tmp_path: Path) -> None:
    said: list[str] = []
    got: list[tuple[str, float, float]] = []
    python = isolated.environment(("spoken==1.0",), "", said.append, lambda *event: got.append(event))
    assert len(said) == 1 and "making the environment" in said[0] and got == [("packages from pip", 1, 0)]
    made = python.stat().st_ctime_ns
    assert isolated.environment(("spoken==1.0",), "", said.append) == python and len(said) == 1
    assert python.stat().st_ctime_ns == made
    prefix, alone = list(isolated.lines(python, ["spoken"], {}, "", 60, "spoken"))
    assert str(python.parents[1]) in prefix and alone == "alone\n"


def test_nothing_half_made_stays(tmp_path: Path) -> None:
    with pytest.raises(EdgekdError, match="an environment with nowhere==1 cannot be made"):
        isolated.environment(("nowhere==1",))
    with pytest.raises(EdgekdError, match=r"cannot be made: /no/python: No such file"):
        isolated.environment(("spoken==1.0",), "/no/python")
    assert folders(tmp_path) == set()


MAKE = "from edgekd import isolated; print(isolated.environment(('spoken==1.0',)))"


def test_what_a_killed_one_left_is_no_environment_and_two_at_once_make_one(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", MAKE])
    while process.poll() is None and not folders(tmp_path):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    left = folders(tmp_path)
    both = [subprocess.Popen([sys.executable, "-c", MAKE], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    first, second = (process.communicate()[0] for process in both)
    assert first == second
    (made,) = folders(tmp_path) - left  # what the killed one began may go on for a moment, in its own folder
    assert Path(first.strip()).parents[1].readlink().name == made
    assert list(isolated.lines(Path(first.strip()), ["spoken"], {}, "", 60, "spoken"))[1] == "alone\n"


def folders(root: Path) -> set[str]:
    """The environments there are, whole or not, but for the links to whole ones."""
    kept = root / "cache" / "environments"
    return {entry.name for entry in kept.glob("*") if entry.is_dir() and not entry.is_symlink()}
