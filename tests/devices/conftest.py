"""Real daemons without a board: an arm64 Debian behind sshd, and an arm64 busybox behind adbd. See docs/devices.md."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgekd import device_files
from edgekd.device import Device

ROOT = Path(__file__).parents[2]
NEEDED = {
    "pi": ("mmdebstrap", "ssh", "unshare"),
    "phone": ("mmdebstrap", "adb", "unshare", "nsenter", "ip"),
    "board": ("mmdebstrap", "ssh", "cpio", "fdtput", "qemu-system-aarch64"),
}


def emulated(name: str) -> Iterator[Device]:
    missing = [tool for tool in NEEDED[name] if not shutil.which(tool)]
    if os.name != "posix" or os.getuid() != 0:
        pytest.skip("an emulated device needs root")
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)} (Debian's packages)")
    script, folder = ROOT / "devices" / "emulated" / f"{name}.sh", ROOT / ".emulated" / name
    # Its wheels are of the versions that this Python has: labels of both are of one code.
    environment = {**os.environ, "PYTHON": sys.executable}
    done = subprocess.run([script, "start", folder], capture_output=True, text=True, env=environment)
    if done.returncode == 77:
        pytest.skip(done.stderr.strip().replace("\n", "; "))
    assert done.returncode == 0, done.stderr
    yield device_files.load(str(folder / f"{name}.yaml"), ROOT)
    subprocess.run([script, "stop", folder], check=True)


@pytest.fixture(scope="session")
def pi() -> Iterator[Device]:
    yield from emulated("pi")


@pytest.fixture(scope="session")
def phone() -> Iterator[Device]:
    yield from emulated("phone")


@pytest.fixture(scope="session")
def board() -> Iterator[Device]:
    yield from emulated("board")


@pytest.fixture(params=["pi", "phone"])
def remote(request: pytest.FixtureRequest) -> Device:
    """Each emulated device in turn."""
    return request.getfixturevalue(request.param)  # type: ignore[no-any-return]
