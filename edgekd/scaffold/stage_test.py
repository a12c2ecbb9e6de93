"""The stage example does what it says, and its artifact passes the gates of a run."""

from pathlib import Path

import pytest

from edgekd import run
from edgekd.testing import write_recipe


def test_it_runs_in_a_recipe_and_zeroes_the_smallest_weights(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    report = run(write_recipe(tmp_path, "{id: made, stage: example, share: 0.25}"), tmp_path / "runs")
    teacher, made = report.steps
    assert made.score is not None and teacher.score is not None and made.passed
    assert made.facts["zero"] == pytest.approx(0.25, abs=0.01)
    before, after = (
        load_file(tmp_path / "runs" / "small" / step / "model.safetensors")["bert.encoder.layer.0.output.dense.weight"]
        for step in ("teacher", "made")
    )
    kept = after != 0
    assert (after[kept] == before[kept]).all() and before[~kept].abs().max() <= before[kept].abs().min()
