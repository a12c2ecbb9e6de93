"""This machine as far as a timing depends on it. Every fact may be missing: boards and phones hide many of them."""

import os
import platform
import re
from pathlib import Path
from typing import Any

_ROOT = Path("/")


def fingerprint(root: Path = _ROOT) -> dict[str, Any]:
    """What it is. `root`: where /proc and /sys lie."""
    return {
        "processor": _processor(root),
        "model": _model(root),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "architecture": platform.machine(),
        "features": _features(root),
        "governor": read(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor") or None,
        "memory_mb": _memory_mb(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def big_cores(root: Path = _ROOT) -> set[int]:
    """The cores of the fastest kind. Empty where all are of one kind, or nothing tells."""
    speeds: dict[int, int] = {}
    for core in (root / "sys/devices/system/cpu").glob("cpu[0-9]*"):
        told = read(core / "cpu_capacity") or read(core / "cpufreq/cpuinfo_max_freq")
        if told.isdigit():
            speeds[int(core.name.removeprefix("cpu"))] = int(told)
    fastest = {core for core, speed in speeds.items() if speed == max(speeds.values())}
    return fastest if len(fastest) < len(speeds) else set()


# Instructions that INT8 and half-precision kernels are chosen by.
_TELLING = ("avx2", "avx512_vnni", "avx_vnni", "amx_int8", "amx_bf16", "asimddp", "asimdhp", "i8mm", "bf16", "sve")


def _features(root: Path) -> str:
    """Those of the processor's instruction sets that decide which kernels run."""
    found = re.search(r"^(?:flags|Features)\s*:(.*)$", read(root / "proc/cpuinfo"), re.MULTILINE)
    have = found.group(1).split() if found else []
    return " ".join(name for name in _TELLING if name in have)


def _processor(root: Path) -> str:
    """Arm kernels name no model: implementer and part number are all there is."""
    told = read(root / "proc/cpuinfo")
    if found := re.search(r"^model name\s*:\s*(.+)$", told, re.MULTILINE):
        return found.group(1).strip()
    parts = sorted(set(re.findall(r"^CPU part\s*:\s*(\S+)$", told, re.MULTILINE)))
    if parts:
        maker = re.search(r"^CPU implementer\s*:\s*(\S+)$", told, re.MULTILINE)
        return f"Arm {maker.group(1) if maker else '?'}:{'+'.join(_CORES.get(part, part) for part in parts)}"
    return platform.processor() or "unknown"


_CORES = {
    "0xd03": "Cortex-A53",
    "0xd05": "Cortex-A55",
    "0xd08": "Cortex-A72",
    "0xd0b": "Cortex-A76",
    "0xd0d": "Cortex-A77",
    "0xd41": "Cortex-A78",
    "0xd44": "Cortex-X1",
    "0xd46": "Cortex-A510",
    "0xd47": "Cortex-A710",
    "0xd48": "Cortex-X2",
    "0xd4d": "Cortex-A715",
    "0xd4e": "Cortex-X3",
    "0xd80": "Cortex-A520",
    "0xd81": "Cortex-A720",
    "0xd82": "Cortex-X4",
}


def _model(root: Path) -> str | None:
    """The board's own name: from the device tree, else from cpuinfo, as older kernels of the Pi have it."""
    told = read(root / "sys/firmware/devicetree/base/model").strip("\0 ")
    if not told and (found := re.search(r"^Model\s*:\s*(.+)$", read(root / "proc/cpuinfo"), re.MULTILINE)):
        told = found.group(1)
    return told.strip() or None


def _memory_mb() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    except (ValueError, OSError, AttributeError):
        return None


def read(file: Path) -> str:
    """A file of the system's as stripped text; empty where there is none, or it may not be read."""
    try:
        return file.read_text(errors="replace").strip()
    except OSError:
        return ""
