"""Small real parts: encoders with random weights, a corpus of made-up sentences, a recipe over both. No network."""

import json
import os
import random
import shutil
import sys
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from edgekd.artifact import Artifact, Manifest
from edgekd.stage import Job
from edgekd.testing import NOUNS, VERBS, build_encoder, sentences, write_csv

# Small models on two threads spend their time on waking threads; one is also what makes parallel tests bearable.
os.environ.setdefault("OMP_NUM_THREADS", "1")

BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist
def pytest_testnodedown(node: Any, error: object) -> None:
    """Say how a process of tests ended that was lost: by which signal, or with which status."""
    if error:
        print(f"\n{node.gateway.id} was lost, and ended with {node.gateway._io.popen.wait(60)}", file=sys.__stderr__)


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of 4 layers, 32 wide."""
    return build_encoder(tmp_path_factory.mktemp("encoder"), layers=4)


def tagged(rows: int, seed: int) -> list[tuple[list[str], list[str]]]:
    """Words and tags: who does something, of one or two nouns, and to what, of one to three."""
    draw = random.Random(seed)
    found = []
    for _ in range(rows):
        agent, thing = draw.choices(NOUNS, k=draw.randint(1, 2)), draw.choices(NOUNS, k=draw.randint(1, 3))
        words = ["the", *agent, draw.choice(VERBS), "a", *thing, "."]
        tags = ["O", *_bio("AGENT", agent), "O", "O", *_bio("THING", thing), "O"]
        found.append((words, tags))
    return found


def _bio(kind: str, words: list[str]) -> list[str]:
    return [f"{'I' if number else 'B'}-{kind}" for number in range(len(words))]


def write_bio(file: Path, rows: list[tuple[list[str], list[str]]]) -> Path:
    sentences = ("".join(f"{word}\t{tag}\n" for word, tag in zip(*row, strict=True)) for row in rows)
    file.write_text("\n".join(sentences), encoding="utf-8")
    return file


@pytest.fixture(scope="session")
def tagged_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tagged")
    write_bio(folder / "train.bio", tagged(96, seed=1))
    write_bio(folder / "dev.bio", tagged(40, seed=2))
    return folder


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    write_csv(folder / "train.csv", sentences(96, seed=1))
    write_csv(folder / "dev.csv", sentences(40, seed=2))
    return folder


RECIPE = """\
name: small
data: {{source: {corpus}, text: [sentence], labels: ["no", "yes"], metric: matthews_correlation, max_length: 32}}
seed: 7
steps:
  - {{id: teacher, stage: finetune, model: {encoder}, epochs: 16, learning_rate: 2.0e-3, batch_size: 16}}
  - id: student
    stage: distill
    model: {{layers: 2, from: teacher}}
    phases:
      intermediate: {{epochs: 6, learning_rate: 2.0e-3, batch_size: 16}}
      prediction: {{epochs: 10, learning_rate: 2.0e-3, batch_size: 16}}
  - {{id: onnx, stage: export_onnx}}
  - {{id: onnx_int8, stage: quantize_onnx, max_drop: 0.05}}
devices: [quick]
"""
DEVICE = "name: quick\nrun: {min_runs: 24, min_s: 0, repeats: 2, warmup_s: 0.01, max_s: 5}\n"


@pytest.fixture(scope="session")
def write_recipe(corpus: Path, encoder: Path) -> Callable[..., Path]:
    """Writes the small recipe, with texts replaced, and its device; returns its path."""

    def write(folder: Path, *replacements: tuple[str, str]) -> Path:
        text = RECIPE.format(corpus=corpus, encoder=encoder)
        for old, new in replacements:
            assert old in text, old
            text = text.replace(old, new)
        (folder / "devices").mkdir(parents=True, exist_ok=True)
        (folder / "devices" / "quick.yaml").write_text(DEVICE)
        (folder / "recipe.yaml").write_text(text)
        return folder / "recipe.yaml"

    return write


class Quiet:
    """A watcher that remembers."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.labels: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)

    def progress(self, label: str, done: float, total: float) -> None:
        self.labels.append(label)


class Ran:
    """A finished run of the small recipe."""

    def __init__(self, root: Path, recipe: Path) -> None:
        from edgekd import pipeline
        from edgekd.recipe import load
        from edgekd.store import Store

        self.root, self.recipe, self.watcher = root, recipe, Quiet()
        self.runs, self.store = root / "runs", Store(root / "runs" / ".store")
        self.report = pipeline.run(load(recipe), self.store, self.runs, self.watcher)
        self.folder = self.runs / "small"

    @property
    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "report.json").read_text())
        return found


@pytest.fixture(scope="session")
def ran(tmp_path_factory: pytest.TempPathFactory, write_recipe: Callable[..., Path]) -> Iterator[Ran]:
    root = tmp_path_factory.mktemp("ran")
    yield Ran(root, write_recipe(root))


@pytest.fixture
def edgekd(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs the command in this process: exit code, standard output, standard error."""

    from edgekd import cli

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["edgekd", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return call


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A Chromium that is there, by playwright."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with api.sync_playwright() as playwright:
        own = playwright.chromium.executable_path
        found = own if Path(own).is_file() else next(filter(None, map(shutil.which, BROWSERS)), None)
        if found is None:
            pytest.skip("no chromium: playwright install chromium, or Debian's package")
        # As root, in a container, Chromium runs without its sandbox only; what it opens is our own page.
        started = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield started
        started.close()


def write_wheel(folder: Path, name: str, files: Mapping[str, str]) -> None:
    """NAME 1.0 as a wheel: files by their path in it, those of its dist-info under that name."""
    information = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
        for path, text in files.items():
            wheel.writestr(path.replace("dist-info", information), text)
        wheel.writestr(f"{information}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        wheel.writestr(f"{information}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{information}/RECORD", "")


def write_index(folder: Path, names: Iterable[str]) -> None:
    """Empty wheels of what is installed here under these names and versions."""
    for name in names:
        release = version(name)
        info = f"{name}-{release}.dist-info"
        with zipfile.ZipFile(folder / f"{name}-{release}-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {release}\n")
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{info}/RECORD", "")


@contextmanager
def pip_only(folder: Path) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for variable, value in (("NO_INDEX", "1"), ("FIND_LINKS", str(folder)), ("CONFIG_FILE", os.devnull)):
            patch.setenv(f"PIP_{variable}", value)
        yield


@pytest.fixture(scope="module")
def served_wheels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What a bundle of ONNX Runtime requires, by name and version, in the one place where pip looks."""
    folder = tmp_path_factory.mktemp("index")
    write_index(folder, ("onnxruntime", "numpy", "tokenizers"))
    with pip_only(folder):
        yield


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for wheels; pip is told to look nowhere else, and environments are made beside it."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    monkeypatch.setenv("EDGEKD_CACHE", str(tmp_path / "cache"))
    with pip_only(folder):
        yield folder


def artifact(path: Path, form: str) -> Artifact:
    """A folder as the artifact of some stage; not sealed."""
    fields: dict[str, Any] = {"key": "k", "stage": "s", "stage_version": 1, "format": form, "task": "classification"}
    fields |= {"labels": ("no", "yes"), "text": ("sentence",), "max_length": 32}
    return Artifact(path, Manifest(**fields, options={}, parents={}, data={}, libraries={}))


@pytest.fixture
def job(corpus: Path, tmp_path: Path) -> Callable[..., Job]:
    """Makes the job of a stage: a name, its main source, its other sources."""
    from edgekd.data import Data
    from edgekd.data_options import DataOptions

    options = {"source": str(corpus), "text": ["sentence"], "labels": ["no", "yes"], "max_length": 32}
    data = Data(DataOptions.model_validate(options))

    def make(name: str, source: Artifact | None, **sources: Artifact) -> Job:
        out, scratch = tmp_path / name, tmp_path / f"{name}_scratch"
        out.mkdir()
        scratch.mkdir()
        return Job(source, sources, data, out, scratch, 7, lambda label, done, total: None)

    return make
