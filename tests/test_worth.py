"""What a score is worth: blind answers, rows of dev that train has, texts that were cut."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgekd import pipeline, worth
from edgekd.data import Data
from edgekd.data_options import DataOptions
from edgekd.errors import EdgekdError
from edgekd.kd import fitting
from edgekd.kd.rows import Rows
from edgekd.predicting import Model
from edgekd.recipe import load
from edgekd.report import Score
from edgekd.task import Task
from edgekd.tasks.classification import Classification
from edgekd.tokens import encode, load_tokenizer
from tests.conftest import Quiet, Ran, tagged, write_bio


def data(folder: Path, **options: object) -> Data:
    return Data(DataOptions.model_validate({"source": str(folder), "text": ["text"], **options}))


def labelled(folder: Path, **labels: list[object]) -> Path:
    for split, cells in labels.items():
        lines = [f"row {number} of {split},{cell}\n" for number, cell in enumerate(cells)]
        (folder / f"{split}.csv").write_text("text,label\n" + "".join(lines))
    return folder


@pytest.mark.parametrize(("metric", "blind"), [("accuracy", 0.7), ("macro_f1", 0.7 / 1.7), ("matthews_correlation", 0)])
def test_the_best_of_labels(tmp_path: Path, metric: str, blind: float) -> None:
    """By hand: "no" is right in 7 of 10; its F1 is 14 / 17, and that of "yes" is 0."""
    folder = labelled(tmp_path, train=["no", "yes"] * 4, dev=["no"] * 7 + ["yes"] * 3)
    found = worth.worth(data(folder, metric=metric))
    assert found["blind"] == pytest.approx(blind) and found["seen"] == 0
    assert found["answer"] == "always 'no'"


def test_a_number_and_its_mean(tmp_path: Path) -> None:
    folder = labelled(tmp_path, train=[1.0, 3.0], dev=[2.0, 4.0, 6.0])
    found = worth.worth(data(folder, task="regression", metric="negative_mse"))
    assert found == {"seen": 0, "blind": pytest.approx(-20 / 3), "answer": "always 2"}
    assert worth.worth(data(folder, task="regression"))["blind"] == 0  # a correlation with a constant


def test_words_without_an_entity(tmp_path: Path) -> None:
    write_bio(tmp_path / "train.bio", tagged(8, seed=1))
    write_bio(tmp_path / "dev.bio", tagged(4, seed=1))
    found = worth.worth(data(tmp_path, task="tokens", text=["words"], label="tags"))
    assert found == {"seen": 4, "blind": 0.0, "answer": "always no entity"}


def test_a_task_without_blind_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Classification, "blind", Task.blind)
    folder = labelled(tmp_path, train=["no", "yes"], dev=["no", "yes"])
    assert worth.worth(data(folder)) == {"seen": 0, "blind": None, "answer": ""}


def test_doubts() -> None:
    found = {"seen": 3, "blind": 0.7, "answer": "always 'no'"}
    assert worth.doubts(found, Score("accuracy", 0.7, 299, {})) == (
        "its accuracy, 0.7000, is no better than that of always 'no', 0.7000",
        "3 of dev's 299 rows are in train too, word for word",
    )
    assert worth.doubts(found, Score("accuracy", 0.71, 300, {})) == ()
    none = {"seen": 0, "blind": None, "answer": ""}
    assert worth.doubts(none, Score("r2", -4.0, 300, {})) == ()


def test_the_report_tells_it_of_the_data(ran: Ran) -> None:
    recipe = load(ran.recipe)
    found = worth.worth(Data(recipe.data, recipe.seed))
    assert ran.report.data["blind answer"] == f"{found['answer']}, {found['blind']:.4f}"
    assert ran.report.data["dev rows in train"] == found["seen"]
    assert f"blind answer {found['answer']}, {found['blind']:.4f}" in (ran.folder / "report.md").read_text()


def test_a_text_that_was_cut(ran: Ran, encoder: Path) -> None:
    """An answer for the beginning of a text says so; many of them make a doubt of what is trained."""
    word, most = "cat ", 32
    fits, long = word * (most - 2), word * (most - 1)
    with Model(ran.folder / "onnx") as model:
        whole, cut = model.predict([fits, long])
    assert "cut" not in whole and cut.pop("cut") is True and cut == whole
    pairs = encode(load_tokenizer(encoder, most), [(word * 5, word * 5), (long, long)])
    assert pairs.cut == [False, True] and pairs.take([1]).cut == [True]

    def doubts(count: int, targets: bool = True) -> list[str]:
        read = encode(load_tokenizer(encoder, most), [(fits,)] * 199 + [(long,)] * count)
        return fitting._cut([Rows(read, np.zeros(199 + count) if targets else None)])

    assert doubts(2) == [] and doubts(3, targets=False) == []
    assert doubts(3) == ["3 of 202 texts to learn from are longer than max_length, and were cut there"]


def test_a_device_is_looked_at_before_training(ran: Ran, tmp_path: Path, write_recipe: Callable[..., Path]) -> None:
    recipe, said = write_recipe(tmp_path, ("devices: [quick]", "devices: [away]")), Quiet()
    away = "name: away\ntransport: {type: ssh, host: 127.0.0.1, port: 1}\nruntimes: [onnxruntime]\n"
    (tmp_path / "devices" / "away.yaml").write_text(away)
    with pytest.raises(EdgekdError):
        pipeline.run(load(recipe, ["seed=8"]), ran.store, tmp_path / "runs", said)
    assert said.lines == ["looking at away"] and not (tmp_path / "runs" / "small").exists()
