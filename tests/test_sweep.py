"""Sweeps: what is asked, what is shared, what is made where, what becomes of a process that is killed, what is told."""

import importlib.util
import json
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edgekd import sweep_files
from edgekd.errors import EdgekdError
from edgekd.executor import Made
from edgekd.executors.local import Local
from edgekd.store import Store
from edgekd.sweep import Choice, Range, Sweep, Variant, read
from edgekd.sweep_plan import Planner
from edgekd.sweep_results import Outcome, Results, importance
from edgekd.sweeping import Runner
from edgekd.watcher import Silent
from tests.conftest import Quiet

Edgekd = Callable[..., tuple[int, str, str]]

SMALL = """\
name: cheap
data: {{source: {corpus}, text: [sentence], labels: ["no", "yes"], metric: matthews_correlation, max_length: 32}}
seed: 7
steps:
  - id: teacher
    stage: finetune
    model: {encoder}
    epochs: 2
    learning_rate: 2.0e-3
    batch_size: 16
    checkpoint_s: 0.2
  - {{id: onnx, stage: export_onnx}}
  - {{id: onnx_int8, stage: quantize_onnx, max_drop: 2}}
devices: []
"""


@pytest.fixture
def recipe(tmp_path: Path, corpus: Path, encoder: Path) -> Path:
    file = tmp_path / "recipe.yaml"
    file.write_text(SMALL.format(corpus=corpus, encoder=encoder))
    return file


def runner(sweep: Sweep, root: Path, watcher: Any = None) -> Runner:
    watcher = watcher or Quiet()
    return Runner(sweep, Store(root / "store"), root / "runs", Local(), ("score", "size"), 0, watcher)


def test_what_is_asked(recipe: Path) -> None:
    found = read(recipe, ["steps.teacher.seed=1,2", "onnx_int8.embeddings=true,false"], ["teacher.epochs=1..3"])
    assert found.name == "cheap-sweep" and found.measure == "onnx_int8"
    assert found.axes == (
        Choice("teacher.seed", (1, 2)),
        Choice("onnx_int8.embeddings", (True, False)),
        Range("teacher.epochs", 1, 3, log=False),
    )
    (axis,) = read(recipe, ["teacher.budget={}, {max_mb: 3}"]).axes
    assert axis == Choice("teacher.budget", ({}, {"max_mb": 3}))
    drawn = read(recipe, [], ["teacher.learning_rate=1e-5..1e-3:log"]).axes
    assert drawn == (Range("teacher.learning_rate", 1e-5, 1e-3, log=True),)


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**63) + 1, 2**63 - 1)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(max_size=9),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    )
)
@example(1e-05)
def test_a_worker_reads_the_values_that_were_planned(value: Any) -> None:
    from edgekd.settings import parsed

    sweep = Sweep("s", Path(), (), None, (), None, "m")  # type: ignore[arg-type]
    (text,) = sweep.over(Variant(1, {"a.b": value}))
    assert parsed(text)[:2] == ("a.b", value)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "nothing is varied"),
        (["--grid", "seed"], "--grid seed: no '='"),
        (["--grid", "seed="], "--grid seed=: no values"),
        (["--grid", "seed=1,1"], "a value stands twice"),
        (["--grid", "seed=1,{"], "--grid seed:1:5"),
        (["--grid", "teacher=1", "--grid", "teacher.seed=1"], "are set both"),
        (["--grid", "teacher.sead=1"], "unknown field 'sead'"),
        (["--grid", "teacher.seed=x"], "(Variant 1: teacher.seed x.)"),
        (["--grid", "seed=1", "--measure", "int8"], "no step is called 'int8'"),
        (["--grid", "seed=1", "--objective", "speed"], "objectives are score, p50, size"),
        (["--grid", "seed=1", "--on", "rey"], "Did you mean 'ray'?"),
        (["--grid", "seed=1", "--cpus", "2"], "--cpus says nothing to --on local"),
        (["--grid", "seed=1", "--name", "a/b"], "It names a folder"),
        (["--grid", "seed=1", "--storage", "sqlite:///x.db"], "--storage is of a search"),
        (["--range", "teacher.epochs=1..3"], "Search in it: --search 20"),
        (["--range", "teacher.epochs=3..1"], "not from low to high"),
        (["--range", "teacher.epochs=1-3"], "no numbers LOW..HIGH"),
        (["--range", "teacher.learning_rate=0..1:log"], "A logarithm needs numbers above 0"),
        (["--range", "teacher.epochs=1..3", "--search", "2", "--plan"], "there is no plan"),
    ],
)
def test_what_is_asked_wrong_is_said(edgekd: Edgekd, recipe: Path, arguments: list[str], told: str) -> None:
    code, _, err = edgekd("sweep", recipe, *arguments, "--runs", recipe.parent / "runs")
    assert code == 1 and told in err, err
    assert not (recipe.parent / "runs").exists()


def test_steps_that_variants_share_are_planned_once(edgekd: Edgekd, recipe: Path) -> None:
    grid = ["--grid", "teacher.seed=1,2", "--grid", "onnx_int8.embeddings=true,false"]
    grid += ["--grid", "onnx_int8.per_channel=true,false", "--grid", "onnx_int8.samples=8,16,32"]
    code, out, _ = edgekd("sweep", recipe, *grid, "--plan", "--runs", recipe.parent / "runs")
    assert code == 0 and out == "24 variants, 72 steps: 28 different ones, 0 of them there, 28 to make\n"


def test_a_plan_has_parents_first_and_the_keys_of_a_run(recipe: Path) -> None:
    from edgekd.plan import plan
    from edgekd.recipe import load

    sweep, store = read(recipe, ["teacher.seed=1,2"]), Store(recipe.parent / "store")
    found = Planner(sweep, store)(sweep.grid())
    seen: set[str] = set()
    for node in found.nodes:
        assert set(node.parents) <= seen
        seen.add(node.key)
    assert [node.step for node in found.nodes if node.trains] == ["teacher", "teacher"]
    alone = plan(load(recipe, ["teacher.seed=2"]), store, recipe.parent)
    assert [item.key for item in alone] == list(found.keys[2].values())


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory, corpus: Path, encoder: Path) -> Iterator[tuple[Path, list[str]]]:
    root = tmp_path_factory.mktemp("swept")
    (root / "recipe.yaml").write_text(SMALL.format(corpus=corpus, encoder=encoder))
    grid = ["teacher.seed=1,2", "onnx_int8.embeddings=true,false", "onnx_int8.budget={}, {max_mb: 0.05}"]
    sweep, watcher = read(root / "recipe.yaml", grid), Quiet()
    made = runner(sweep, root, watcher)
    made.run(list(sweep.grid()))
    yield root / "runs" / "cheap-sweep", watcher.lines


def test_a_sweep_makes_each_step_once_and_tells_all(swept: tuple[Path, list[str]]) -> None:
    folder, lines = swept
    raw = json.loads((folder / "sweep.json").read_text())
    assert (raw["steps"], raw["distinct"], raw["cached"], len(raw["made"])) == (24, 8, 0, 8)
    assert [made["step"] for made in raw["made"]].count("teacher") == 2
    assert len({made["where"] for made in raw["made"]}) == 1, "one process makes one after another"
    assert str(os.getpid()) not in raw["made"][0]["where"]
    by_number = {one["number"]: one for one in raw["outcomes"]}
    assert by_number[1]["size"] < by_number[3]["size"], "embeddings in 8 bits are smaller"
    refused = [one["number"] for one in raw["outcomes"] if one["refused"]]
    assert set(refused) <= {2, 4, 6, 8} and {4, 8} <= set(refused), "no more than 0.05 MB"
    assert set(raw["front"]) and not set(raw["front"]) & set(refused)
    assert lines[0] == "8 variants, 24 steps: 8 different ones, 0 of them there, 8 to make"
    told = (folder / "sweep.md").read_text()
    for part in ("## What matters", "24 steps in all, 8 different ones", "What ran where (local)", "budget: megabytes"):
        assert part in told


def test_compare_reads_a_sweep(swept: tuple[Path, list[str]], edgekd: Edgekd) -> None:
    code, out, err = edgekd("compare", swept[0], "--step", "onnx_int8")
    assert code == 0, err
    assert "0001" in out and "0003" in out


def test_what_is_there_is_not_made_again(swept: tuple[Path, list[str]]) -> None:
    root = swept[0].parents[1]
    sweep, watcher = read(root / "recipe.yaml", ["teacher.seed=2,3"], name="more"), Quiet()
    again = runner(sweep, root, watcher)
    assert [outcome.failed for outcome in again.run(list(sweep.grid()))] == ["", ""]
    assert watcher.lines[0] == "2 variants, 6 steps: 6 different ones, 3 of them there, 3 to make"


def test_a_variant_that_fails_is_a_result_and_what_hangs_on_it_is_not_made(recipe: Path, edgekd: Edgekd) -> None:
    # An encoder takes no more positions than it has: it fails in training, and the other variant goes on.
    data = recipe.read_text().replace("max_length: 32", "max_length: 500")
    recipe.write_text(data)
    text = "the cat sees a dog " * 600
    corpus = recipe.parent / "long"
    corpus.mkdir()
    for name in ("train", "dev"):
        (corpus / f"{name}.csv").write_text("sentence,label\n" + f"{text},yes\nthe dog,no\n" * 8)
    arguments = ["--grid", f"data.source={corpus}", "--objective", "score", "--runs", recipe.parent / "runs"]
    code, out, err = edgekd("sweep", recipe, *arguments)
    assert code == 1 and "1 of 1 variants failed, the first: " in err and "the encoder takes" in err
    raw = json.loads((recipe.parent / "runs" / "cheap-sweep" / "sweep.json").read_text())
    assert [made["step"] for made in raw["made"]] == ["teacher"] and "onnx" not in out.replace("cheap", "")[:200]


def _kill_once(watched: Path, runs: list[int]) -> None:
    """Kill the first child process, once a training has left a checkpoint."""
    import multiprocessing

    end = time.monotonic() + 120
    while time.monotonic() < end:
        if any(watched.glob("*/at-*")) and (children := multiprocessing.active_children()):
            os.kill(children[0].pid or 0, signal.SIGKILL)
            runs.append(children[0].pid or 0)
            return
        time.sleep(0.01)


def test_a_killed_process_costs_its_step_alone(recipe: Path) -> None:
    sweep, watcher = read(recipe, ["teacher.seed=1,2"], settings=["teacher.epochs=30"]), Quiet()
    killed: list[int] = []
    killer = threading.Thread(target=_kill_once, args=(recipe.parent / "store" / "scratch", killed))
    killer.start()
    outcomes = runner(sweep, recipe.parent, watcher).run(list(sweep.grid()))
    killer.join()
    assert killed and "  a process was killed; teacher begins where it was" in watcher.lines, watcher.lines
    assert [outcome.failed for outcome in outcomes] == ["", ""]


def test_importance_by_hand() -> None:
    figures = {(1, "a"): 1.0, (1, "b"): 1.0, (2, "a"): 3.0, (2, "b"): 3.0}
    found = [
        Outcome(number, {"x": x, "y": y}, "", score=value) for number, ((x, y), value) in enumerate(figures.items())
    ]
    assert importance(found, "score") == {"x": 1.0, "y": 0.0}
    assert importance(found, "p50") == {} and importance(found[:2], "score") == {}


def outcomes(*figures: tuple[float, float, int]) -> tuple[Outcome, ...]:
    return tuple(
        Outcome(number, {"x": number}, "k", score, p50, "local", size)
        for number, (score, p50, size) in enumerate(figures, start=1)
    )


def results(found: tuple[Outcome, ...]) -> Results:
    objectives = ("score", "p50", "size")
    return Results(
        "s", "now", "0", "r", "f1", "int8", objectives, 9, {}, (), "local", 9, 5, 1, found,  # type: ignore[arg-type]
        ({"step": "a", "key": "k" * 32, "where": "host 7, node 1", "seconds": 2.0, "refused": "", "failed": ""},),
    )  # fmt: skip


def test_the_front_by_hand() -> None:
    found = outcomes((0.9, 2.0, 10), (0.9, 2.0, 11), (0.8, 1.0, 20), (0.7, 3.0, 30), (0.95, 9.0, 90))
    bad = Outcome(6, {"x": 6}, "k", 0.99, 0.1, "local", 1, refused="drop of f1 is 1")
    assert [one.number for one in results((*found, bad)).front] == [1, 3, 5]


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 4)), max_size=12))
def test_the_front_is_what_none_beats(figures: list[tuple[float, float, int]]) -> None:
    def beats(one: Outcome, other: Outcome) -> bool:
        a, b = ((-(each.score or 0), each.p50 or 0, each.size or 0) for each in (one, other))
        return all(x <= y for x, y in zip(a, b, strict=True)) and a != b

    found = outcomes(*figures)
    expected = [one.number for one in found if not any(beats(other, one) for other in found)]
    assert [one.number for one in results(found).front] == expected


def test_what_is_told_and_drawn(tmp_path: Path) -> None:
    from xml.etree import ElementTree

    sweep_files.write(results(outcomes((0.9, 2e-3, 10), (0.8, 1e-3, 20))), tmp_path)
    text = (tmp_path / "sweep.md").read_text()
    assert "| 1 | 1 | 0.9000 | 2.00 | 0.0 | front |" in text and "**Not finished**: 2 of 9 variants" in text
    assert "| host, node 1 | 1 | 2 |" in text
    drawn = ElementTree.parse(tmp_path / "sweep.svg").getroot()
    assert len([one for one in drawn.iter() if one.tag.endswith("circle")]) == 4, "two panels of two variants"


@pytest.mark.skipif(importlib.util.find_spec("optuna") is None, reason="optuna is not installed")
def test_a_search_goes_on_where_it_was_and_finds_the_best(recipe: Path) -> None:
    from edgekd.searching import default_storage, search

    sweep = read(recipe, ["onnx_int8.per_channel=true,false"], ["teacher.learning_rate=1e-5..1e-1:log"])
    asked: list[list[Variant]] = []

    def run(variants: Any) -> list[Outcome]:
        asked.append(list(variants))
        found = []
        for one in variants:
            off = abs(math.log10(one.values["teacher.learning_rate"]) + 3)
            refused = "too large" if off > 1.8 else ""
            figures = (
                {} if refused else {"score": 1 - off / 4, "size": 10 if one.values["onnx_int8.per_channel"] else 9}
            )
            found.append(Outcome(one.number, one.values, "k", refused=refused, **figures))  # type: ignore[arg-type]
        return found

    url = default_storage(recipe.parent / "runs")
    search(sweep, ("score", "size"), 6, 3, url, 0, run)
    assert [len(each) for each in asked] == [3, 3]
    first = [one.values for each in asked for one in each]
    weights = search(sweep, ("score", "size"), 30, 4, url, 0, run)
    assert [one.values for one in asked[2]] == first, "what is kept comes first"
    assert sum(map(len, asked[2:])) == 30
    best = max((run([one])[0].score or 0) for each in asked[2:] for one in each)
    assert best > 0.9
    assert weights["size"]["onnx_int8.per_channel"] > 0.5
    with pytest.raises(EdgekdError, match="a search called cheap-sweep with other objectives is kept"):
        search(sweep, ("score",), 3, 1, url, 0, run)
    with pytest.raises(EdgekdError, match="cannot be kept in nosuch"):
        search(sweep, ("score",), 3, 1, "nosuch://x", 0, run)


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed")
def test_ray_is_told_when_there_is_no_cluster(recipe: Path) -> None:
    from edgekd.executors.ray import Ray

    sweep = read(recipe, ["teacher.seed=1"])
    nodes = Planner(sweep, Store(recipe.parent / "store"))(sweep.grid()).nodes
    with pytest.raises(EdgekdError, match=r"no Ray cluster at 127\.0\.0\.1:1"):
        list(Ray(address="127.0.0.1:1").run(nodes, lambda node: {}, Silent().say))


def test_made_tells_what_may_be_used() -> None:
    assert Made("k").usable and not Made("k", refused="x").usable and not Made("k", failed="x").usable


def test_a_step_that_kills_its_process_each_time_fails_alone(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # What torch loads when it begins ends the process of the teacher with seed 1, and of no other.
    sweep = read(recipe, ["teacher.seed=1,2"])
    broken = recipe.parent / "broken"
    broken.mkdir()
    (broken / "sitecustomize.py").write_text(
        "import os, edgekd.sweep_worker as worker\n"
        "make = worker.make\n"
        "def ended(job):\n"
        "    return os._exit(9) if 'teacher.seed=1' in job['settings'] else make(job)\n"
        "worker.make = ended\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(broken))
    watcher = Quiet()
    first, second = runner(sweep, recipe.parent, watcher).run(list(sweep.grid()))
    assert first.failed == "its process was killed 4 times" and not second.failed and second.score is not None
    assert len([line for line in watcher.lines if "a process was killed" in line]) == 4
