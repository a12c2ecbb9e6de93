"""The project's own recipes of methods, planned as they are and run in small; and the studies beside them."""

import json
from pathlib import Path

import pytest

from edgekd.pipeline import run
from edgekd.plan import plan
from edgekd.recipe import load
from edgekd.store import Store
from edgekd.study import read
from tests.conftest import Quiet

ROOT = Path(__file__).parents[1]
QUICK = "batch_size: 16, learning_rate: 2.0e-3"
# What is set to run each on the small corpus and encoder.
SMALL = {
    "sst2_uncertainty": [f"student.phases={{uncertainty: {{epochs: 6, keep: 0.5, {QUICK}}}}}", "student.min_kept=0.5"],
    "sst2_progressive": [
        f"student.phases={{transfer: {{epochs: 1, min_steps: 60, {QUICK}}}, finetune: {{epochs: 8, {QUICK}}}}}",
        "student.model={from: teacher, layers: 2}",
        "student.min_kept=0.5",
    ],
}


@pytest.mark.parametrize("name", SMALL)
def test_a_recipe_is_planned_and_run_in_small(name: str, corpus: Path, encoder: Path, tmp_path: Path) -> None:
    file = ROOT / "recipes" / f"{name}.yaml"
    store = Store(tmp_path / "store")
    ids = ["teacher", "student", "onnx", "onnx_int8"]
    assert [step.id for step in load(file, online=True).steps] == ids
    data = f"data={{source: {corpus}, text: [sentence], max_length: 32, labels: ['no', 'yes']"
    settings = [
        data + (", per_class: 40}" if "progressive" in name else "}"),
        f"teacher.model={encoder}",
        "teacher.learning_rate=2.0e-3",
        "teacher.batch_size=16",
        "teacher.epochs=16",
        "onnx_int8.max_drop=0.2",
        "devices=[]",
        *SMALL[name],
    ]
    recipe = load(file, settings, online=False)
    assert [planned.step.id for planned in plan(recipe, store, tmp_path / "runs")] == ids
    report = run(recipe, store, tmp_path / "runs", Quiet())
    scores = {step.step: step.score for step in report.steps}
    student, history = (
        scores["student"],
        json.loads((tmp_path / "runs" / name / "student" / "training.json").read_text()),
    )
    assert all(step.passed for step in report.steps[1:]) and student is not None and student.value > 0.7
    if name == "sst2_uncertainty":
        assert all(record["taught"] == pytest.approx(0.5) for record in history)
    else:
        assert [record["phase"] for record in history[-9:]] == ["transfer", *["finetune"] * 8]
        assert history[-9]["open"] == 1


@pytest.mark.parametrize(("name", "variants"), [("uncertainty", 8), ("few_samples", 9)])
def test_a_benchmarks_study_is_one(name: str, variants: int) -> None:
    study = read(ROOT / "benchmarks" / f"{name}.yaml", online=True)
    assert len(study.variants) == variants and study.measure == "student"
