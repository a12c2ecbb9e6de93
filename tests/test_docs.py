"""The documentation against the code it speaks of."""

import re
import runpy
from pathlib import Path

import pytest

from edgekd.cli import cli

ROOT = Path(__file__).parents[1]


def test_the_reference_is_not_stale() -> None:
    generated = runpy.run_path(str(ROOT / "docs" / "generate.py"))["reference"]()
    assert (ROOT / "docs" / "reference.md").read_text() == generated, "type: make docs"


@pytest.mark.parametrize(
    "file", ["README.md", "CONTRIBUTING.md", "docs/architecture.md", "docs/studies.md", "docs/reports.md"]
)
def test_commands_and_links_exist(file: str) -> None:
    text = (ROOT / file).read_text()
    for name in re.findall(r"edgekd ([a-z]+)\b(?= [A-Z\[]| [a-z]+/)", text):
        assert name in cli.commands, name
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert ((ROOT / file).parent / target).exists(), target


def test_the_readmes_recipe_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgekd import device_files
    from edgekd.recipe import load

    block, device = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.S)
    (tmp_path / "device.yaml").write_text(device)
    assert device_files.load(str(tmp_path / "device.yaml"), tmp_path).transport.kind() == "ssh"
    (tmp_path / "recipe.yaml").write_text(block)
    (tmp_path / "reviews.csv").write_text("review,stars\ngood,5\nbad,1\n")
    monkeypatch.chdir(tmp_path)
    recipe = load(tmp_path / "recipe.yaml", online=True)
    assert [step.id for step in recipe.steps] == ["teacher", "student", "onnx", "onnx_int8"]


def test_every_option_has_a_description() -> None:
    tables = (ROOT / "docs" / "reference.md").read_text().splitlines()
    assert not [line for line in tables if line.startswith("| `") and line.endswith("|  |")]
