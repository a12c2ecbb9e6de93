"""Over real daemons on loopback: a Debian sshd and a Debian adbd in arm64 roots. `make test-emulated`."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from edgekd import pipeline
from edgekd.board import Board
from edgekd.cli import cli
from edgekd.connections.adb import Adb
from edgekd.connections.ssh import Ssh
from edgekd.device import Device
from edgekd.doctor import examine
from edgekd.errors import EdgekdError
from edgekd.recipe import load
from edgekd.store import Store
from tests.conftest import Quiet, Ran
from tests.devices import links

pytestmark = pytest.mark.emulated


def test_streams_and_statuses(remote: Device) -> None:
    with remote.transport.open() as link:
        links.streams_and_statuses(link)


def test_files_go_there_and_back(remote: Device, tmp_path: Path) -> None:
    with remote.transport.open() as link:
        links.files_go_there_and_back(link, tmp_path)


def test_what_is_there_is_checked(remote: Device, tmp_path: Path) -> None:
    links.what_is_there_is_checked(remote.transport.open, tmp_path)


def test_a_full_disk_is_told_and_left_clean(remote: Device, tmp_path: Path) -> None:
    small = remote.transport.model_copy(update={"workdir": "/small/edgekd"})
    with small.open() as link:
        links.a_full_disk_is_told_and_left_clean(link, tmp_path)


def test_the_doctor_finds_nothing_that_keeps_it_from_being_measured(remote: Device) -> None:
    found = {finding.subject: finding for finding in examine(remote)}
    assert [finding for finding in found.values() if finding.ok is False] == []
    assert "aarch64" in found["machine"].told and "asimddp" in found["machine"].told
    assert set(remote.runtimes or ()) <= found.keys()


def test_another_machine_than_expected_is_refused(remote: Device) -> None:
    other = remote.model_copy(update={"expect": remote.expect.model_copy(update={"architecture": "riscv64"})})
    with Board(other) as board, pytest.raises(EdgekdError, match="is another machine: architecture is aarch64"):
        board.fingerprint()


# Faults of the way.


def ssh(device: Device, **changed: Any) -> Ssh:
    assert isinstance(device.transport, Ssh)
    return device.transport.model_copy(update=changed)


def test_a_wrong_host_key(pi: Device, tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key"], check=True)
    known = tmp_path / "known_hosts"
    kind, key, *_ = (tmp_path / "key.pub").read_text().split()
    known.write_text(f"[127.0.0.1]:{ssh(pi).port} {kind} {key}\n")
    with pytest.raises(EdgekdError, match=r"the host key of 127\.0\.0\.1 is not the one that is known") as caught:
        ssh(pi, known_hosts=str(known)).open()
    assert "ssh-keygen -R" in caught.value.hint
    known.write_text("")
    with pytest.raises(EdgekdError, match=r"the host key of 127\.0\.0\.1 is not known"):
        ssh(pi, known_hosts=str(known)).open()


def test_a_wrong_key(pi: Device, tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key"], check=True)
    with pytest.raises(EdgekdError, match="does not take this key") as caught:
        ssh(pi, identity=str(tmp_path / "key")).open()
    assert "ssh-copy-id" in caught.value.hint


def test_a_dead_port(remote: Device) -> None:
    match remote.transport:
        case Ssh():
            dead: Any = ssh(remote, port=9)
        case Adb(adb=adb):
            dead = Adb(serial="127.0.0.1:9", adb=adb)
    with pytest.raises(EdgekdError, match=r"no sshd at this port|no such phone is connected: 127\.0\.0\.1:9"):
        dead.open()


# Faults of the agent. What it told last decides, not the status of the program that carried it.


def agents(device: Device) -> set[int]:
    """Processes of this machine, inside the device's root, that run the agent."""
    root = (Path(__file__).parents[2] / ".emulated" / device.name / "root").resolve()
    found = set()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if (entry / "root").readlink() == root and b".pyz" in (entry / "cmdline").read_bytes():
                found.add(int(entry.name))
        except OSError:
            continue  # it has ended
    return found


def soon(check: Callable[[], bool], seconds: float = 30.0) -> bool:
    stop = time.monotonic() + seconds
    while not check() and time.monotonic() < stop:
        time.sleep(0.1)
    return check()


def hold(board: Board, deadline: float = 600.0) -> Any:
    """An agent that has begun and goes on until it is ended."""
    asked = board.ask({"do": "hold", "lock": f"{board.link.home}/lock", "holder": "a test"}, deadline)
    assert next(asked)["kind"] == "held"
    return asked


def test_the_agent_ends_with_the_client(remote: Device) -> None:
    with Board(remote) as board:
        asked = hold(board)
        assert agents(remote)
        clients = subprocess.run(["pgrep", "-P", str(os.getpid())], capture_output=True, text=True).stdout.split()
        for client in clients:
            command = Path(f"/proc/{client}/cmdline").read_bytes()
            if b".pyz" in command:
                os.kill(int(client), signal.SIGKILL)
        assert soon(lambda: not agents(remote)), "the agent outlives the client that started it"
        with pytest.raises(EdgekdError):
            next(asked)


def test_the_agent_ends_at_its_deadline(remote: Device) -> None:
    with Board(remote) as board:
        board.facts  # noqa: B018  # the agent is there: only its run counts
        asked = hold(board, deadline=5)
        with pytest.raises(EdgekdError, match="ended with status 1"):
            next(asked)
        assert soon(lambda: not agents(remote), 5)


def test_a_killed_agent_is_told(remote: Device) -> None:
    with Board(remote) as board:
        asked = hold(board)
        for pid in agents(remote):
            os.kill(pid, signal.SIGKILL)
        with pytest.raises(EdgekdError, match=r"on the device ended with status|over ssh to"):
            next(asked)


def test_output_that_is_cut_off_is_no_result(remote: Device, tmp_path: Path) -> None:
    from edgekd import records

    cut = tmp_path / "cut.sh"
    cut.write_text("""printf '@edgekd {"kind": "load", "seconds": 1}\\n@edgekd {"kind": "sam'\n""")
    with remote.transport.open() as link:
        there = link.push(cut)
        with pytest.raises(EdgekdError, match="cut off"):
            list(records.read(link.run(["sh", there], {})))


def test_two_hosts_do_not_measure_at_once(remote: Device) -> None:
    said: list[str] = []
    with Board(remote) as first, Board(remote, said.append) as second:
        with first.alone():
            asked = second.ask({"do": "hold", "lock": f"{second.link.home}/lock", "holder": "another"})
            busy = next(asked)
            assert busy["kind"] == "busy" and " at " in busy["holder"]
        assert next(asked)["kind"] == "held"
        asked.close()
        with second.alone():
            assert said == []


# The chain: what a recipe makes here is scored there, and no latency of an emulator is stated.

TARGETS = """\
  - {id: openvino_int8, stage: export_openvino, source: student, precision: int8, max_drop: 0.1}
  - {id: tflite, stage: export_tflite, source: student, lengths: [16]}
  - {id: tflite_int8, stage: export_tflite, source: student, precision: int8, lengths: [16], max_drop: 0.1}
devices: [quick, DEVICE]
"""


def test_a_recipe_is_scored_there_and_agrees(remote: Device, write_recipe: Callable[..., Path], tmp_path: Path) -> None:
    for library in ("litert_torch", "ai_edge_litert", "openvino", "nncf"):
        pytest.importorskip(library)
    file = Path(__file__).parents[2] / ".emulated" / remote.name / f"{remote.name}.yaml"
    recipe = write_recipe(tmp_path, ("devices: [quick]\n", TARGETS.replace("DEVICE", str(file))))
    report = pipeline.run(load(recipe), Store(tmp_path / "store"), tmp_path / "runs", Quiet())
    served = {"onnx", "onnx_int8", "tflite", "tflite_int8"} | ({"openvino_int8"} if remote.name == "pi" else set())
    for step in report.steps:
        there = [timing for timing in step.timings if timing.device == remote.name]
        assert bool(there) == (step.step in served)
        for timing in there:
            gates = {gate.name: gate for gate in step.gates}
            assert gates[f"share of answers as on this machine on {remote.name}"].value == 1
            assert timing.fingerprint["architecture"] == "aarch64" and len(timing.latency.seconds) == 5
            assert ("int8" in timing.precision) == ("int8" in step.step)
            assert timing.latency.percentile(50) is None and "emulated hardware" in timing.doubts[0]
    table = (tmp_path / "runs" / "small" / "report.md").read_text()
    assert table.count("| emulated |") >= len(served)


def test_bench_without_a_recipe(remote: Device, ran: Ran, tmp_path: Path) -> None:
    file = Path(__file__).parents[2] / ".emulated" / remote.name / f"{remote.name}.yaml"
    argv = ["devices", "bench", str(file), str(ran.folder / "onnx_int8"), "--json", str(tmp_path / "out.json")]
    done = CliRunner().invoke(cli, argv, catch_exceptions=False)
    assert done.exit_code == 0 and "emulated" in done.output and "100.0%" in done.output
    (entry,) = json.loads((tmp_path / "out.json").read_text())
    assert entry["percentiles"] == {"p50": None, "p90": None, "p99": None}
    assert entry["timing"]["fingerprint"]["architecture"] == "aarch64"
