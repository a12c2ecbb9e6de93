"""edgekd new recipe, on files that nobody prepared."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from edgekd import new_recipe
from edgekd.data import Data
from edgekd.errors import EdgekdError
from edgekd.new_recipe import TARGETS
from edgekd.recipe import Recipe
from edgekd.survey import survey
from tests.conftest import sentences, write_csv


def reviews(file: Path, rows: int = 300) -> Path:
    return write_csv(
        file,
        [{"id": str(row), "review": f"the film {row} was long", "stars": str(row % 2 + 1)} for row in range(rows)],
    )


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_the_recipe_is_one_that_edgekd_reads(
    edgekd: Callable[..., tuple[int, str, str]], tmp_path: Path, target: str
) -> None:
    data, out = reviews(tmp_path / "my.csv"), tmp_path / "my reviews.yaml"
    flags = ("--data", data, "--text", "review", "--label", "stars", "--target", target, "--out", out)
    code, told, _ = edgekd("new", "recipe", *flags)
    assert code == 0 and "classification of review, label stars, 270 rows" in told and "mind" not in told
    read = Recipe.read(out, online=True)
    assert read.name == "my_reviews" and read.data.metric == "accuracy" and read.data.max_length == 32
    assert [step.stage.name() for step in read.steps[:2]] == ["finetune", "distill"]
    assert read.steps[-1].stage.name().endswith(target)
    assert edgekd("new", "recipe", *flags)[0] == 1  # nothing is overwritten


def test_columns_and_task_are_guessed(tmp_path: Path) -> None:
    found = survey(str(reviews(tmp_path / "a.csv")))
    assert (found.text, found.label, found.task) == (("review",), "stars", "classification")
    rows = [{"one": "a b c", "two": "d e", "how_alike": f"{number / 7:.3f}"} for number in range(300)]
    found = survey(str(write_csv(tmp_path / "b.csv", rows)), ("one", "two"), "how_alike")
    assert (found.task, found.metric) == ("regression", "pearson")
    with pytest.raises(EdgekdError, match="no column 'revew'") as error:
        survey(str(tmp_path / "a.csv"), ("revew",))
    assert "Did you mean 'review'?" in error.value.hint
    with pytest.raises(EdgekdError, match="looks like a label"):
        rows = [{"words": f"text {number}", "more": f"words {number}"} for number in range(50)]
        survey(str(write_csv(tmp_path / "c.csv", rows)))


def test_what_to_beware_of_is_said(tmp_path: Path) -> None:
    rows = [{"text": "wörter für später " * 200, "label": "rare" if number < 5 else "usual"} for number in range(150)]
    rows[100]["text"] = ""
    found = survey(str(write_csv(tmp_path / "hard.csv", rows)))
    said = "\n".join(found.advice)
    assert found.metric == "macro_f1" and found.max_length == 512 and found.foreign
    assert "column 'text' has no value in 1 rows" in said and "hard.csv:102" in said and "empty: drop" in said
    new_recipe.write(tmp_path / "hard.yaml", str(tmp_path / "hard.csv"), found, "onnx", "local")
    written = Data(Recipe.read(tmp_path / "hard.yaml", online=True).data)
    assert len(written.train) == found.rows and sum(written.dropped["dropped"].values()) == 1
    for part in (
        f"{found.rows} rows are few",
        "longer than max_length, 512",
        "multilingual",
        "'rare' (",
        "always 'usual'",
    ):
        assert part in said, part


def test_what_cannot_be_is_said_and_nothing_written(
    edgekd: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    data, out = reviews(tmp_path / "my.csv"), tmp_path / "my.yaml"
    code, _, err = edgekd("new", "recipe", "--data", data, "--out", out, "--device", "lokal")
    assert code == 1 and "unknown device 'lokal'" in err and "Did you mean 'local'?" in err and not out.exists()
    code, _, err = edgekd("new", "recipe", "--data", tmp_path / "nope.csv")
    assert code == 1 and "no such file or folder" in err and "--data" in err and "data.source" not in err
    same = write_csv(tmp_path / "same.csv", [{"words": f"text {row}", "verdict": "good"} for row in range(50)])
    with pytest.raises(EdgekdError, match="the only label is 'good', in column 'verdict'"):
        survey(str(same))


def test_what_a_file_says_stays_in_a_comment(tmp_path: Path) -> None:
    """A label with line ends, which the advice quotes."""
    evil = "rare\nsteps: [{id: evil, stage: finetune, model: /tmp/evil}]\nname: evil\x1b[2J"
    rows = [{"text": f"some text {number}", "label": evil if number < 3 else "usual"} for number in range(60)]
    found = survey(str(write_csv(tmp_path / "my.csv", rows)))
    assert any("evil" in line for line in found.advice)
    new_recipe.write(tmp_path / "my.yaml", str(tmp_path / "my.csv"), found, "onnx", "local")
    recipe = Recipe.read(tmp_path / "my.yaml", online=True)
    assert recipe.name == "my" and recipe.steps[0].id == "teacher" and "\x1b" not in (tmp_path / "my.yaml").read_text()


def test_a_file_with_semicolons(tmp_path: Path) -> None:
    file = tmp_path / "my.csv"
    file.write_text(
        "review;verdict\n" + "".join(f"long, and {row};{'no' if row % 2 else 'yes'}\n" for row in range(60))
    )
    found = survey(str(file))
    assert (found.text, found.label, found.gaps) == (("review",), "verdict", False)


def test_splits_without_a_header_line_are_told(edgekd: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    """As CoLA's: each split's first row is taken for a header, and the two are not the same."""
    folder, out = tmp_path / "cola", tmp_path / "new.yaml"
    folder.mkdir()
    for split in ("train", "dev"):
        rows = "".join(f"gj04\t{row % 2}\t\tThe {row}th sailor of {split} sang.\n" for row in range(60))
        (folder / f"{split}.tsv").write_text(rows)
    code, _, err = edgekd("new", "recipe", "--data", folder, "--out", out)
    assert code == 1 and not out.exists() and "dev.tsv" in err and "bug" not in err
    assert "dev has no column 'The 0th sailor of train sang.'" in err and "first lines, differ" in err
    assert "columns: [origin, label, mark, sentence]" in err and "preset: cola" in err


def test_a_file_without_a_header_line_is_doubted(tmp_path: Path) -> None:
    file = tmp_path / "bare.csv"
    file.write_text("".join(f"the {row}th sailor sang,{'no' if row % 2 else 'yes'}\n" for row in range(60)))
    assert survey(str(file)).advice[0].startswith("the label's column is named 'yes', as a row's label might be")
    file.write_text("text,verdict\n" + file.read_text())
    assert not any("header" in advice for advice in survey(str(file)).advice)


def test_tagged_words_are_told(tagged_corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(EdgekdError, match=r"column 'tags' of .* holds lists, as tagged words do") as told:
        survey(str(tagged_corpus))
    assert "recipes/ner_dictionary.yaml" in told.value.hint
    rows = [{"sentence": f"the {row}th sailor sang", "label": row % 2, "words": ["the", "sailor"]} for row in range(60)]
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert survey(str(file)).text == ("sentence",)
    with pytest.raises(EdgekdError, match="column 'words' of"):
        survey(str(file), text=["words"])


@pytest.mark.slow
def test_a_new_recipe_runs(edgekd: Callable[..., tuple[int, str, str]], encoder: Path, tmp_path: Path) -> None:
    data, out = write_csv(tmp_path / "own.csv", sentences(240, seed=4)), tmp_path / "own.yaml"
    assert edgekd("new", "recipe", "--data", data, "--out", out)[0] == 0
    settings = [
        f"teacher.model={encoder}",
        "teacher.learning_rate=2e-3",
        "student.model.layers=2",
        "student.min_kept=0",
    ]
    flags = [part for setting in settings for part in ("--set", setting)]
    code, told, err = edgekd("run", out, "--runs", tmp_path / "runs", *flags)
    assert "report.html" in told and code in {0, 1} and "bug" not in err
    assert (tmp_path / "runs" / "own" / "report.html").is_file()
