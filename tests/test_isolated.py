"""Environments of their own: made once, with nothing of edgekd's, and gone where they cannot be made."""

import os
import sys
import zipfile
from pathlib import Path

import pytest

from edgekd import isolated
from edgekd.connections.venv import Venv
from edgekd.device import Device
from edgekd.errors import EdgekdError
from edgekd.recipe import load_device

PRINTS = """
import sys, edgekd
print(sys.prefix, edgekd.__version__)
try:
    import pydantic
except ImportError:
    print("alone")
"""


@pytest.fixture(autouse=True)
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One wheel in a folder, and pip told to look nowhere else."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    with zipfile.ZipFile(wheels / "spoken-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("spoken.py", PRINTS)
        wheel.writestr("spoken-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: spoken\nVersion: 1.0\n")
        tag = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        wheel.writestr("spoken-1.0.dist-info/WHEEL", tag)
        wheel.writestr("spoken-1.0.dist-info/RECORD", "")
    for variable, value in (("NO_INDEX", "1"), ("FIND_LINKS", str(wheels)), ("CONFIG_FILE", os.devnull)):
        monkeypatch.setenv(f"PIP_{variable}", value)
    monkeypatch.setenv("EDGEKD_CACHE", str(tmp_path / "cache"))


def test_it_is_made_once_and_holds_nothing_of_ours(tmp_path: Path) -> None:
    python = isolated.environment(("spoken==1.0",))
    made = python.stat().st_ctime_ns
    assert isolated.environment(("spoken==1.0",)) == python and python.stat().st_ctime_ns == made
    connection = Venv(packages=("spoken==1.0",))
    prefix, alone = list(connection.run(["spoken"], "", 60))
    assert str(python.parents[1]) in prefix and alone == "alone\n"
    assert connection.fingerprint()["packages"] == "spoken==1.0"


def test_nothing_half_made_stays(tmp_path: Path) -> None:
    with pytest.raises(EdgekdError, match="an environment with nowhere==1 cannot be made"):
        isolated.environment(("nowhere==1",))
    with pytest.raises(EdgekdError, match=r"cannot be made: /no/python: No such file"):
        isolated.environment(("spoken==1.0",), "/no/python")
    left = [entry.name for entry in (tmp_path / "cache" / "environments").iterdir() if entry.is_dir()]
    assert left == []


def test_a_device_file_says_how_it_is_reached(tmp_path: Path) -> None:
    file = tmp_path / "other.yaml"
    file.write_text("name: other\ntransport: {type: venv, packages: [spoken==1.0]}\nruntimes: [tflite]\n")
    device = load_device(str(file), tmp_path)
    assert isinstance(device.transport, Venv) and not device.here
    assert device.serves("tflite") and not device.serves("onnxruntime")
    assert device.model_dump(mode="json")["transport"] == {"type": "venv", "packages": ["spoken==1.0"], "python": ""}
    assert Device(name="local").here and Device(name="local").serves("onnxruntime")


@pytest.mark.parametrize(
    ("transport", "told", "hint"),
    [
        ("{type: vent, packages: [x]}", "unknown connection 'vent'", "Did you mean 'venv'?"),
        ("{type: venv, package: [x]}", "unknown field 'transport.package'", "Did you mean 'packages'?"),
        ("{type: venv}", "field 'transport.packages' is missing", ""),
    ],
)
def test_a_wrong_transport_is_named_with_its_place(transport: str, told: str, hint: str, tmp_path: Path) -> None:
    file = tmp_path / "other.yaml"
    file.write_text(f"name: other\ntransport: {transport}\n")
    with pytest.raises(EdgekdError) as caught:
        load_device(str(file), tmp_path)
    assert told in caught.value.problem and hint in caught.value.hint
    assert caught.value.where.startswith(f"{file}:2:"), caught.value.where


def test_this_python_is_the_default() -> None:
    assert Venv(packages=("x",)).python == "" and Path(sys.executable).exists()
