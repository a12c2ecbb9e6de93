"""Every target end to end with real packages in environments of their own: slow, and they need a package index."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import edgekd
from edgekd import bundle, pipeline
from edgekd.artifact import Artifact
from edgekd.errors import RefusedError
from edgekd.recipe import load
from edgekd.store import Store
from tests.conftest import Quiet

pytestmark = pytest.mark.slow

TFLITE = """\
  - {{id: tflite, stage: export_tflite, source: student, precision: {precision}, lengths: [16],
      per_channel: {per_channel}, max_drop: 0.1}}
devices: [{devices}]
"""
OLD_RUNTIME = """\
name: old
provider: {type: venv, packages: ["tflite-runtime==2.14.0", "numpy<2"]}
runtimes: [tflite]
run: {min_runs: 8, min_s: 0, repeats: 1, warmup_s: 0.01}
"""
EVERY = """\
  - {id: openvino, stage: export_openvino, source: student}
  - {id: openvino_int8, stage: export_openvino, source: student, precision: int8, max_drop: 0.1}
  - {id: tflite, stage: export_tflite, source: student, lengths: [16]}
  - {id: tflite_int8, stage: export_tflite, source: student, precision: int8, lengths: [16], max_drop: 0.1}
  - {id: executorch, stage: export_executorch, source: student}
  - {id: executorch_int8, stage: export_executorch, source: student, precision: int8, max_drop: 0.1}
devices: [quick]
"""
STEPS = ["onnx", "onnx_int8", "openvino", "openvino_int8", "tflite", "tflite_int8", "executorch", "executorch_int8"]


def runs(root: Path, recipe: Path) -> Path:
    pipeline.run(load(recipe), Store(root / "runs" / ".store"), root / "runs", Quiet())
    return root / "runs" / "small"


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="tflite-runtime has no wheel for this Python")
@pytest.mark.parametrize("precision", ["int8_weights", "int8"])
def test_what_tflite_runtime_runs_wrong_is_refused_there(
    precision: str, write_recipe: Callable[..., Path], tmp_path: Path
) -> None:
    def tried(per_channel: bool, devices: str) -> None:
        steps = TFLITE.format(precision=precision, per_channel=str(per_channel).lower(), devices=devices)
        recipe = write_recipe(tmp_path, ("devices: [quick]\n", steps))
        (tmp_path / "devices" / "old.yaml").write_text(OLD_RUNTIME)
        runs(tmp_path, recipe)

    tried(per_channel=True, devices="quick")
    with pytest.raises(RefusedError, match="on old is"):
        tried(per_channel=True, devices="quick, old")
    tried(per_channel=False, devices="quick, old")


def test_a_plain_install_is_enough_for_a_target_whose_converter_it_lacks(
    write_recipe: Callable[..., Path], tmp_path: Path
) -> None:
    python = tmp_path / "plain" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", python.parents[1]], check=True)
    subprocess.run([python, "-m", "pip", "install", "-q", Path(edgekd.__file__).parents[1]], check=True)
    steps = TFLITE.format(precision="int8", per_channel="true", devices="quick")
    recipe = write_recipe(tmp_path, ("devices: [quick]\n", steps))
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    argv = [python, "-m", "edgekd", "run", recipe]
    subprocess.run(argv, check=True, cwd=tmp_path, env={**kept, "EDGEKD_CACHE": str(tmp_path / "cache")})
    found = Artifact.load(tmp_path / "runs" / "small" / "tflite")
    assert (found.path / "model.tflite").read_bytes()[4:8] == b"TFL3"
    assert {"litert-torch", "ai-edge-quantizer"} < found.manifest.libraries.keys()
    report = json.loads((tmp_path / "runs" / "small" / "report.json").read_text())["steps"][-1]
    assert report["score"]["value"] > 0.9 and all(gate["passed"] for gate in report["gates"])
    assert report["timings"][0]["fingerprint"]["ai-edge-litert"] and "int8" in report["timings"][0]["precision"]


def test_every_bundle_passes_its_selftest_with_its_own_requirements(
    write_recipe: Callable[..., Path], tmp_path: Path
) -> None:
    folder = runs(tmp_path, write_recipe(tmp_path, ("devices: [quick]\n", EVERY)))
    for step in STEPS:
        made = bundle.bundle(folder / step, tmp_path / "bundles")
        python = tmp_path / "environments" / step / "bin" / "python"
        subprocess.run([sys.executable, "-m", "venv", python.parents[1]], check=True)
        install = [
            python,
            "-m",
            "pip",
            "install",
            "-q",
            "--no-deps",
            "--require-hashes",
            "-r",
            made / "requirements.txt",
        ]
        subprocess.run(install, check=True, capture_output=True)
        done = subprocess.run([python, made / "predict.py", "--selftest"], capture_output=True, text=True)
        assert done.returncode == 0 and "selftest passed: 16 rows" in done.stdout, (step, done.stderr)
