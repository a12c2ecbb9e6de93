"""What is wrong with a device, and what to do about each fault, before anyone waits for a measurement."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from edgekd.board import Board
from edgekd.device import Device
from edgekd.errors import EdgekdError
from edgekd.runtime import RUNTIMES

_LITTLE = 500_000_000
_WARM = 70.0


@dataclass(frozen=True)
class Finding:
    """One thing looked at: `ok` is False for what keeps a measurement from being made, None for what spoils it."""

    subject: str
    told: str
    ok: bool | None = True
    hint: str = ""


def examine(device: Device) -> Iterator[Finding]:
    """Look at a device, one thing after another; ends at the first that keeps the others from being looked at."""
    try:
        board = Board(device)
    except EdgekdError as error:
        yield Finding("reachable", error.problem, False, error.hint)
        return
    with board:
        yield Finding("reachable", f"{device.transport.kind()}, edgekd's folder there is {board.link.home}")
        try:
            facts = board.facts
        except EdgekdError as error:
            yield Finding("agent", error.problem, False, error.hint or "It needs Python 3.11 or newer, with numpy.")
            return
        yield Finding("agent", f"Python {facts['machine']['python']} by {device.provider.kind()}")
        yield from _machine(device, board, facts["machine"])
        yield from _runtimes(device, facts["runtimes"])
        yield from _state(facts)


def _machine(device: Device, board: Board, machine: dict[str, Any]) -> Iterator[Finding]:
    told = ", ".join(f"{name} {value}" for name, value in machine.items() if value and name != "python")
    try:
        board.fingerprint()
        yield Finding("machine", told)
    except EdgekdError as error:
        yield Finding("machine", f"{told}; {error.problem}", False, error.hint)
    if machine["governor"] not in (None, "performance"):
        yield Finding(
            "governor",
            f"{machine['governor']}: the clock follows the load, so short runs are timed at a low one",
            None,
            "For steady figures: echo performance | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor",
        )


def _runtimes(device: Device, runtimes: dict[str, dict[str, str]]) -> Iterator[Finding]:
    for name in device.runtimes or sorted(runtimes):
        found = runtimes.get(name, {})
        if found:
            yield Finding(name, ", ".join(f"{library} {version}" for library, version in found.items()))
        elif device.runtimes:
            needed = " ".join(library.partition("|")[0] for library in RUNTIMES.get(name).libraries)
            hint = f"Install it for that Python: pip install {needed}; or use provider: {{type: venv}}."
            yield Finding(name, "not installed", False, hint)


def _state(facts: dict[str, Any]) -> Iterator[Finding]:
    state, free = facts["state"], facts["free"]
    little = free < _LITTLE
    yield Finding(
        "free space",
        f"{free / 1e9:.1f} GB",
        not little,
        "Free some: edgekd keeps artifacts there, in files/ of its folder." if little else "",
    )
    warm = state["celsius"]
    if warm is None:
        yield Finding("temperature", "not told by this machine", None, "Heat cannot be ruled out as a cause of drift.")
    else:
        hot = warm > _WARM
        hint = "Let it cool, or set max_start_c in its file." if hot else ""
        yield Finding("temperature", f"{warm:.0f} degrees Celsius", None if hot else True, hint)
    if state["throttled"] is not None:
        for told, when in ((state["throttled"], "now"), (state["throttled_before"], "since its start")):
            if told:
                hint = "Under-voltage: a stronger supply and a short cable. Heat: a cooler. Then restart it."
                yield Finding("throttling", f"{when}: {', '.join(told)}", None, hint)
        if not state["throttled"] and not state["throttled_before"]:
            yield Finding("throttling", "none, now or since its start")
    load, cores = state["load"], facts["machine"]["cores"] or 1
    if load is not None and load > 0.5 * cores:
        yield Finding("load", f"{load:.1f} on {cores} cores", None, "Something else runs there: wait, or end it.")
