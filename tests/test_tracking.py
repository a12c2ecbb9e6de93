"""A run told to a tracker: TensorBoard, and its files read back."""

import importlib.util
import shutil
from pathlib import Path

import pytest

from edgekd import history, run
from edgekd.errors import EdgekdError
from edgekd.report import Report
from edgekd.testing import write_recipe
from edgekd.tracking import FOLDER, TRACKERS
from tests.conftest import Quiet

DEVICE = "name: quick\nrun: {min_runs: 8, min_s: 0, repeats: 1, warmup_s: 0, max_s: 5}\n"
PHASES = "{intermediate: {epochs: 2, batch_size: 16}, prediction: {epochs: 1, batch_size: 16}}"
STUDENT = f"{{id: student, stage: distill, model: {{layers: 1, from: teacher}}, phases: {PHASES}}}"


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Report]:
    pytest.importorskip("tensorboard")
    folder = tmp_path_factory.mktemp("tracked")
    recipe = write_recipe(folder, STUDENT)
    recipe.write_text(recipe.read_text().replace("devices: []", "devices: [quick]"))
    (folder / "devices").mkdir()
    (folder / "devices" / "quick.yaml").write_text(DEVICE)
    return folder, run(recipe, folder / "runs", track=["tensorboard"])


def read(folder: Path, report: Report, step: int) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard itself reads of a step: (training step, value) by name."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    told = report.steps[step]
    events = EventAccumulator(str(folder / "runs" / "small" / FOLDER / told.step / told.key[:8]))
    events.Reload()
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_losses_are_those_of_the_training(tracked: tuple[Path, Report]) -> None:
    folder, report = tracked
    found = read(folder, report, 1)  # 96 rows, 16 a step: 6 steps an epoch
    assert [at for at, _ in found["intermediate/loss"]] == [10, 12]
    assert [at for at, _ in found["prediction/loss"]] == [18], "steps are counted over all phases"
    (ten, two), epochs = found["intermediate/loss"], report.steps[1].training[:2]
    assert (10 * ten[1] + 2 * two[1]) / 12 == pytest.approx(sum(epoch["loss"] for epoch in epochs) / 2, rel=1e-5)
    assert found["prediction/soft"][0][1] == pytest.approx(report.steps[1].training[2]["soft"], rel=1e-5)
    assert found["intermediate/learning_rate"][1][1] == pytest.approx(5e-5)  # TinyBERT's, constant after the warm-up
    assert [at for at, _ in read(folder, report, 0)["finetune/hard"]] == [10, 20, 30, 40, 50, 60, 70, 72]


def test_scores_and_latencies_are_those_of_the_report(tracked: tuple[Path, Report]) -> None:
    folder, report = tracked
    for number, step in enumerate(report.steps):
        found = {name: values[-1][1] for name, values in read(folder, report, number).items()}
        middle = step.timings[0].latency.percentile(50)
        assert step.score is not None and middle is not None
        assert found["score/accuracy"] == pytest.approx(step.score.value)
        assert found["p50_ms/quick/1"] == pytest.approx(1e3 * middle.value)
        assert found["model_mb"] == pytest.approx(step.model_size / 1e6) and found["passed"] == 1


def test_a_tracker_that_fails_on_the_way_ends_no_run(tracked: tuple[Path, Report]) -> None:
    folder, report = tracked
    runs, watcher = folder / "others", Quiet()
    (runs / "small" / FOLDER).mkdir(parents=True)
    (runs / "small" / FOLDER / "student").write_text("a file where its folder would be")
    again = run(folder / "small.yaml", runs, folder / "runs" / ".store", watcher=watcher, track=["tensorboard"])
    assert [step.key for step in again.steps] == [step.key for step in report.steps]
    assert any("It is told nothing more; the run goes on" in line for line in watcher.lines)
    (runs / "small" / FOLDER).rename(runs / "small" / "kept")
    (runs / "small" / FOLDER).write_text("not even the first starts")
    with pytest.raises(EdgekdError, match="tensorboard: ") as caught:
        run(folder / "small.yaml", runs, folder / "runs" / ".store", track=["tensorboard"])
    assert caught.value.hint


def test_its_files_go_with_the_run(tracked: tuple[Path, Report]) -> None:
    folder, _ = tracked
    shutil.copytree(folder / "runs" / "small", folder / "runs" / "copied", symlinks=True)
    history.remove(folder / "runs", "copied")
    assert not (folder / "runs" / "copied").exists()


def test_one_that_is_not_installed_is_said_before_anything_runs(tmp_path: Path) -> None:
    missing = [name for name, (packages, _) in TRACKERS.items() if not any(map(importlib.util.find_spec, packages))]
    if not missing:
        pytest.skip("all of them are installed")
    with pytest.raises(EdgekdError, match=f"{missing[0]} is not installed") as caught:
        run(write_recipe(tmp_path), tmp_path / "runs", track=missing)
    assert caught.value.hint == f"Type: pip install {TRACKERS[missing[0]][0][0]}"
    assert not (tmp_path / "runs").exists()
