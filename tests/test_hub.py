"""The ordinary recipe takes model and data from a hub, over HTTP; here the hub is a folder on the loopback."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edgekd import hub
from edgekd.errors import EdgekdError
from tests.conftest import build_encoder, sentences
from tests.loopback_hub import COMMIT, serve

RECIPE = Path(__file__).parents[1] / "recipes" / "cola_int8.yaml"
CARD = """\
---
configs:
- config_name: cola
  data_files:
  - {split: train, path: cola/train-*}
  - {split: validation, path: cola/validation-*}
---
"""


@pytest.fixture(scope="module")
def hub_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small models and a small CoLA under the names and in the layout of the real ones."""
    from datasets import ClassLabel, Dataset

    root = tmp_path_factory.mktemp("hub")
    build_encoder(root / "models/google-bert/bert-base-uncased", layers=4)
    build_encoder(root / "models/huawei-noah/TinyBERT_General_4L_312D", layers=2, width=16)
    glue = root / "datasets/nyu-mll/glue"
    (glue / "cola").mkdir(parents=True)
    (glue / "README.md").write_text(CARD)
    for split, rows, seed in (("train", 64, 1), ("validation", 32, 2)):
        found = sentences(rows, seed)
        columns = {
            "sentence": [row["sentence"] for row in found],
            "label": [int(row["label"] == "yes") for row in found],
            "idx": list(range(rows)),
        }
        table = Dataset.from_dict(columns).cast_column("label", ClassLabel(names=["unacceptable", "acceptable"]))
        table.to_parquet(glue / "cola" / f"{split}-00000-of-00001.parquet")
    return root


def edgekd(folder: Path, url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "HF_ENDPOINT": url, "HF_HOME": str(folder / "hf"), "NO_PROXY": "127.0.0.1"}
    argv = [sys.executable, "-m", "edgekd", *arguments, "--runs", str(folder / "runs")]
    return subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=300, check=False)


def test_the_ordinary_recipe_runs_from_a_hub(hub_folder: Path, tmp_path: Path) -> None:
    quick = [
        "--set",
        "teacher.epochs=1",
        "--set",
        "student.epochs=1",
        "--set",
        "devices=[]",
        "--set",
        "onnx_int8.max_drop=1",
    ]
    quick += ["--set", "data.max_length=32"]
    with serve(hub_folder) as served:
        done = edgekd(tmp_path, served.url, "run", str(RECIPE), *quick)
        assert done.returncode == 0, done.stdout + done.stderr
        asked = "\n".join(served.asked)
    assert "offline block" not in done.stdout
    assert "/google-bert/bert-base-uncased/resolve/" in asked and "model.safetensors" in asked
    assert "/huawei-noah/TinyBERT_General_4L_312D/resolve/" in asked
    assert "/datasets/nyu-mll/glue/resolve/" in asked and "cola/train-00000-of-00001.parquet" in asked
    folder = tmp_path / "runs" / "cola_int8"
    report = json.loads((folder / "report.json").read_text())
    assert f"revision: {report['data']['commit']}," in RECIPE.read_text() and report["overrides"] == []
    assert report["steps"][0]["score"]["rows"] == 32
    manifest = json.loads((folder / "teacher" / "manifest.json").read_text())
    pinned = next(line for line in RECIPE.read_text().splitlines() if "id: teacher" in line)
    assert re.fullmatch(r"hub:google-bert/bert-base-uncased@[0-9a-f]{40}", manifest["options"]["model"])
    assert manifest["options"]["model"].removeprefix("hub:") in pinned
    assert manifest["labels"] == ["unacceptable", "acceptable"]
    # The hub has gone: what was downloaded and made still serves.
    again = edgekd(tmp_path, "http://127.0.0.1:9", "plan", str(RECIPE), "--online", *quick)
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("cached") == 4, again.stdout


def test_names_the_hub_does_not_have(hub_folder: Path, tmp_path: Path) -> None:
    with serve(hub_folder) as served:
        done = edgekd(tmp_path, served.url, "run", str(RECIPE), "--set", "teacher.model=google-bert/bert-bse-uncased")
        assert done.returncode == 1
        assert "model google-bert/bert-bse-uncased could not be had from" in done.stderr, done.stderr
        done = edgekd(tmp_path, served.url, "run", str(RECIPE), "--set", "data.splits.dev=dev")
        assert done.returncode == 1 and "has no split 'dev'" in done.stderr, done.stderr


def test_no_hub_falls_back_to_the_offline_block(tmp_path: Path) -> None:
    done = edgekd(tmp_path, "http://127.0.0.1:9", "plan", str(RECIPE))
    assert "The hub is not used: the recipe's offline block applies to data, teacher.model" in done.stdout, done.stderr
    moving = ["--set", "teacher.model=google-bert/bert-base-uncased"]  # a full commit needs no hub to be planned with
    done = edgekd(tmp_path, "http://127.0.0.1:9", "plan", str(RECIPE), "--online", *moving)
    assert done.returncode == 1 and "could not be had from http://127.0.0.1:9" in done.stderr


def test_reachable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serve(tmp_path) as served:
        monkeypatch.setenv("HF_ENDPOINT", served.url)
        hub.reachable.cache_clear()
        assert hub.reachable()
        hub.reachable.cache_clear()
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        assert not hub.reachable()
    hub.reachable.cache_clear()


def test_pretrained_names(tmp_path: Path, encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert hub.fetch(str(encoder)) == encoder
    assert hub.fingerprint(str(encoder)).startswith("files:")
    assert hub.fingerprint(f"a/b@{COMMIT}") == f"hub:a/b@{COMMIT}"
    assert (
        hub.needs_hub("google-bert/bert-base-uncased") and not hub.needs_hub("./x") and not hub.needs_hub("package:x")
    )
    with pytest.raises(EdgekdError, match="holds no pretrained model"):
        hub.fetch(str(tmp_path))
    with pytest.raises(EdgekdError, match="Python package 'no_such_package' is not installed") as caught:
        hub.fingerprint("package:no_such_package")
    assert caught.value.hint.startswith("Is its name right?")
    with pytest.raises(EdgekdError, match="carries no model folder"):
        hub.fetch("package:click")
    with pytest.raises(EdgekdError, match="names no pretrained model"):
        hub.fingerprint("a b/c")
    package = tmp_path / "carrier" / "model"
    shutil.copytree(encoder, package)
    (package.parent / "__init__.py").touch()
    meta = tmp_path / "carrier-1.2.dist-info"
    meta.mkdir()
    (meta / "METADATA").write_text("Metadata-Version: 2.1\nName: carrier\nVersion: 1.2\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert hub.fetch("package:carrier") == package
    assert hub.fingerprint("package:carrier") == "package:carrier==1.2"
