"""Runs that lie in a folder, what a store holds for none of them, and edgekd from Python."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import edgekd as package
from edgekd import history
from edgekd.errors import EdgekdError
from edgekd.store import Store
from tests.conftest import Ran


@pytest.fixture
def copied(ran: Ran, tmp_path: Path) -> tuple[Path, Store]:
    """The finished run and its store, to be spoilt; without what other tests have left in the store that they share."""
    runs = tmp_path / "runs"
    shutil.copytree(ran.runs, runs, symlinks=True)
    store = Store(runs / ".store")
    history.clean(store, history.garbage(store, [runs]))
    return runs, store


def test_a_run_is_listed_and_removed_with_what_edgekd_wrote_alone(
    edgekd: Callable[..., tuple[int, str, str]], copied: tuple[Path, Store]
) -> None:
    runs, store = copied
    code, out, _ = edgekd("runs", "list", "--runs", runs)
    assert code == 0 and "passed" in out and "onnx_int8" in out
    assert edgekd("runs", "show", "small", "--runs", runs)[1] == (runs / "small" / "report.md").read_text()
    (runs / "small" / "notes.txt").write_text("mine")
    code, _, err = edgekd("runs", "rm", "smal", "--runs", runs)
    assert code == 1 and "Did you mean 'small'?" in err
    assert edgekd("runs", "rm", "small", "--runs", runs)[0] == 0
    assert [file.name for file in (runs / "small").iterdir()] == ["notes.txt"]
    assert len(list((store.root / "artifacts").iterdir())) == 4


def test_the_store_is_cleaned_of_what_no_run_needs(
    edgekd: Callable[..., tuple[int, str, str]], copied: tuple[Path, Store]
) -> None:
    runs, store = copied
    assert history.garbage(store, [runs]).artifacts == ()
    # Without its report and the links to the rest, a run needs the file that is left and all it was made from.
    (runs / "small" / "report.json").unlink()
    for name in ("teacher", "student", "onnx_int8"):
        (runs / "small" / name).unlink()
    last = history.garbage(store, [runs])
    assert len(last.artifacts) == 1 and store.load(last.artifacts[0]).manifest.stage == "quantize_onnx"
    (runs / "small" / "onnx").unlink()
    store.scratch("draft")
    code, out, _ = edgekd("runs", "gc", "--runs", runs)
    assert code == 0 and "needs 4 artifacts and 1 drafts" in out
    assert len(list((store.root / "artifacts").iterdir())) == 4  # only told
    busy = last.artifacts[0]
    with store.lock(busy):
        assert edgekd("runs", "gc", "--runs", runs, "--yes")[0] == 0
    assert [path.name for path in (store.root / "artifacts").iterdir()] == [busy]
    assert not list((store.root / "scratch").iterdir()) and list((store.root / "measured").iterdir())
    assert edgekd("runs", "gc", "--runs", runs / "nowhere")[0] == 1


def test_from_python(ran: Ran) -> None:
    assert package.run(ran.recipe, ran.runs).steps[-1].step == "onnx_int8"
    assert package.Recipe.read(ran.recipe, ["seed=3"]).seed == 3
    with pytest.raises(EdgekdError, match="settings is a list"):
        package.run(ran.recipe, ran.runs, settings="seed=3")
    with package.load(ran.folder / "onnx_int8") as model:
        assert model.labels == ("no", "yes")
        found = model.predict(["the cat not sees a dog .", ("the cat sees a dog .",)])
        assert [answer["label"] for answer in found] == ["no", "yes"]
        with pytest.raises(EdgekdError, match="takes a list"):
            model.predict("the cat")
        with pytest.raises(EdgekdError, match="2 sentences given"):
            model.predict([("a", "b")])
        for wrong in (None, 1.5, (), ["a", None]):
            with pytest.raises(EdgekdError, match="is no text"):
                model.predict([wrong])  # type: ignore[list-item]
    with pytest.raises(EdgekdError, match=r"this model is closed\n  load\(\) it again"):
        model.predict(["the cat"])
    with pytest.raises(ImportError):
        from edgekd import nothing  # type: ignore[attr-defined] # noqa: F401


def test_a_store_is_read_whole(
    edgekd: Callable[..., tuple[int, str, str]], copied: tuple[Path, Store], tmp_path: Path
) -> None:
    runs, _ = copied
    code, out, _ = edgekd("verify", "--runs", runs)
    assert code == 0 and out.startswith("4 artifacts, ") and out.endswith("every file is what was made\n")
    model = runs / "small" / "onnx" / "model.onnx"
    spoilt = bytearray(model.read_bytes())
    spoilt[len(spoilt) // 2] ^= 1  # one bit, of the same size
    model.write_bytes(spoilt)
    code, out, err = edgekd("verify", "--runs", runs)
    assert code == 1 and "1 of 4 artifacts are damaged" in err
    assert "model.onnx is not the file that was recorded" in out and f"rm -r {model.parent.resolve()}" in out
    assert edgekd("verify", runs / "small" / "teacher")[0] == 0
    assert edgekd("verify", runs / "small" / "onnx")[0] == 1
    code, out, err = edgekd("verify", tmp_path)
    assert code == 1 and "is no artifact" in out
    assert edgekd("verify", "--runs", tmp_path / "empty")[:2] == (
        0,
        "0 artifacts, 0.0 MB: every file is what was made\n",
    )
