"""docs/tutorial.md as a reader types it: its file, its commands in their order, on a small encoder and this machine."""

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.conftest import pip_only, write_index
from tests.test_docs import ROOT, commands

PAGE = (ROOT / "docs" / "tutorial.md").read_text()
# What makes the run a matter of seconds; everything else is as the page has it.
SMALL = ["teacher.epochs=1", "student.model.layers=2", "student.epochs=1", "onnx_int8.max_drop=1", "devices=[quick]"]


def test_the_tutorial(
    edgekd: Callable[..., tuple[int, str, str]], encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDGEKD_CACHE", str(tmp_path / "cache"))
    (python,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.S)
    exec(compile(python, "tutorial", "exec"), {})
    (device,) = re.findall(r"```yaml\n(.*?)```", PAGE, flags=re.S)
    # The board is this machine.
    board = yaml.safe_load(device)
    board |= {"transport": {"type": "local"}, "provider": {"type": "system", "python": sys.executable}, "expect": {}}
    board["run"] = {"min_runs": 5, "repeats": 1, "warmup_s": 0, "score_rows": 8}
    (tmp_path / "devices").mkdir()
    (tmp_path / "devices" / f"{board['name']}.yaml").write_text(yaml.safe_dump(board))
    quick = "name: quick\nrun: {min_runs: 5, min_s: 0, repeats: 1, warmup_s: 0}\n"
    (tmp_path / "devices" / "quick.yaml").write_text(quick)
    settings = [word for field in [f"teacher.model={encoder}", *SMALL] for word in ("--set", field)]
    (tmp_path / "wheels").mkdir()
    write_index(tmp_path / "wheels", ("onnxruntime", "numpy", "tokenizers"))
    told = {}
    with pip_only(tmp_path / "wheels"):
        for words in commands(PAGE):
            code, out, err = edgekd(*words, *(settings if words[0] in ("run", "plan") else []))
            assert code == 0, (words, err)
            told[" ".join(words[:2])] = out
    assert "classification of review, label verdict, 540 rows" in told["new recipe"]
    assert "onnx_int8" in told["report runs/reviews"] and "ok    onnxruntime" in told["devices doctor"]
    assert re.search(r"onnx_int8 .* 100\.0%", told["devices bench"])
    assert '"label": ' in told["predict runs/reviews/onnx_int8"]
    (archive,) = re.findall(r"scp (bundles/\S+)", PAGE)
    assert (tmp_path / archive).is_file()
