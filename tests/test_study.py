"""Studies: what variants share is made once, the table says what the runs say, and what goes wrong is told."""

import json
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from edgekd import pipeline, study_files, study_picture, study_plan, studying
from edgekd.errors import EdgekdError
from edgekd.plan import plan
from edgekd.recipe import load
from edgekd.store import Store
from edgekd.study import read
from edgekd.study_results import Outcome, Results, mean
from tests.conftest import Quiet
from tests.test_architecture import HEAVY

STUDY = """\
name: tiny
recipe: recipe.yaml
measure: student
against: teacher
seeds: [1, 2]
seeds_of: [student]
set: {student.phases.prediction.epochs: 2}
axes:
  student.phases.intermediate.epochs: [3, 0]
  gate:
    free: {}
    strict: {student.min_kept: 1.5}
"""


@dataclass
class Studied:
    """A finished study of the small recipe."""

    root: Path
    watcher: Quiet

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    @property
    def store(self) -> Store:
        return Store(self.runs / ".store")

    @property
    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.runs / "tiny" / "study.json").read_text())
        return found


@pytest.fixture(scope="module")
def studied(tmp_path_factory: pytest.TempPathFactory, write_recipe: Callable[..., Path]) -> Studied:
    root = tmp_path_factory.mktemp("studied")
    write_recipe(root, ("epochs: 16", "epochs: 8"))
    found = Studied(root, Quiet())
    studying.run(read(write(root)), found.store, found.runs, found.watcher)
    return found


def write(root: Path, *replacements: tuple[str, str]) -> Path:
    text = STUDY
    for old, new in replacements:
        assert old in text, old
        text = text.replace(old, new)
    (root / "tiny.yaml").write_text(text)
    return root / "tiny.yaml"


def test_what_variants_share_is_made_once(studied: Studied) -> None:
    # One teacher; a student for each seed and epochs, since a limit makes no other artifact; no export at all.
    made = [line for line in studied.watcher.lines if line.startswith("  matthews") and not line.endswith("cached")]
    assert len(made) == len(list((studied.store.root / "artifacts").glob("*"))) == 5
    runs = studied.json["outcomes"]
    assert len(runs) == 8 and len({run["key"] for run in runs}) == 4
    assert len({run["against"] for run in runs}) == 1
    plain = plan(load(studied.root / "recipe.yaml"), studied.store, studied.runs)
    assert plain[0].cached and plain[0].key in {path.name for path in (studied.store.root / "artifacts").glob("*")}


def test_a_seed_of_a_step_counts_as_the_recipes(studied: Studied) -> None:
    def keys(*settings: str) -> list[str]:
        return [item.key for item in plan(load(studied.root / "recipe.yaml", settings), studied.store, studied.runs)]

    assert keys("student.seed=7") == keys()  # the recipe's
    other = keys("student.seed=8")
    assert other[0] == keys()[0] and not set(other[1:]) & set(keys())


def test_the_table_is_what_the_runs_say(studied: Studied) -> None:
    raw = studied.json
    scores = {(run["variant"], run["seed"]): run["score"] for run in raw["outcomes"]}
    base, *others = [summary["variant"] for summary in raw["summaries"]]
    assert base == "epochs 3, free" and len(others) == 3
    half = 12.706204736 / 2**0.5  # t of 97.5 % with one degree of freedom, over the root of n
    table = (studied.runs / "tiny" / "study.md").read_text()
    for summary in raw["summaries"]:
        name = summary["variant"]
        values = [scores[name, 1], scores[name, 2]]
        middle, spread = statistics.mean(values), half * statistics.stdev(values)
        assert summary["score"]["value"] == pytest.approx(middle)
        if spread:
            assert summary["score"]["low"] == pytest.approx(middle - spread)
            assert f"| {name} | 2 | {middle:.4f} | {middle - spread:.4f} to {middle + spread:.4f} |" in table
        else:
            assert summary["score"]["low"] is None and f"| {name} | 2 | {middle:.4f} | - |" in table
        shares = [value / raw["outcomes"][0]["against"] for value in values]
        assert summary["share"]["value"] == pytest.approx(statistics.mean(shares))
        if name != base:
            gains = [scores[name, seed] - scores[base, seed] for seed in (1, 2)]
            assert summary["difference"]["value"] == pytest.approx(statistics.mean(gains))
            high = statistics.mean(gains) + half * statistics.stdev(gains)
            assert summary["difference"]["high"] == (pytest.approx(high) if statistics.stdev(gains) else None)
    assert len(set(scores.values())) > 2, scores  # or the table would tell nothing
    assert "not timed" in (studied.runs / "tiny" / "epochs-3-free-seed1" / "report.md").read_text()


def test_a_refused_variant_is_told_and_counts(studied: Studied) -> None:
    refused = [run for run in studied.json["outcomes"] if run["refused"]]
    assert {run["labels"]["gate"] for run in refused} == {"strict"} and len(refused) == 4
    assert all(run["score"] is not None for run in refused)
    table = (studied.runs / "tiny" / "study.md").read_text()
    assert "- epochs 3, strict: the same artifacts as 'epochs 3, free'" in table
    assert "- epochs 3, strict: seed 1: 'student' is refused: share of the source's matthews_correlation is" in table


def test_a_second_pass_only_reports(studied: Studied) -> None:
    watcher, before = Quiet(), studied.json
    studying.run(read(write(studied.root)), studied.store, studied.runs, watcher)
    assert not watcher.labels
    assert studied.json["outcomes"] == before["outcomes"]  # also the seconds of what is cached now
    assert sum(run["seconds"] is not None for run in before["outcomes"]) >= 4


def test_a_run_that_breaks_is_told_and_not_tried_again(studied: Studied) -> None:
    layers = ("student.phases.intermediate.epochs: [3, 0]", "student.model.layers: [2, 9]")
    common = ("set: {", "set: {student.phases.intermediate.epochs: 3, ")  # as those that are made
    file = write(studied.root, ("name: tiny", "name: broken"), ("seeds: [1, 2]", "seeds: [1]"), layers, common)
    watcher = Quiet()
    with pytest.raises(EdgekdError, match="2 of 4 runs failed, the first: the student cannot take these layers of 4"):
        studying.run(read(file), studied.store, studied.runs, watcher)
    (tried,) = [line for line in watcher.lines if line.startswith("  failed")]
    assert "layers of 4" in tried
    runs = json.loads((studied.runs / "broken" / "study.json").read_text())["outcomes"]
    assert [(run["score"] is None, run["failed"] != "") for run in runs] == [(False, False)] * 2 + [(True, True)] * 2
    table = (studied.runs / "broken" / "study.md").read_text()
    assert "| layers 9, free | 0 | - | - | - | - | - |" in table and "seed 1: failed: the student" in table


def test_the_order_keeps_shared_beginnings_together(studied: Studied) -> None:
    axes = ("student.phases.intermediate.epochs: [3, 0]", "teacher.epochs: [1, 2]")
    file = write(studied.root, axes, ("    strict: {student.min_kept: 1.5}", "    two: {student.epochs: 2}"))
    ordered = study_plan.trials(read(file), studied.store, studied.runs)
    assert [trial.recipe.name for trial in ordered] == [
        f"epochs-{epochs}-{other}-seed{seed}" for epochs in (1, 2) for seed in (1, 2) for other in ("free", "two")
    ]
    lines = list(study_plan.outlook(ordered))
    assert lines[0] == "[1/8] epochs 1, free, seed 1: teacher to make, student to make"
    assert lines[1].endswith("teacher shared, student to make") and lines[4].endswith(
        "teacher to make, student to make"
    )


def test_one_at_a_time_is_the_base_and_each_change(studied: Studied) -> None:
    study = read(write(studied.root, ("axes:", "design: one_at_a_time\naxes:"), ("[3, 0]", "[3, 0, 1]")))
    assert [variant.name for variant in study.variants] == ["base", "epochs 0", "epochs 1", "strict"]
    seeds = {variant.recipes[2].steps[1].stage.seed for variant in study.variants}
    assert seeds == {2} and study.variants[0].recipes[2].steps[0].stage.seed is None


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("measure:", "mesure:", "tiny.yaml:3:1: unknown field 'mesure'\n  Did you mean 'measure'?"),
        (
            "measure: student",
            "measure: studnt",
            "tiny.yaml:3:1: field 'measure': no step is called 'studnt'\n  Did you",
        ),
        ("recipe: recipe", "recipe: resipe", "tiny.yaml:2:1: no such file"),
        ("[student]", "[teacher, studnt]", "tiny.yaml:6:21: field 'seeds_of': no step is called 'studnt'"),
        ("[student]", "[onnx]", "tiny.yaml:6:1: the seeds do not reach 'student'"),
        ("[1, 2]", "[1, 1]", "tiny.yaml:5:1: seeds: a seed stands twice"),
        ("name: tiny", "name: a/b", "tiny.yaml:1:1: name: 'a/b' is not up to 100 letters"),
        ("student.phases.prediction", "studnt.phases", "tiny.yaml:7:7: 'studnt' is no field and no step"),
        ("[3, 0]", "[3, -1]", "tiny.yaml:9:43: field 'phases.intermediate.epochs': input should be greater than"),
        ("student.min_kept", "student.min_kpt", "tiny.yaml:12:14: unknown field 'min_kpt'\n  Did you mean 'min_kept'?"),
        ("{student.min_kept: 1.5}", "1.5", "tiny.yaml:12:5: field 'axes.gate.strict'"),
        ("[3, 0]", "[]", "tiny.yaml:9:3: axis 'student.phases.intermediate.epochs' has no values"),
        (
            "{student.min_kept: 1.5}",
            "{student.phases: {}}",
            "tiny.yaml:12:14: axes 'student.phases.intermediate.epochs'",
        ),
        (
            "free: {}\n    strict:",
            "a b: {}\n    a-b:",
            "tiny.yaml:8:1: variants 'epochs 3, a b' and 'epochs 3, a-b' would",
        ),
        (
            "student.min_kept: 1.5",
            "data.metric: accuracy",
            "tiny.yaml:8:1: variant 'epochs 3, strict' has another metric",
        ),
    ],
)
def test_errors_say_where(studied: Studied, old: str, new: str, expected: str) -> None:
    with pytest.raises(EdgekdError) as caught:
        read(write(studied.root, (old, new)))
    assert str(caught.value).replace(f"{studied.root}/", "").startswith(expected)


def test_a_plan_loads_nothing_heavy(studied: Studied) -> None:
    code = (
        "import sys; sys.argv = ['edgekd', *sys.argv[1:]]\n"
        "from edgekd.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        f"print('heavy:', sorted({HEAVY!r} & set(sys.modules)))"
    )
    argv = [sys.executable, "-c", code, "study", str(write(studied.root)), "--plan", "--runs", str(studied.runs)]
    out = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    assert "[8/8] epochs 0, strict, seed 2: teacher cached, student cached" in out
    assert out.rstrip().endswith("heavy: []")


def test_an_interrupted_study_goes_on(studied: Studied, tmp_path: Path) -> None:
    file = write(studied.root, ("[1, 2]", "[1]"), ("[3, 0]", "[3, 30]"), ("    strict: {student.min_kept: 1.5}\n", ""))
    argv = [sys.executable, "-m", "edgekd", "study", str(file), "--runs", str(tmp_path)]
    argv += ["--store", str(studied.store.root), "--set", "student.checkpoint_s=0.01"]
    process = subprocess.Popen(
        argv,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a background job's children ignore it
    )
    # The first run is cached; the second's training has begun where its first checkpoint lies.
    while process.poll() is None and not list(studied.store.root.glob("scratch/*/at-*")):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "run the same command again to go on" in err and "study.md" in out
    before = json.loads((tmp_path / "tiny" / "study.json").read_text())["outcomes"]
    assert [run["variant"] for run in before] == ["epochs 3, free"]
    assert "**Not finished**: 1 of 2 runs" in (tmp_path / "tiny" / "study.md").read_text()
    again = subprocess.run(argv, capture_output=True, text=True, check=True)
    after = json.loads((tmp_path / "tiny" / "study.json").read_text())["outcomes"]
    assert len(after) == 2 and after[:1] == before
    assert "Not finished" not in (tmp_path / "tiny" / "study.md").read_text()
    assert "epochs 30, free" in again.stdout.split("to the base", 1)[1]  # the table


def test_statistics_of_few_seeds() -> None:
    assert mean([]) is None
    (one,) = [found for found in [mean([0.4])] if found]
    assert (one.value, one.count, one.low, one.high) == (0.4, 1, None, None)
    equal = mean([0.4, 0.4])
    assert equal and equal.low is None
    three = mean([0.1, 0.2, 0.3])
    assert three and three.count == 3 and three.value == pytest.approx(0.2)
    assert three.high == pytest.approx(0.2 + 4.302652730 * 0.1 / 3**0.5)


def results(scores: dict[str, dict[int, float | None]]) -> Results:
    outcomes = tuple(
        Outcome(variant, {}, seed, f"{variant}{seed}", score, failed="" if score is not None else "it broke")
        for variant, by_seed in scores.items()
        for seed, score in by_seed.items()
    )
    common = {"name": "n", "when": "", "edgekd": "", "recipe": "r", "data": {}, "metric": "m", "overrides": ()}
    common |= {"measure": "s", "against": None, "seeds": (1, 2), "seeded": ("s",), "base": {}}
    return Results(**common, variants=tuple(scores), outcomes=outcomes)


def test_only_equal_seeds_are_compared() -> None:
    found = results({"base": {1: 0.5, 2: None}, "better": {1: 0.75, 2: 0.25}})
    base, better = found.summaries()
    assert better.difference and (better.difference.value, better.difference.count) == (0.25, 1)
    assert better.difference.low is None and better.score and better.score.value == 0.5
    assert base.difference is None and base.notes == ("seed 2: failed: it broke",)
    header, rows = study_files.table(found, found.summaries())
    assert header[-1] == "95 %" and rows[1][1:] == ["2", "0.5000", "-2.6766 to 3.6766", "+0.2500", "-"]


def test_the_picture_has_a_dot_a_score_and_the_best_on_top() -> None:
    found = results({"base": {1: 0.5, 2: 0.6}, "<better>": {1: 0.7, 2: 0.8}, "none": {1: None}})
    drawn = ElementTree.fromstring(study_picture.svg(found))
    dots = {dot[0].text: dot.attrib for dot in drawn.iter("{http://www.w3.org/2000/svg}circle")}
    best = ["<better>, seed 1: 0.7000", "<better>, seed 2: 0.8000"]
    assert list(dots) == [*best, "base, seed 1: 0.5000", "base, seed 2: 0.6000"]
    across = [float(dots[name]["cx"]) for name in dots]
    assert across[1] - across[0] == pytest.approx(across[0] - across[3], abs=0.2)  # 0.6, 0.7, 0.8
    assert float(drawn.attrib["width"]) > max(across)
    assert study_picture.svg(results({"base": {1: None}})) == ""


def test_the_shipped_study_is_one() -> None:
    study = read(Path(__file__).parents[1] / "recipes" / "studies" / "tinybert_losses.yaml", online=False)
    assert len(study.variants) == 21 and study.variants[0].name == "base"
    assert {recipe.steps[-1].id for variant in study.variants for recipe in variant.recipes.values()} == {"student"}
    assert "student.phases" in study.recipe.overrides  # the offline block, under what the axes set
    settings = {variant.name: variant.recipes[1].steps[1].stage.phases["intermediate"] for variant in study.variants}
    assert settings["no hidden"] == {
        "epochs": 10,
        "learning_rate": 1.5e-4,
        "mapping": "uniform",
        "attention_loss": "score_mse",
        "hidden_loss": "mse",
        "terms": {"hidden": 0},
    }


def test_a_recipe_without_devices_is_scored_only(studied: Studied) -> None:
    slow = load(studied.root / "recipe.yaml", ["teacher.budget={max_p50_ms: {quick: 0.001}}"])
    report = pipeline.run(slow.scoring("teacher"), studied.store, studied.runs, Quiet())  # a latency is not promised
    assert [step.step for step in report.steps] == ["teacher"] and report.steps[0].timings == ()
    empty = load(studied.root / "recipe.yaml", ["devices=[]"])
    assert empty.devices == () and [step.id for step in empty.scoring("onnx", "teacher").steps][-1] == "onnx"
