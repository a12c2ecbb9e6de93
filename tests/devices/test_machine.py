"""What boards and phones tell of themselves, from trees of files as they have them; and what they leave out."""

from pathlib import Path
from typing import Any

import pytest

from edgekd import machine, state
from edgekd.device import Expectation
from edgekd.errors import EdgekdError

PI4 = """processor\t: 0
BogoMIPS\t: 108.00
Features\t: fp asimd evtstrm crc32 cpuid
CPU implementer\t: 0x41
CPU architecture: 8
CPU part\t: 0xd08

Hardware\t: BCM2835
Revision\t: c03111
Model\t\t: Raspberry Pi 4 Model B Rev 1.1
"""
PHONE = (
    "processor\t: 0\nFeatures\t: fp asimd asimdhp asimddp i8mm bf16\nCPU implementer\t: 0x41\nCPU part\t: 0xd46\n\n"
    "processor\t: 7\nFeatures\t: fp asimd asimdhp asimddp i8mm bf16\nCPU implementer\t: 0x41\nCPU part\t: 0xd48\n"
)


def tree(root: Path, **files: str) -> Path:
    """Files by path, with / for __ in names given as a mapping's keys."""
    for name, content in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    return root


def test_a_pi_by_its_device_tree_or_by_cpuinfo(tmp_path: Path) -> None:
    root = tree(tmp_path, **{"proc/cpuinfo": PI4})
    found = machine.fingerprint(root)
    assert found["processor"] == "Arm 0x41:Cortex-A72" and found["features"] == ""
    assert found["model"] == "Raspberry Pi 4 Model B Rev 1.1"
    tree(root, **{"sys/firmware/devicetree/base/model": "Raspberry Pi 5 Model B Rev 1.0\0"})
    assert machine.fingerprint(root)["model"] == "Raspberry Pi 5 Model B Rev 1.0"


def test_a_phone_of_two_kinds_of_cores(tmp_path: Path) -> None:
    cpus = "sys/devices/system/cpu"
    root = tree(tmp_path, **{"proc/cpuinfo": PHONE, f"{cpus}/cpu0/cpufreq/scaling_governor": "schedutil\n"})
    for core in range(8):
        tree(root, **{f"{cpus}/cpu{core}/cpu_capacity": "1024" if core >= 6 else "300"})
    found = machine.fingerprint(root)
    assert found["processor"] == "Arm 0x41:Cortex-A510+Cortex-X2" and found["governor"] == "schedutil"
    assert found["features"] == "asimddp asimdhp i8mm bf16" and found["model"] is None
    assert machine.big_cores(root) == {6, 7}


def test_big_cores_by_their_clock_or_none_where_all_are_alike(tmp_path: Path) -> None:
    cpus = "sys/devices/system/cpu"
    for core, clock in enumerate((1800000, 1800000, 2400000, 2400000)):
        tree(tmp_path, **{f"{cpus}/cpu{core}/cpufreq/cpuinfo_max_freq": f"{clock}\n"})
    assert machine.big_cores(tmp_path) == {2, 3}
    tree(tmp_path, **{f"{cpus}/cpu{core}/cpufreq/cpuinfo_max_freq": "1800000" for core in range(4)})
    assert machine.big_cores(tmp_path) == set()


def test_a_machine_that_tells_nothing(tmp_path: Path) -> None:
    assert machine.fingerprint(tmp_path)["model"] is None and machine.big_cores(tmp_path) == set()
    assert state.now(tmp_path) == dict.fromkeys(
        ("celsius", "mhz", "throttled", "throttled_before", "load", "joules", "busy", "stolen")
    )
    tree(tmp_path, **{"sys/class/thermal/thermal_zone0/temp": "", "proc/loadavg": ""})
    assert state.now(tmp_path)["celsius"] is None


def test_the_hottest_zone_of_the_processor_counts(tmp_path: Path) -> None:
    zones = {"battery": 31000, "cpu-0-0": 62500, "cpuss-1": 64000, "modem": 80000, "cpu-off": 0, "xo-therm": -274000}
    for number, (kind, temp) in enumerate(zones.items()):
        zone = f"sys/class/thermal/thermal_zone{number}"
        tree(tmp_path, **{f"{zone}/type": kind, f"{zone}/temp": f"{temp}\n"})
    assert state.now(tmp_path)["celsius"] == 64.0


@pytest.mark.parametrize(
    ("told", "now", "before"),
    [
        ("0x0", [], []),
        ("50005", ["under-voltage", "throttled"], ["under-voltage", "throttled"]),
        ("0xe0008", ["soft temperature limit"], ["frequency capped", "throttled", "soft temperature limit"]),
    ],
)
def test_throttling_of_a_pi(told: str, now: list[str], before: list[str], tmp_path: Path) -> None:
    tree(tmp_path, **{"sys/devices/platform/soc/soc:firmware/get_throttled": told})
    assert state.now(tmp_path)["throttled"] == now and state.now(tmp_path)["throttled_before"] == before


def test_throttling_by_the_firmwares_own_command(tmp_path: Path) -> None:
    tree(tmp_path, **{"usr/bin/vcgencmd": "#!/bin/sh\necho throttled=0x50000\n"})
    (tmp_path / "usr/bin/vcgencmd").chmod(0o755)
    assert state.now(tmp_path)["throttled_before"] == ["under-voltage", "throttled"]
    tree(tmp_path, **{"usr/bin/vcgencmd": "#!/bin/sh\necho 'VCHI initialization failed'\n"})
    assert state.now(tmp_path)["throttled"] is None


def test_what_all_processes_took_of_the_cores(tmp_path: Path) -> None:
    tree(tmp_path, **{"proc/stat": "cpu  1000 200 300 99999 5000 10 20 400 0 0\ncpu0 1 2 3 4 5 6 7 8 0 0\n"})
    found = state.now(tmp_path)
    assert (found["busy"], found["stolen"]) == pytest.approx((15.3, 4.0))
    tree(tmp_path, **{"proc/stat": "cpu  1000 200\n"})
    assert state.now(tmp_path)["busy"] is None


def test_energy_is_of_whole_packages_and_else_not_told(tmp_path: Path) -> None:
    zones = {"0": ("package-0", 2.5), "1": ("package-1", 0.5), "0:0": ("core", 1.0), "2": ("psys", 5.0)}
    for number, (name, joules) in zones.items():
        zone = f"sys/class/powercap/intel-rapl:{number}"
        tree(tmp_path, **{f"{zone}/name": f"{name}\n", f"{zone}/energy_uj": f"{joules * 1e6:.0f}\n"})
    # That of a graphics card.
    tree(tmp_path, **{"sys/class/hwmon/hwmon2/name": "i915\n", "sys/class/hwmon/hwmon2/energy1_input": "7000000\n"})
    assert state.now(tmp_path)["joules"] == 3.0
    (tmp_path / "sys/class/powercap/intel-rapl:1/energy_uj").unlink()  # who is not root reads none
    assert state.now(tmp_path)["joules"] is None


def test_the_fastest_clock_and_the_load(tmp_path: Path) -> None:
    cpus = "sys/devices/system/cpu"
    files = {f"{cpus}/cpu{core}/cpufreq/scaling_cur_freq": clock for core, clock in enumerate(("600000", "2400000"))}
    found = state.now(tree(tmp_path, **files, **{"proc/loadavg": "0.42 0.30 0.20 1/300 999\n"}))
    assert found["mhz"] == 2400.0 and found["load"] == 0.42


@pytest.mark.parametrize(
    ("expected", "problem"),
    [
        ({"architecture": "aarch64"}, "architecture is x86_64, expected aarch64"),
        ({"model": "Raspberry Pi 5*"}, r"model is not told, expected Raspberry Pi 5\*"),
        ({"min_memory_mb": 4096}, "memory_mb is 1024, expected at least 4096"),
    ],
)
def test_another_machine_than_expected_is_refused(expected: dict[str, Any], problem: str) -> None:
    found = {"architecture": "x86_64", "model": None, "memory_mb": 1024}
    with pytest.raises(EdgekdError, match=problem):
        Expectation(**expected).check("pi", found)
    Expectation(architecture="x86*", min_memory_mb=1024).check("pi", found)
