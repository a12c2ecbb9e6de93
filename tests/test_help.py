"""edgekd doctor and schema."""

import json
from collections.abc import Callable
from importlib.metadata import metadata
from pathlib import Path

import pytest
import yaml

from edgekd import extras, installation, schema

RECIPES = sorted((Path(__file__).parents[1] / "recipes").glob("*.yaml"))


def test_the_doctor_knows_every_extra_and_says_what_is_missing(
    edgekd: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert set(installation.GIVES) == set(metadata("edgekd").get_all("Provides-Extra") or ())
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    lacking = {"": (), **dict.fromkeys(installation.GIVES, ()), "tflite": ("litert-torch>=0.10",)}
    monkeypatch.setattr(extras, "state", lambda: lacking)
    code, out, _ = edgekd("doctor", "--runs", tmp_path / "runs")
    assert code == 0 and "litert-torch>=0.10" in out and "pip install 'edgekd[tflite]'" in out
    assert "does not answer" in out and "openvino" in out
    lacking[""] = ("torch==2.13.0",)
    code, out, err = edgekd("doctor", "--runs", tmp_path)
    assert code == 1 and "torch==2.13.0" in out and "cannot work here: packages" in err


def test_what_is_installed_is_not_missing() -> None:
    """torch is here, or no test would run."""
    found = extras.state()
    assert not any(name.startswith("torch=") for name in found[""]) and "offline" in found


@pytest.mark.parametrize("file", RECIPES, ids=lambda file: file.stem)
def test_the_schema_takes_every_recipe_and_refuses_a_wrong_one(file: Path) -> None:
    validator = pytest.importorskip("jsonschema").Draft202012Validator(schema.recipe())
    recipe = yaml.safe_load(file.read_text())
    assert not list(validator.iter_errors(recipe))
    recipe["steps"][0]["epohcs"] = 3
    assert list(validator.iter_errors(recipe))


def test_the_schema_is_printed(edgekd: Callable[..., tuple[int, str, str]]) -> None:
    code, out, _ = edgekd("schema")
    told = json.loads(out)
    assert code == 0 and told["properties"]["steps"]["items"]["oneOf"]
    described = told["$defs"]["FineTune"]["properties"]["learning_rate"]["description"]
    assert described == "Peak learning rate of AdamW"
