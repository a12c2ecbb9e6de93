"""Device files: what they say, what is wrong in one, and the ones that are shipped."""

from pathlib import Path

import pytest

from edgekd import device_files
from edgekd.connections.ssh import Ssh
from edgekd.device import Device
from edgekd.errors import EdgekdError
from edgekd.providers.venv import Venv
from tests.conftest import write_wheel
from tests.devices import links

SHIPPED = sorted((Path(__file__).parents[2] / "devices").glob("*.yaml"))


def test_a_device_file_says_how_it_is_reached_and_what_it_runs(tmp_path: Path) -> None:
    file = tmp_path / "board.yaml"
    file.write_text(
        "name: board\ntransport: {type: ssh, host: pi5.local, user: pi}\n"
        "provider: {type: venv, packages: [numpy]}\nruntimes: [tflite]\nrun: {threads: [1, 4], cores: big}\n"
    )
    device = device_files.load(str(file), tmp_path)
    assert isinstance(device.transport, Ssh) and isinstance(device.provider, Venv) and not device.here
    assert device.serves("tflite") and not device.serves("onnxruntime")
    told = device.model_dump(mode="json")
    assert told["transport"]["type"] == "ssh" and told["transport"]["host"] == "pi5.local"
    assert told["provider"] == {"type": "venv", "packages": ["numpy"], "python": ""}
    assert Device(name="local").here and Device(name="local").serves("onnxruntime")
    other = Device(name="other", provider=Venv(packages=("numpy",)))
    assert not other.here and other.transport.kind() == "local"


@pytest.mark.parametrize(
    ("line", "told", "hint"),
    [
        ("transport: {type: shh, host: x}", "unknown connection 'shh'", "Did you mean 'ssh'?"),
        ("transport: {type: ssh, hots: x}", "unknown field 'transport.hots'", "Did you mean 'host'?"),
        ("transport: {type: ssh}", "field 'transport.host' is missing", ""),
        ("transport: {type: ssh, host: x, port: 99999}", "transport.port", ""),
        ("provider: {type: vent}", "unknown provider 'vent'", "Did you mean 'venv'?"),
        ("provider: {type: venv, package: [x]}", "unknown field 'provider.package'", "Did you mean 'packages'?"),
        ("run: {cores: small}", "run.cores", ""),
    ],
)
def test_a_wrong_field_is_named_with_its_place(line: str, told: str, hint: str, tmp_path: Path) -> None:
    file = tmp_path / "other.yaml"
    file.write_text(f"name: other\n{line}\n")
    with pytest.raises(EdgekdError) as caught:
        device_files.load(str(file), tmp_path)
    assert told in caught.value.problem and hint in caught.value.hint
    assert caught.value.where.startswith(f"{file}:2:"), caught.value.where


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_the_shipped_ones_are_sound(file: Path) -> None:
    assert device_files.load(str(file), file.parent).name == file.stem


def test_an_environment_is_made_on_the_device_once(wheels: Path, tmp_path: Path) -> None:
    write_wheel(wheels, "spoken", {"spoken.py": "print('it speaks')"})
    said: list[str] = []
    link, provider = links.Loop(str(tmp_path / "home")), Venv(packages=("spoken==1.0",))
    for _ in range(2):
        python = provider.prepare(link, (), said.append)
        assert list(link.run([*python.argv, "-m", "spoken"], python.env)) == ["it speaks\n"]
    assert len(said) == 1 and "making the environment" in said[0]
    with pytest.raises(EdgekdError, match="no environment with nowhere==1 can be made on the device") as caught:
        Venv(packages=("nowhere==1",)).prepare(link, (), said.append)
    assert "python3-venv" in caught.value.hint
