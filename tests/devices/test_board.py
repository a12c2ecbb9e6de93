"""A whole arm64 machine under QEMU that calls itself a Pi 5: what a kernel of its own tells, and a bench over ssh."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from edgekd.board import Board
from edgekd.cli import cli
from edgekd.device import Device
from tests.conftest import Ran

pytestmark = pytest.mark.slow


def test_its_own_kernel_is_what_the_report_names(board: Device) -> None:
    with Board(board) as reached:
        found, state = reached.fingerprint(), reached.facts["state"]
    assert found["model"] == "Raspberry Pi 5 Model B Rev 1.0" and found["architecture"] == "aarch64"
    assert found["processor"] == "Arm 0x41:Cortex-A76" and found["features"] == "asimddp asimdhp"
    # Of a kernel, not of a folder: pi.sh's are this machine's.
    assert found["system"].endswith("-arm64") and found["cores"] == 2
    assert state["celsius"] is None and state["throttled"] is None and state["busy"] > 0


def test_int8_is_benched_there(board: Device, ran: Ran, tmp_path: Path) -> None:
    file = Path(__file__).parents[2] / ".emulated" / "board" / "board.yaml"
    artifacts = [str(ran.folder / step) for step in ("onnx", "onnx_int8")]
    argv = ["devices", "bench", str(file), *artifacts, "--json", str(tmp_path / "out.json")]
    done = CliRunner().invoke(cli, argv, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    for entry in json.loads((tmp_path / "out.json").read_text()):
        assert [gate["value"] for gate in entry["gates"]] == [1.0]
        assert entry["timing"]["fingerprint"]["model"].startswith("Raspberry Pi 5")
        assert ("int8" in entry["timing"]["precision"]) == ("int8" in entry["artifact"])
        assert entry["percentiles"] == {"p50": None, "p90": None, "p99": None}
