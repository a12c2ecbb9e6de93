"""The chain on real data and a real encoder, in small. Needs a folder named by EDGEKD_TEST_DATA; run by make test-data.

The folder holds glue/CoLA, glue/SST-2 and glue/STS-B in GLUE's TSV form, and models/all-MiniLM-L6-v2.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.real_data
RECIPE = Path(__file__).parents[1] / "recipes" / "cola_int8.yaml"
TASKS = {
    "CoLA": "{{source: {0}/glue/CoLA, preset: cola, columns: [origin, label, mark, sentence], quoting: none, "
    "max_length: 64, limit: 320}}",
    "SST-2": "{{source: {0}/glue/SST-2, preset: sst2, quoting: none, max_length: 64, limit: 320}}",
    "STS-B": "{{source: {0}/glue/STS-B, preset: stsb, label: score, quoting: none, limit: 320}}",
}
ROWS = {"CoLA": 1043, "SST-2": 872, "STS-B": 1500}


@pytest.fixture
def folder() -> Path:
    place = os.environ.get("EDGEKD_TEST_DATA")
    if not place:
        pytest.skip("EDGEKD_TEST_DATA names no folder with real data")
    return Path(place).resolve()


@pytest.mark.parametrize("task", TASKS)
def test_the_chain_runs_on_real_data(task: str, folder: Path, tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "edgekd", "run", str(RECIPE), "--offline", "--runs", str(tmp_path)]
    settings = {
        "data": TASKS[task].format(folder),
        "teacher.model": str(folder / "models" / "all-MiniLM-L6-v2"),
        "teacher.epochs": "1",
        "student.epochs": "1",
        "onnx_int8.max_drop": "0.2",
        "devices": "[]",
    }
    for field, value in settings.items():
        argv += ["--set", f"{field}={value}"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((tmp_path / "cola_int8" / "report.json").read_text())
    assert {step["score"]["rows"] for step in report["steps"]} == {ROWS[task]}
    sizes = {step["step"]: step["model_size"] for step in report["steps"]}
    assert sizes["onnx_int8"] <= 0.27 * sizes["onnx"]
