"""A bundle serves by its own files alone, and its self-test fails where the model is not the one that was measured."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from edgekd import bench, bundle, bundle_card, bundle_requirements, closure, new_plugin, selftest
from edgekd.artifact import Artifact
from edgekd.bundle_requirements import Target
from edgekd.cli import cli
from edgekd.errors import EdgekdError
from tests.conftest import Ran, pip_only, write_index

pytestmark = pytest.mark.usefixtures("served_wheels")


@pytest.fixture(scope="module")
def made(ran: Ran, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundle.bundle(ran.folder / "onnx_int8", tmp_path_factory.mktemp("bundles"))


def serve(folder: Path, *argv: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """The bundle's predict.py in a Python that finds no edgekd but the bundle's."""
    run = [sys.executable, "-S", "-c", _ALONE, str(folder / "predict.py"), *argv]
    return subprocess.run(run, input=stdin, capture_output=True, text=True, cwd=folder.parent)


# Site packages without edgekd's own: an editable install is found through a hook, a plain one through its folder.
_ALONE = """
import runpy, site, sys
site.main()
sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in repr(finder).lower()]
sys.path[:] = [p for p in sys.path if p]
sys.argv = sys.argv[1:]
sys.path.insert(0, sys.argv[0].rpartition("/")[0])
import edgekd
assert edgekd.__file__.startswith(sys.path[0]), edgekd.__file__
runpy.run_path(sys.argv[0], run_name="__main__")
heavy = {"torch", "transformers", "pydantic", "onnx", "sklearn", "scipy"} & set(sys.modules)
assert not heavy, heavy
"""


def test_a_bundle_answers_by_itself(made: Path) -> None:
    done = serve(made, "the cat sees a dog .")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["label"] in {"yes", "no"}
    several = serve(made, stdin='"the cat sees a dog ."\n["the cat not sees a dog ."]\nthe cat sees a dog .\n')
    assert len(several.stdout.splitlines()) == 3
    broken = serve(made, stdin='the cat sees a dog .\n{"sentence": "the\n')
    assert broken.returncode == 1 and broken.stderr.startswith("error: stdin:2: the line begins as JSON and is none")


def test_it_says_what_python_it_is_for_and_what_is_missing(made: Path, tmp_path: Path) -> None:
    ours = "{}.{}".format(*sys.version_info)
    told = f"For Python {ours} on {sysconfig.get_platform().replace('-', '_').replace('.', '_')}"
    head, *_ = (made / "requirements.txt").read_text().splitlines()
    assert head.startswith(f"# {told}, complete: ") and told in (made / "README.md").read_text()
    bare = [sys.executable, "-S", str(made / "predict.py"), "--selftest"]  # a Python without any package
    done = subprocess.run(bare, capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.startswith("error: there is no module ") and not done.stdout
    assert done.stderr.endswith(f"Type: python{ours} -m pip install --no-deps -r {made / 'requirements.txt'}\n")
    other = shutil.copytree(made, tmp_path / "other")
    (other / "requirements.txt").write_text("# For Python 3.99 on manylinux_2_28_aarch64, complete: pip\n")
    done = serve(other, "the cat sees a dog .")
    assert done.returncode == 0, done.stderr
    assert done.stderr == f"note: this is Python {ours}, and the bundle is for Python 3.99 on manylinux_2_28_aarch64\n"


def test_the_selftest_passes_and_can_fail(made: Path, tmp_path: Path) -> None:
    done = serve(made, "--selftest")
    assert done.returncode == 0 and "selftest passed: 16 rows" in done.stdout, done.stderr
    golden = json.loads((made / selftest.GOLDEN).read_text())
    other = tmp_path / "golden.json"
    for change, told in (("logits", "a logit differs by"), ("tokens", "other tokens than recorded")):
        spoilt = json.loads(json.dumps(golden))
        spoilt["rows"][3][change][0] += 10
        other.write_text(json.dumps(spoilt))
        with pytest.raises(EdgekdError, match=f"golden row 4: {told}"):
            selftest.replay(made / "model", other)


def test_the_model_in_it_is_the_one_that_was_measured(made: Path, ran: Ran) -> None:
    assert Artifact.load(made / "model").digest == Artifact.load(ran.folder / "onnx_int8").digest


def test_its_card_says_what_was_a_stand_in() -> None:
    assert bundle_card._stand_in(["data", "student.model"]).startswith("**A stand-in for the data and the pretrained")
    told = bundle_card._stand_in(["teacher.model"])
    assert "stand-in for the pretrained model**" in told and "data" not in told and told.endswith("set teacher.model.")


def test_its_card_states_what_was_measured(made: Path, ran: Ran, corpus: Path) -> None:
    text = (made / "README.md").read_text()
    step = next(entry for entry in ran.json["steps"] if entry["step"] == "onnx_int8")
    head = yaml.safe_load(text.split("---")[1])
    metric = head["model-index"][0]["results"][0]["metrics"][0]
    assert metric == {"type": "matthews_correlation", "value": round(step["score"]["value"], 4)}
    for name in ("onnx_int8", "onnx", "student", "teacher"):
        assert f"| {name} |" in text
    doubts = step["doubts"]
    assert doubts and f"- quick, 1 thread: {'; '.join(doubt.removeprefix('quick: ') for doubt in doubts)}" in text
    train = [line.rpartition(",")[2] for line in (corpus / "train.csv").read_text().splitlines()[1:]]
    counts = f"no {train.count('no') + train.count('0')}, yes {train.count('yes') + train.count('1')}"
    assert f"Trained on {corpus.name}: 96 rows to learn from, 40 of the development split." in text and counts in text
    assert str(corpus.parent) not in text and "stand-in" not in text
    assert "quick" in text and f"{1e3 * step['timings'][0]['latency']['p50']['value']:.2f}" in text


def test_its_card_states_doubts_of_scores(ran: Ran) -> None:
    """Those of what it was made from too; not the times of others."""
    report = ran.json
    by_id = {step["step"]: step for step in report["steps"]}
    by_id["student"]["doubts"] = ["quick: drift", "its accuracy is no better than that of always 'no'"]
    by_id["student"]["timings"] = []
    by_id["teacher"]["doubts"] += ["3 of dev's 40 rows are in train too, word for word"]
    found = list(bundle_card._of_scores(report, by_id["onnx_int8"]))
    assert found == [
        "student: quick: drift",  # as no timing has it
        "student: its accuracy is no better than that of always 'no'",
        "teacher: 3 of dev's 40 rows are in train too, word for word",
    ]
    assert list(bundle_card._of_scores(report, by_id["teacher"])) == found[2:]
    assert bundle_card._told(found)[1].count("\n- ") == 2 and bundle_card._told([]) == []


def test_its_requirements_are_complete_and_by_digest(made: Path) -> None:
    lines = (made / "requirements.txt").read_text().splitlines()[1:]
    names = {line.partition("==")[0].lower() for line in lines}
    assert {"onnxruntime", "numpy", "tokenizers"} <= names
    assert not {"torch", "transformers", "pydantic", "huggingface_hub"} & names
    assert all(len(line.partition("--hash=sha256:")[2]) == 64 for line in lines)


def test_its_code_is_closed_and_small(made: Path, tmp_path: Path) -> None:
    files = {file.relative_to(made / "edgekd").as_posix() for file in (made / "edgekd").rglob("*.py")}
    assert {"predicting.py", "selftest.py", "engine.py", "runtimes/onnxruntime.py", "tasks/classification.py"} <= files
    assert not {"pipeline.py", "stage.py", "runtimes/openvino.py", "tasks/regression.py"} & files
    closure.copy(tmp_path, ["edgekd.predicting"])
    assert not (tmp_path / "edgekd" / "runtimes" / "onnxruntime.py").exists()


def test_an_archive_by_the_command_line(ran: Ran, tmp_path: Path) -> None:
    argv = ["bundle", str(ran.folder / "onnx"), "--out", str(tmp_path), "--archive"]
    done = CliRunner().invoke(cli, argv, catch_exceptions=False)
    assert done.exit_code == 0 and "small-onnx.tar.gz" in done.output
    with tarfile.open(tmp_path / "small-onnx.tar.gz") as tar:
        tar.extractall(tmp_path, filter="data")
    assert "selftest passed" in serve(tmp_path / "small-onnx", "--selftest").stdout


def test_bundles_for_other_machines_lie_beside_each_other(ran: Ran, tmp_path: Path) -> None:
    argv = ["bundle", str(ran.folder / "onnx"), "--out", str(tmp_path)]
    for more in ([], ["--platform", "manylinux_2_28_aarch64", "--python", "3.11"]):
        assert CliRunner().invoke(cli, [*argv, *more], catch_exceptions=False).exit_code == 0
    there = tmp_path / "small-onnx-manylinux_2_28_aarch64-py3.11"
    assert sorted(tmp_path.iterdir()) == [tmp_path / "small-onnx", there]
    assert "# For Python 3.11 on manylinux_2_28_aarch64, " in (there / "requirements.txt").read_text()
    with pytest.raises(EdgekdError, match="--python python3: no version of Python"):
        bundle.bundle(ran.folder / "onnx", tmp_path, python="python3")


def test_what_was_not_measured_is_not_bundled(made: Path, tmp_path: Path) -> None:
    with pytest.raises(EdgekdError, match=r"holds no report\.json"):
        bundle.bundle(made / "model", tmp_path)


def test_other_rows_than_the_runs_are_refused(ran: Ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = tmp_path / "run"
    here.mkdir()
    (here / "onnx_int8").symlink_to((ran.folder / "onnx_int8").resolve())
    shutil.copyfile(ran.folder / "report.json", here / "report.json")
    recipe = yaml.safe_load((ran.folder / "recipe.yaml").read_text())
    rows = Path(shutil.copytree(recipe["data"]["source"], tmp_path / "rows"))
    recipe["data"]["source"] = rows.name
    (here / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    monkeypatch.chdir(tmp_path)
    assert bench.texts(here / "onnx_int8", None) == bench.texts(ran.folder / "onnx_int8", None)
    changed = next(file for file in sorted(rows.rglob("*")) if file.is_file())
    changed.write_bytes(changed.read_bytes().replace(b"cat", b"dog"))
    for read in (
        lambda: bench.texts(here / "onnx_int8", None),
        lambda: bundle.bundle(here / "onnx_int8", tmp_path / "out"),
    ):
        with pytest.raises(EdgekdError, match=r"^rows is not what .*/?run/onnx_int8 was made from \(sha256 .* then, "):
            read()
    shutil.rmtree(rows)
    with pytest.raises(EdgekdError, match=r"rows, which .* was made from, is not in"):
        bench.texts(here / "onnx_int8", None)


def test_a_runtime_of_another_package_is_not_carried(ran: Ran, tmp_path: Path) -> None:
    new_plugin.write("runtime", "other", "theirs", tmp_path)
    (tmp_path / "theirs-1.0.dist-info").mkdir()
    (tmp_path / "theirs-1.0.dist-info" / "entry_points.txt").write_text(
        "[edgekd.runtimes]\nother = theirs.other:Other\n"
    )
    folder = shutil.copytree(ran.folder, tmp_path / "run")
    manifest = (folder / "onnx" / "manifest.json").read_text()
    (folder / "onnx" / "manifest.json").write_text(manifest.replace('"format": "onnx"', '"format": "other"'))
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{Path.cwd()}"}
    argv = [sys.executable, "-m", "edgekd", "bundle", str(folder / "onnx")]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True)
    assert done.returncode == 1 and "the runtime other is of another package" in done.stderr


def test_what_pip_cannot_resolve_is_said() -> None:
    with pytest.raises(EdgekdError, match=r"pip cannot resolve numpy==0\.0\.0"):
        bundle_requirements.requirements({"numpy": "0.0.0"}, Target())


def test_a_wheel_of_an_older_platform_is_found_for_a_newer_one(tmp_path: Path) -> None:
    """A board's wheels are named by the oldest system they run on, and each by another."""
    write_index(tmp_path, ("onnxruntime", "numpy", "tokenizers"))
    for name, tags in (
        ("onnxruntime", "manylinux_2_27_aarch64.manylinux_2_28_aarch64"),
        ("numpy", "manylinux2014_aarch64"),
        ("tokenizers", "manylinux_2_17_aarch64"),
    ):
        (file,) = tmp_path.glob(f"{name}-*.whl")
        file.rename(file.with_name(file.name.replace("py3-none-any", f"py3-none-{tags}")))
    libraries = {name: version(name) for name in ("onnxruntime", "numpy")}
    with pip_only(tmp_path):
        told = bundle_requirements.requirements(libraries, Target("manylinux_2_28_aarch64", "3.11"))
        assert {line.partition("==")[0] for line in told.splitlines()[1:]} == {*libraries, "tokenizers"}
        with pytest.raises(EdgekdError, match="pip cannot resolve"):
            bundle_requirements.requirements(libraries, Target("manylinux_2_17_aarch64", "3.11"))
