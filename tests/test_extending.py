"""The package that docs/extending.md shows, installed from the page and used."""

import os
import re
import shlex
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgekd import device_files
from edgekd.connection import CONNECTIONS
from edgekd.errors import EdgekdError
from edgekd.kd.method import METHODS
from edgekd.pipeline import run
from edgekd.predicting import predict
from edgekd.recipe import load
from edgekd.runtime import RUNTIMES
from edgekd.stage import STAGES
from edgekd.store import Store
from edgekd.task import TASKS
from tests.conftest import NOUNS, VERBS, Quiet, write_csv
from tests.devices import links

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "extending.md").read_text()
REGISTRIES = (STAGES, METHODS, RUNTIMES, TASKS, CONNECTIONS)
QUICK = "batch_size: 16, learning_rate: 2.0e-3"


def block(beginning: str) -> str:
    """The page's YAML block that begins so."""
    (found,) = [text for text in re.findall(r"```yaml\n(.*?)```", PAGE, flags=re.S) if text.startswith(beginning)]
    return str(found)


@pytest.fixture(autouse=True)
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The page's files on the path of this process and of those it starts, with what pip would write of them."""
    files = dict(re.findall(r'```\w+ title="(\S+)"\n(.*?)```', PAGE, flags=re.S))
    project = tomllib.loads(files.pop("pyproject.toml"))["project"]
    folder = tmp_path / "package"
    about = folder / "my_edgekd-1.0.dist-info"
    about.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_text(text)
    (about / "METADATA").write_text(f"Metadata-Version: 2.4\nName: {project['name']}\nVersion: {project['version']}\n")
    points = [
        line
        for group, named in project["entry-points"].items()
        for line in (f"[{group}]", *(f"{name} = {place}" for name, place in named.items()))
    ]
    (about / "entry_points.txt").write_text("\n".join(points))
    assert {name.removesuffix(".py") for name in files} == {line.split(" = ")[0] for line in points if " = " in line}
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), str(ROOT)]))
    for registry in REGISTRIES:
        for listed in ("names", "_elsewhere"):
            registry.__dict__.pop(listed, None)
    yield
    for registry in REGISTRIES:
        for listed in ("names", "_elsewhere"):
            registry.__dict__.pop(listed, None)
    for name in files:
        sys.modules.pop(name.removesuffix(".py"), None)


def test_stages_a_method_and_a_runtime_of_ones_own(corpus: Path, encoder: Path, tmp_path: Path) -> None:
    steps = [
        f"- {{id: teacher, stage: finetune, model: {encoder}, epochs: 12, {QUICK}}}\n",
        block("- {id: pruned").replace("max_drop: 0.02", "max_drop: 0.2"),
        block("- {id: student").replace("epochs: 6", f"epochs: 8, {QUICK}"),
        "- {id: onnx, stage: export_onnx}\n",
        block("- {id: evaluated"),
    ]
    data = f"{{source: {corpus}, text: [sentence], labels: ['no', 'yes'], max_length: 32}}"
    (tmp_path / "own.yaml").write_text(f"name: own\ndata: {data}\nsteps:\n{''.join(steps)}devices: []\n")
    report = run(load(tmp_path / "own.yaml"), Store(tmp_path / "store"), tmp_path / "runs", Quiet())
    assert all(step.passed for step in report.steps)
    by_step = {step.step: step for step in report.steps}
    assert by_step["evaluated"].score == by_step["onnx"].score
    folder = tmp_path / "runs" / "own"
    import safetensors.numpy

    weights = safetensors.numpy.load_file(folder / "pruned" / "model.safetensors")
    matrices = [value for name, value in weights.items() if value.ndim == 2 and "embeddings" not in name]
    assert all((value == 0).sum() == int(0.3 * value.size) for value in matrices)


def test_a_task_of_ones_own(encoder: Path, tmp_path: Path) -> None:
    rows = [
        {"review": f"the {NOUNS[n % 7]} {VERBS[n % 5]} a {NOUNS[n % 8]}", "stars": str(n % 5 + 1)} for n in range(120)
    ]
    write_csv(tmp_path / "reviews.csv", rows)
    steps = f"steps: [{{id: teacher, stage: finetune, model: {encoder}, epochs: 20, {QUICK}}}]\ndevices: []\n"
    (tmp_path / "own.yaml").write_text(f"name: own\n{block('data:')}{steps}")
    text = (tmp_path / "own.yaml").read_text().replace("reviews.csv", str(tmp_path / "reviews.csv"))
    (tmp_path / "own.yaml").write_text(text)
    report = run(load(tmp_path / "own.yaml"), Store(tmp_path / "store"), tmp_path / "runs", Quiet())
    score = report.steps[0].score
    assert score is not None and score.value > 0.5  # one in five by chance
    (answer,) = predict(tmp_path / "runs" / "own" / "teacher", iter([(f"the cat {VERBS[4]} a dog",)]))
    assert answer["stars"] >= 4
    write_csv(tmp_path / "reviews.csv", [*rows, {"review": "a cat", "stars": "6"}])
    with pytest.raises(EdgekdError, match="6 is no number of stars"):
        run(load(tmp_path / "own.yaml"), Store(tmp_path / "store"), tmp_path / "runs", Quiet())


def test_a_connection_and_a_device_of_ones_own(tmp_path: Path) -> None:
    text = block("name: board").replace("docker, exec, -i, board", "env")
    (tmp_path / "board.yaml").write_text(text.replace("]}", f"], workdir: {shlex.quote(str(tmp_path / 'there'))}}}", 1))
    device = device_files.load(str(tmp_path / "board.yaml"), tmp_path)
    assert device.transport.kind() == "container" and device.run.cooldown_s == 5
    with device.transport.open() as link:
        links.streams_and_statuses(link)
        links.files_go_there_and_back(link, tmp_path)
    links.what_is_there_is_checked(device.transport.open, tmp_path)
