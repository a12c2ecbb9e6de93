"""The project's own recipes and studies: each says what it shows, is planned as it is, and is run in small."""

import json
import runpy
from dataclasses import replace
from pathlib import Path

import pytest

from edgekd import studying
from edgekd.extras import lacking
from edgekd.pipeline import run
from edgekd.plan import plan
from edgekd.recipe import Recipe, load
from edgekd.report import Report
from edgekd.store import Store
from edgekd.study import read
from edgekd.study_plan import trials
from tests.conftest import Quiet

ROOT = Path(__file__).parents[1]
RECIPES = sorted(path.stem for path in (ROOT / "recipes").glob("*.yaml"))
STUDIES = sorted(path.stem for path in (ROOT / "recipes" / "studies").glob("*.yaml"))
QUICK = "batch_size: 16, learning_rate: 2.0e-3"
TEACHER = ["teacher.learning_rate=2.0e-3", "teacher.batch_size=16", "teacher.epochs=16"]
TWO_PHASES = [
    "student.model={from: teacher, layers: 2}",
    f"student.phases={{intermediate: {{epochs: 4, {QUICK}}}, prediction: {{epochs: 8, {QUICK}}}}}",
    "student.min_kept=0.5",
]
# What is set to run each on the small corpus and encoder. Teachers and students with equal settings are made once.
SMALL = {
    "cola_int8": TWO_PHASES,
    "every_target": TWO_PHASES,
    "ner_dictionary": [
        f"student.phases={{chain: {{epochs: 8, {QUICK}}}}}",
        "student.model={from: teacher, layers: 2}",
        "student.min_kept=0",
        f"bilstm.phases={{chain: {{epochs: 8, {QUICK}}}}}",
        "bilstm.model={lstm: 16}",
    ],
    "sst2_uncertainty": [f"student.phases={{uncertainty: {{epochs: 6, keep: 0.5, {QUICK}}}}}", "student.min_kept=0.5"],
    "sst2_progressive": [
        f"student.phases={{transfer: {{epochs: 1, min_steps: 60, {QUICK}}}, finetune: {{epochs: 8, {QUICK}}}}}",
        "student.model={from: teacher, layers: 2}",
        "student.min_kept=0.5",
    ],
}


class Small:
    """The recipes on small data, in one store, and their runs."""

    def __init__(self, root: Path, corpus: Path, tagged: Path, encoder: Path) -> None:
        self.store, self.runs = Store(root / "store"), root / "runs"
        self._corpus, self._tagged, self._encoder = corpus, tagged, encoder

    def settings(self, name: str) -> list[str]:
        if name == "ner_dictionary":
            data = f"data={{source: {self._tagged}, task: tokens, max_length: 32}}"
        else:
            few = ", per_class: 40" if name == "sst2_progressive" else ""
            data = f"data={{source: {self._corpus}, text: [sentence], labels: ['no', 'yes'], max_length: 32{few}}}"
        return [data, f"teacher.model={self._encoder}", *TEACHER, *SMALL.get(name, [])]

    def recipe(self, name: str) -> Recipe:
        settings = self.settings(name)
        file = ROOT / "recipes" / f"{name}.yaml"
        # Eight bits of 32 channels and 40 rows to score say nothing of a limit.
        for step in load(file, settings, online=False).steps:
            settings += [f"{step.id}.max_drop=0.3"] if hasattr(step.stage, "max_drop") else []
        return load(file, [*settings, "devices=[]"], online=False)

    def run(self, recipe: Recipe) -> Report:
        found = run(recipe, self.store, self.runs, Quiet())
        assert all(step.passed for step in found.steps)
        return found


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, corpus: Path, tagged_corpus: Path, encoder: Path) -> Small:
    return Small(tmp_path_factory.mktemp("recipes"), corpus, tagged_corpus, encoder)


def test_the_gallery_is_not_stale() -> None:
    """A head that lacks what it shows, needs or takes fails here too."""
    generated = runpy.run_path(str(ROOT / "docs" / "generate.py"))["recipes"]()
    assert (ROOT / "docs" / "recipes.md").read_text() == generated, "type: make docs"
    assert sorted(SMALL) == RECIPES


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("online", [True, False])
def test_a_recipe_is_one_with_a_hub_and_without(name: str, online: bool) -> None:
    recipe = load(ROOT / "recipes" / f"{name}.yaml", online=online)
    assert recipe.name == name and bool(recipe.overrides) is not online


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_planned(name: str, small: Small) -> None:
    recipe = load(ROOT / "recipes" / f"{name}.yaml", [f"teacher.model={small._encoder}"], online=False)
    assert [planned.step for planned in plan(recipe, small.store, small.runs)] == list(recipe.steps)


@pytest.mark.parametrize("name", [name for name in RECIPES if name != "every_target"])
def test_a_recipe_runs_in_small(name: str, small: Small) -> None:
    scores = {step.step: step.score for step in small.run(small.recipe(name)).steps}
    student = scores["student"]
    assert student is not None and student.value > 0.7
    history = json.loads((small.runs / name / "student" / "training.json").read_text())
    match name:
        case "sst2_uncertainty":
            assert all(record["taught"] == pytest.approx(0.5) for record in history)
        case "sst2_progressive":
            assert [record["phase"] for record in history[-9:]] == ["transfer", *["finetune"] * 8]
            assert history[-9]["open"] == 1


@pytest.mark.parametrize("target", ["onnx", "openvino", "tflite", "executorch"])
def test_every_target_runs_in_small(target: str, small: Small) -> None:
    recipe = small.recipe("every_target")
    chosen = [step for step in recipe.steps if step.id.startswith(target)]
    if lacks := sorted({extra for step in chosen for extra in lacking(step.stage.needs())}):
        pytest.skip(f"not installed: pip install 'edgekd[{','.join(lacks)}]'")
    report = small.run(replace(recipe.scoring(*(step.id for step in chosen)), name=f"every_{target}"))
    assert {step.id for step in chosen} <= {step.step for step in report.steps}


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_runs_in_small(name: str, small: Small) -> None:
    """Its base and the last value of two axes, by one seed; that the others are recipes is checked when it is read."""
    settings = [setting for setting in small.settings("cola_int8") if not setting.startswith("student.phases")]
    quick = [f"student.phases.{phase}={{epochs: 2, {QUICK}}}" for phase in ("intermediate", "prediction")]
    study = read(ROOT / "recipes" / "studies" / f"{name}.yaml", [*settings, "student.phases={}", *quick], online=False)
    base, *others = study.variants
    last = {axis: one for one in others for axis, label in one.labels.items() if label != base.labels[axis]}
    ends = [last[axis] for axis in (min(last), max(last))]
    seed = study.options.seeds[0]
    cut = replace(study, variants=(base, *ends), options=study.options.model_copy(update={"seeds": (seed,)}))
    assert len(trials(cut, small.store, small.runs)) == len(ends) + 1
    results = studying.run(cut, small.store, small.runs, Quiet())
    assert len(results.outcomes) == len(ends) + 1 and all(outcome.score is not None for outcome in results.outcomes)


@pytest.mark.parametrize(("name", "variants"), [("uncertainty", 4), ("uncertainty_estimators", 5), ("few_samples", 9)])
def test_a_benchmarks_study_is_one(name: str, variants: int) -> None:
    study = read(ROOT / "benchmarks" / f"{name}.yaml", online=True)
    assert len(study.variants) == variants and study.measure == "student"
