"""What is said of data before a run begins: at the recipe's own line, and with an earlier run left as it was."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

Edgekd = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("sentence]", "sentense]", "train.csv has no column 'sentense'"),
        ("max_length", "label: lable, max_length", "train.csv has no column 'lable'"),
        ("source: {corpus}", "source: none/mine.csv", "no such file or folder: none/mine.csv, seen from {here}"),
    ],
)
@pytest.mark.parametrize("command", ["plan", "run"])
def test_what_cannot_be_read_is_said_at_once(
    edgekd: Edgekd,
    write_recipe: Callable[..., Path],
    corpus: Path,
    tmp_path: Path,
    command: str,
    old: str,
    new: str,
    told: str,
) -> None:
    recipe = write_recipe(tmp_path, (old.format(corpus=corpus), new))
    report = tmp_path / "runs" / "small" / "report.md"
    report.parent.mkdir(parents=True)
    report.write_text("of an earlier run")
    code, out, err = edgekd(command, recipe, "--runs", tmp_path / "runs")
    column = recipe.read_text().splitlines()[1].index(new) + 1
    assert code == 1 and "teacher" not in out
    assert err.startswith(f"error: {recipe}:2:{column}: ") and told.format(here=Path.cwd()) in err
    assert [file.name for file in report.parent.iterdir()] == ["report.md"]


def test_json_lines_have_the_columns_of_all_rows(
    edgekd: Edgekd, write_recipe: Callable[..., Path], corpus: Path, tmp_path: Path
) -> None:
    data = tmp_path / "train.jsonl"
    data.write_text('{"sentence": "x"}\n{"sentence": "y", "label": "no"}\n')
    recipe = write_recipe(tmp_path, (str(corpus), str(data)))
    code, _, err = edgekd("plan", recipe, "--runs", tmp_path / "runs")
    assert code == 1 and "train.jsonl:1: column 'label' has no value" in err
    recipe.write_text(recipe.read_text().replace("max_length", "label: lable, max_length"))
    code, _, err = edgekd("plan", recipe, "--runs", tmp_path / "runs")
    assert code == 1 and "train.jsonl has no column 'lable'" in err and "Did you mean 'label'? " in err


def test_a_bad_row_leaves_an_earlier_run(
    edgekd: Edgekd, write_recipe: Callable[..., Path], corpus: Path, tmp_path: Path
) -> None:
    data = tmp_path / "train.csv"
    data.write_text((corpus / "train.csv").read_text() + "odd,maybe\n")
    recipe = write_recipe(tmp_path, (str(corpus), str(data)))
    report = tmp_path / "runs" / "small" / "report.md"
    report.parent.mkdir(parents=True)
    report.write_text("of an earlier run")
    code, out, err = edgekd("run", recipe, "--runs", tmp_path / "runs")
    assert code == 1 and re.search(r"train.csv:98: label 'maybe' is none of no, yes", err) and "[1/4]" not in out
    assert report.is_file()


def test_a_text_may_be_one_name(write_recipe: Callable[..., Path], tmp_path: Path) -> None:
    from edgekd.recipe import load

    recipe = load(write_recipe(tmp_path, ("[sentence]", "sentence")), online=True)
    assert recipe.data.text == ("sentence",)
