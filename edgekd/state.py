"""How this machine is at the moment: what makes the same code slower from one minute to the next."""

import os
import re
import subprocess
from pathlib import Path
from typing import Any

from edgekd.machine import read

# get_throttled of the Raspberry Pi's firmware: bits 0 to 3 now, 16 to 19 at any time since it started.
_THROTTLED = ("under-voltage", "frequency capped", "throttled", "soft temperature limit")
_TICKS = 100  # a second, in /proc/stat, on every architecture that Linux has today
# Zones of the processor itself; a phone has dozens, of its battery, modem and skin.
_PROCESSOR = re.compile(r"cpu|soc|x86_pkg|coretemp|acpitz|bigcore|littlecore|apc", re.IGNORECASE)


def now(root: Path = Path("/")) -> dict[str, Any]:
    """`celsius` of the hottest zone of the processor, `mhz` of its fastest core, the `throttled` reasons now and
    `throttled_before` since its start, `load` of the last minute, `joules` used since some moment by the processor, and
    core seconds since its start: `busy` by any process, `stolen` by the host of a virtual machine. None where it cannot
    be told.
    """
    bits = _throttled_bits(root)
    return {
        "celsius": _celsius(root),
        "mhz": _mhz(root),
        "throttled": None if bits is None else [name for bit, name in enumerate(_THROTTLED) if bits >> bit & 1],
        "throttled_before": None
        if bits is None
        else [name for bit, name in enumerate(_THROTTLED) if bits >> (16 + bit) & 1],
        "load": _load(root),
        "joules": _joules(root),
        **_spent(root),
    }


def _celsius(root: Path) -> float | None:
    found: dict[bool, list[float]] = {True: [], False: []}
    for zone in (root / "sys/class/thermal").glob("thermal_zone*"):
        told = _number(zone / "temp")
        # Switched-off sensors say 0, or absurd values.
        if told is not None and 0 < (celsius := told / 1000) < 150:
            found[bool(_PROCESSOR.search(read(zone / "type")))].append(celsius)
    return max(found[True] or found[False], default=None)


def _mhz(root: Path) -> float | None:
    cores = (root / "sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_cur_freq")
    return max((told / 1000 for file in cores if (told := _number(file)) is not None), default=None)


def _spent(root: Path) -> dict[str, float | None]:
    """User, nice, system, idle, iowait, irq, softirq and steal of /proc/stat, which a phone shows to root alone."""
    told = read(root / "proc/stat").partition("\n")[0].split()[1:9]
    if len(told) < 8 or not all(map(str.isdigit, told)):
        return {"busy": None, "stolen": None}
    user, nice, system, _, _, irq, softirq, steal = (int(ticks) / _TICKS for ticks in told)
    return {"busy": user + nice + system + irq + softirq, "stolen": steal}


def _joules(root: Path) -> float | None:
    """What the processor's own counters say: RAPL, of whole packages, which only root may read."""
    zones = (root / "sys/class/powercap").glob("intel-rapl:[0-9]*")
    # A zone may be a part of a package, or psys, a platform that holds them: each is told by its name.
    told = [_number(zone / "energy_uj") for zone in zones if read(zone / "name").startswith("package")]
    return sum(value for value in told if value is not None) / 1e6 if told and None not in told else None


def _throttled_bits(root: Path) -> int | None:
    told = read(root / "sys/devices/platform/soc/soc:firmware/get_throttled")
    if not told and (vcgencmd := root / "usr/bin/vcgencmd").exists():
        try:
            done = subprocess.run([vcgencmd, "get_throttled"], capture_output=True, text=True, timeout=5)
            told = done.stdout.strip().removeprefix("throttled=")
        except (OSError, subprocess.TimeoutExpired):
            return None
    try:
        return int(told, 16)
    except ValueError:
        return None


def _load(root: Path) -> float | None:
    try:
        return float(read(root / "proc/loadavg").split()[0])
    except (IndexError, ValueError):
        return os.getloadavg()[0] if root == Path("/") and hasattr(os, "getloadavg") else None


def _number(file: Path) -> float | None:
    try:
        return float(read(file))
    except ValueError:
        return None
