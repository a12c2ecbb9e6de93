"""Data sources, presets, and what is said of bad rows."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekd import glue
from edgekd.data import Data
from edgekd.data_options import DataOptions
from edgekd.errors import EdgekdError
from edgekd.measure import score
from edgekd.tokens import batches

ROWS = [{"sentence": f'row {number}, "quoted" word', "label": "b" if number % 3 else "a"} for number in range(24)]


def data(source: Path, **more: Any) -> Data:
    return Data(DataOptions.model_validate({"source": str(source), "text": ["sentence"], **more}))


def write(folder: Path, form: str, rows: list[dict[str, Any]] = ROWS) -> Path:
    import pandas

    table, file = pandas.DataFrame(rows), folder / f"train.{form}"
    match form:
        case "csv":
            table.to_csv(file, index=False)
        case "tsv":
            table.to_csv(file, index=False, sep="\t")
        case "jsonl":
            file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        case "parquet":
            table.to_parquet(file)
    return file


@pytest.mark.parametrize("form", ["csv", "tsv", "jsonl", "parquet"])
def test_forms_of_files_give_the_same_rows(tmp_path: Path, form: str) -> None:
    read = data(write(tmp_path, form))
    assert read.labels == ("a", "b")
    assert len(read.dev) == 2 and len(read.train) == 22  # a tenth is held out
    assert {text for (text,) in (*read.train.texts, *read.dev.texts)} == {row["sentence"] for row in ROWS}
    assert read.train.targets.dtype == np.int64


def test_a_folder_with_both_splits(tmp_path: Path) -> None:
    write(tmp_path, "csv")
    (tmp_path / "dev.tsv").write_text("sentence\tlabel\nonly one\ta\nno, two\tb\n")
    read = data(tmp_path)
    assert len(read.train) == 24 and read.dev.texts == (("only one",), ("no, two",))
    with pytest.raises(EdgekdError, match="holds no split 'heldout'"):
        data(tmp_path, splits={"dev": "heldout"}).fingerprint  # noqa: B018


def test_a_file_without_header_and_with_loose_quotation_marks(tmp_path: Path) -> None:
    file = tmp_path / "train.tsv"
    file.write_text('gj04\t1\t\tHe said "no.\ngj04\t0\t*\tThe "more we.\ngj04\t1\t\tNA\ngj04\t1\t\tz\n')
    read = data(
        file, columns=["origin", "label", "mark", "sentence"], quoting="none", labels=["no", "yes"], dev_fraction=0.5
    )
    texts = {text for (text,) in (*read.train.texts, *read.dev.texts)}
    assert texts == {'He said "no.', 'The "more we.', "NA", "z"}
    assert sorted([*read.train.targets, *read.dev.targets]) == [0, 1, 1, 1]


def test_words_and_numbers_stay_as_written(tmp_path: Path) -> None:
    file = tmp_path / "train.csv"
    file.write_text("sentence,label\n007,1\n1.50,0\nnull,1\n-0,0\n+1,1\nNaN,0\n")
    read = data(file, dev_fraction=0.34)
    assert {text for (text,) in (*read.train.texts, *read.dev.texts)} == {"007", "1.50", "null", "-0", "+1", "NaN"}
    assert read.labels == ("0", "1")


def test_regression_on_pairs(tmp_path: Path) -> None:
    file = tmp_path / "train.csv"
    file.write_text("a,b,score\nx,y,1.5\nz,w,4\nu,v,0\n")
    options = {"source": str(file), "text": ["a", "b"], "label": "score", "task": "regression"}
    read = Data(DataOptions.model_validate(options))
    assert read.train.targets.dtype == np.float32 and len(read.train.texts[0]) == 2 and read.metric == "pearson"


@pytest.mark.parametrize(
    ("content", "more", "expected"),
    [
        (b"", {}, "train.csv: the file is empty"),
        (b"sentence,label\n", {}, "train.csv: the file has no rows"),
        (b"sentence,label\ngood,a\nbad \xe9t\xe9,b\n", {}, r"train.csv:3:5: byte 0xe9 is not UTF-8"),
        (b"text,label\nx,a\ny,b\n", {}, "train.csv has no column 'sentence'"),
        (b"sentence,label\nx,a,note\ny,b,note\n", {}, r"train.csv:2: 3 cells in this row, 2 columns"),
        (b"sentence,label\nx,a\ny,a\nz,a\nw,a\n", {}, "the only label is 'a'"),
        (b"sentence,label\nx,1\ny,2\nz,0\n", {"labels": ["1", "2"]}, r"train.csv:4: label '0' is none of 1, 2"),
        (b"sentence,label\nx,a\ny,b\nz,a\n", {}, "a dev split of one row scores nothing"),
        (b"sentence,label\nx,a\ny,c\nz,a\n", {"labels": ["a", "b"]}, r"train.csv:3: label 'c' is none of a, b"),
        (b"sentence,label\nx,a\ny,\nz,b\n", {}, r"train.csv:3: column 'label' has no value"),
        (b"sentence,label\nx,1\ny,two\nz,3\n", {"task": "regression"}, r"train.csv:3: 'two' is not a finite number"),
        (b"sentence,label\nx,a\ny,b\nz, a comma,a\n", {}, r"train.csv:4: 3 cells in this row, 2 columns"),
        (b'sentence,label\nx,a\n"y,b\nz,a\n', {}, r"train.csv:3: a quotation mark is never closed"),
        (b"sentence,label\n" + b"".join(b"x,%d\n" % row for row in range(100)), {}, "99 labels in 99 rows"),
    ],
)
def test_bad_files(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], content: bytes, more: dict[str, Any], expected: str
) -> None:
    file = tmp_path / "train.csv"
    file.write_bytes(content)
    with pytest.raises(EdgekdError, match=expected):
        read = data(file, **{"dev_fraction": 0.01, **more})
        assert read.fingerprint and read.labels is not None and len(read.train) and len(read.dev)
    assert capfd.readouterr().err == ""  # no library tells it beside


def test_rows_with_an_empty_cell_are_left_out_where_one_asks(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("sentence,label\none,a\n,b\n  ,b\ntwo,\nthree,b\nfour,c\n")
    (tmp_path / "dev.csv").write_text("sentence,label\nfive,a\nsix,b\n")
    with pytest.raises(EdgekdError, match=r"train.csv:\d: column '.*' has no value") as error:
        data(tmp_path).read()
    assert "data.empty: drop" in error.value.hint
    read = data(tmp_path, empty="drop")
    assert read.train.texts == (("one",), ("three",), ("four",)) and read.labels == ("a", "b", "c")
    assert read.dropped == {"dropped": {"train": 3, "dev": 0}} and data(tmp_path).dropped == {}
    assert read.fingerprint == {**data(tmp_path).fingerprint, "empty": "drop"}  # else keys stay as they are
    with pytest.raises(EdgekdError, match=r"train.csv:7: label 'c' is none of a, b"):
        data(tmp_path, empty="drop", labels=["a", "b"]).read()


@pytest.mark.parametrize("mark", [";", "\t"])
def test_a_csv_may_have_another_separator(tmp_path: Path, mark: str) -> None:
    rows = "".join(f"well, {number}{mark}{'ab'[number % 2]}\n" for number in range(20))
    (tmp_path / "train.csv").write_text(f"\ufeffsentence{mark}label\n{rows}", encoding="utf-8")
    read = data(tmp_path / "train.csv")
    read.check()
    assert read.labels == ("a", "b") and ("well, 7",) in {*read.train.texts, *read.dev.texts}


def test_long_lists_of_labels_are_cut(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("sentence,label\nx,nine\ny,l1\nz,l2\n")
    with pytest.raises(EdgekdError, match=r"label 'nine' is none of l0, l1, .*, l9 ... and 1,090 more$") as error:
        data(tmp_path / "train.csv", labels=[f"l{number}" for number in range(1100)]).read()
    assert len(str(error.value)) < 300


def test_missing_places(tmp_path: Path) -> None:
    with pytest.raises(EdgekdError, match="no such file or folder"):
        data(tmp_path / "none.csv").fingerprint  # noqa: B018
    with pytest.raises(EdgekdError, match="holds no train file"):
        data(tmp_path).fingerprint  # noqa: B018
    (tmp_path / "x.txt").write_text("x")
    with pytest.raises(EdgekdError, match=r"files ending in '.txt' are not read"):
        data(tmp_path / "x.txt").fingerprint  # noqa: B018


@pytest.mark.parametrize("preset", glue.PRESETS)
def test_presets_fill_in_what_glue_is(preset: str) -> None:
    options = DataOptions.model_validate({"preset": preset})
    assert options.on_hub and options.source == "nyu-mll/glue" and options.kind.metric(options.metric or "")
    assert options.config == {"mnli_mismatched": "mnli"}.get(preset, preset)
    if options.task == "classification":
        assert len(options.labels) == (3 if "mnli" in preset else 2)


def test_a_preset_serves_local_files_too(tmp_path: Path) -> None:
    write(tmp_path, "tsv", [{"sentence": f"s {number}", "label": number % 2} for number in range(20)])
    read = Data(DataOptions.model_validate({"preset": "cola", "source": str(tmp_path)}))
    assert read.labels == ("unacceptable", "acceptable") and read.metric == "matthews_correlation"
    assert DataOptions.model_validate({"source": "nyu-mll/glue", "config": "cola"}).labels == read.labels


def test_the_fingerprint_is_of_what_counts(tmp_path: Path) -> None:
    first = data(write(tmp_path, "csv"))
    assert data(tmp_path / "train.csv", max_length=64).fingerprint != first.fingerprint
    (tmp_path / "moved").mkdir()
    assert data(write(tmp_path / "moved", "csv")).fingerprint == first.fingerprint
    assert data(write(tmp_path, "csv", ROWS[1:])).fingerprint != first.fingerprint


def test_rows_of_each_label_are_drawn_by_the_seed(tmp_path: Path) -> None:
    rows = [{"sentence": f"row {number}", "label": "ab"[number % 4 == 0]} for number in range(80)]
    file = write(tmp_path, "csv", rows)
    options = {"source": str(file), "text": ["sentence"], "dev_fraction": 0.2}

    def drawn(seed: int, count: int) -> Data:
        return Data(DataOptions.model_validate({**options, "per_class": count}), seed)

    few, again, other = drawn(1, 4), drawn(1, 4), drawn(2, 4)
    assert sorted(few.train.targets) == [0] * 4 + [1] * 4 and len(few.dev) == 16
    assert few.train.texts == again.train.texts and few.train.texts != other.train.texts
    assert set(few.train.texts) < set(drawn(1, 9).train.texts)
    whole = Data(DataOptions.model_validate(options), 1)
    kept = {text: target for (text,), target in zip(whole.train.texts, whole.train.targets, strict=True)}
    assert all(kept[text] == target for (text,), target in zip(few.train.texts, few.train.targets, strict=True))
    assert few.fingerprint != whole.fingerprint and few.fingerprint != other.fingerprint
    with pytest.raises(EdgekdError, match="rows are 'b', 40 asked for"):
        drawn(1, 40).train  # noqa: B018
    with pytest.raises(ValueError, match="a regression has none"):
        DataOptions.model_validate({**options, "task": "regression", "per_class": 4})


def test_the_limit_is_on_train_rows(tmp_path: Path) -> None:
    read = data(write(tmp_path, "csv"), limit=4)
    assert len(read.train) == 4


def test_batches_hold_every_row_once_and_little_padding() -> None:
    lengths = np.random.default_rng(0).integers(3, 60, 1000)
    found = list(batches(lengths, 16, seed=1))
    assert sorted(np.concatenate(found)) == list(range(1000))
    padded = sum(lengths[rows].max() * len(rows) for rows in found)
    assert padded < 1.1 * lengths.sum()
    again = list(batches(lengths, 16, seed=1))
    assert all((ours == theirs).all() for ours, theirs in zip(found, again, strict=True))
    other = list(batches(lengths, 16, seed=2))
    assert not all(len(o) == len(t) and (o == t).all() for o, t in zip(found, other, strict=True))


def test_a_moved_row_or_another_ending_is_another_data_set(tmp_path: Path) -> None:
    """The same bytes in other files."""
    digests = set()
    for name, train, dev in (("a", "x\t1\ny\t0\n", "z\t1\n"), ("b", "x\t1\n", "y\t0\nz\t1\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "train.tsv").write_text(train)
        (tmp_path / name / "dev.tsv").write_text(dev)
        digests.add(str(data(tmp_path / name, columns=["sentence", "label"]).fingerprint["sha256"]))
    (tmp_path / "a" / "train.tsv").rename(tmp_path / "a" / "train.csv")
    digests.add(str(data(tmp_path / "a", columns=["sentence", "label"]).fingerprint["sha256"]))
    assert len(digests) == 3


def test_a_mistyped_file_is_no_hub_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    options = DataOptions.model_validate({"source": "reviws.csv", "text": ["review"]})
    assert not options.on_hub
    with pytest.raises(EdgekdError, match=r"no such file or folder: reviws.csv"):
        Data(options).fingerprint  # noqa: B018


def test_a_label_of_rows_drawn_for_dev_alone_is_explained(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    rows = [f"text {number},{'ab'[number % 2]}" for number in range(40)]
    for place in range(40):  # one of them is drawn for dev
        file.write_text("\n".join(["text,label", *rows[:place], "alone,rare", *rows[place + 1 :]]) + "\n")
        data = Data(DataOptions.model_validate({"source": str(file), "text": ["text"], "label": "label"}))
        if "rare" in data.labels:
            continue
        with pytest.raises(
            EdgekdError, match=rf"rows.csv:{place + 2}: label 'rare' is none of a, b\n  The row was drawn for dev"
        ):
            data.read()
        return
    raise AssertionError("no row is drawn for dev")


def test_f1_is_of_two_labels(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("text,label\n" + "".join(f"text {number},{'abc'[number % 3]}\n" for number in range(60)))
    options = {"source": str(file), "text": ["text"], "label": "label"}
    with pytest.raises(
        EdgekdError, match=r"f1 is of two labels, and here are 3\n  Set data.metric: accuracy or"
    ) as caught:
        Data(DataOptions.model_validate({**options, "metric": "f1"})).read()
    assert caught.value.path == ("data", "metric")
    data = Data(DataOptions.model_validate(options))
    found = score(np.eye(3)[data.dev.targets], data)
    assert found.value == 1 and set(found.others) == {"matthews_correlation", "macro_f1"}
