"""The runtime example answers as ONNX Runtime does, through the process that scores every artifact."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np

from edgekd import answers, run
from edgekd.artifact import Artifact
from edgekd.board import Board
from edgekd.data import Data
from edgekd.device import Device
from edgekd.measure import outputs
from edgekd.recipe import load
from edgekd.testing import write_recipe


def test_it_answers_as_the_runtime_of_its_source(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, "{id: onnx, stage: export_onnx}")
    run(recipe, tmp_path / "runs")
    expected = answers.read(tmp_path / "runs" / "small")
    assert expected is not None
    # An artifact of the runtime's own format. Where a stage makes it, take that step of the recipe instead.
    source = Artifact.load(tmp_path / "runs" / "small" / "onnx")
    shutil.copytree(source.path, tmp_path / "own")
    own = Artifact.seal(tmp_path / "own", replace(source.manifest, format="example"))
    read = load(recipe)
    with Board(Device(name="local")) as board:
        found, facts = outputs(own, Data(read.data, read.seed).dev.texts, board, lambda label, done, total: None)
    np.testing.assert_allclose(found, expected.logits["onnx"], atol=1e-4)
    assert facts["padding"] < 1e-4
