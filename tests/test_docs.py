"""The documentation against the code it speaks of: commands, options, recipes, files, links."""

import re
import runpy
import shlex
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from edgekd import device_files
from edgekd.cli import cli
from edgekd.data_options import DataOptions
from edgekd.explaining import explain
from edgekd.kd.method import METHODS
from edgekd.recipe import load
from edgekd.study import read

ROOT = Path(__file__).parents[1]
FOLDERS = (".", "docs", "docs/methods", "benchmarks")
PAGES = sorted(str(file.relative_to(ROOT)) for folder in FOLDERS for file in (ROOT / folder).glob("*.md"))
NOW = [page for page in PAGES if page not in ("CHANGELOG.md", "benchmarks/LOG.md")]  # these tell what was
TEACHER = {"id": "teacher", "stage": "finetune", "model": "google-bert/bert-base-uncased"}


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\b[^\n]*\n(.*?)^```", text, flags=re.S | re.M)


def commands(text: str) -> Iterator[list[str]]:
    """The words after `edgekd` of every command line in the page's shell blocks."""
    for block in blocks(text, "sh"):
        yield from of_shell(block)


def of_shell(script: str) -> Iterator[list[str]]:
    variables: dict[str, str] = {}
    for line in re.sub(r"\\\n", " ", script).splitlines():
        words = shlex.split(line.removeprefix("$ "), comments=True) if not line.startswith("{") else []
        for part in separated(words):
            while part and (assigned := re.fullmatch(r"(\w+)=(.*)", part[0])):
                variables[assigned[1]] = assigned[2]
                part = part[1:]
            if part and part[0][1:] in variables:
                part = [*variables[part[0][1:]].split(), *part[1:]]
            if part and Path(part[0]).name == "edgekd":
                yield part[1:]


def separated(words: Sequence[str]) -> Iterator[list[str]]:
    part: list[str] = []
    for word in [*words, "&&"]:
        if word in ("&&", "||", "|", ";", ">>", ">"):
            yield part
            part = []
        else:
            part.append(word)


def parsed(words: Sequence[str]) -> None:
    """Reads a command line as edgekd does. Raises click's UsageError for a command or an option that there is not."""
    command: click.Command = cli
    context: click.Context | None = None
    rest, name = list(words), "edgekd"
    while isinstance(command, click.Group):
        context = click.Context(command, parent=context, info_name=name)
        _, rest, _ = command.make_parser(context).parse_args(rest)
        if not rest:
            return
        found, inner, rest = command.resolve_command(context, rest)
        assert found is not None and inner is not None
        name, command = found, inner
    command.make_context(name, rest, parent=context)


def test_the_reference_is_not_stale() -> None:
    generated = runpy.run_path(str(ROOT / "docs" / "generate.py"))["reference"]()
    assert (ROOT / "docs" / "reference.md").read_text() == generated, "type: make docs"


@pytest.mark.parametrize("page", NOW)
def test_every_command_line_is_one(page: str) -> None:
    text = (ROOT / page).read_text()
    for words in commands(text):
        parsed(words)
        for word in words:
            if word.startswith(("recipes/", "benchmarks/")):
                assert (ROOT / word).is_file(), word
    for told in re.findall(r"`(?:\.venv/bin/)?edgekd ([^`]+)`", text):
        words = shlex.split(re.sub(r"\[([A-Z]+)\]|(\w+)(?:\|\w+)+|\.\.\.", r"\1\2", told))
        with suppress(click.MissingParameter):  # named in a sentence, not written out
            parsed(words)
        if words[0] == "explain" and words[1:] and words[1].islower():
            assert explain(words[1])


def test_what_is_no_command_is_found() -> None:
    (words,) = of_shell('RUN="edgekd run"\ncd x && FLAG=1 $RUN recipe.yaml \\\n  --sett a=1 | head  # a comment')
    assert words == ["run", "recipe.yaml", "--sett", "a=1"]
    with pytest.raises(click.UsageError, match="No such option"):
        parsed(words)
    with pytest.raises(click.UsageError, match="No such command 'runn'"):
        parsed(["runn"])
    with pytest.raises(click.UsageError, match="No such command 'docter'"):
        parsed(["devices", "docter", "local"])


@pytest.mark.parametrize("page", PAGES)
def test_files_and_links_exist(page: str) -> None:
    text = (ROOT / page).read_text()
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
        assert target.startswith("https:") or ((ROOT / page).parent / target).exists(), target
    if page in NOW:
        made = re.findall(r"^([\w -]+):", (ROOT / "Makefile").read_text(), flags=re.M)
        for target in re.findall(r"(?:^|`)make ([a-z-]+)", text, flags=re.M):
            assert target in " ".join(made).split(), f"make {target}"
        for script in re.findall(r"(?:python |`)((?:benchmarks|recipes|devices|tests)/[\w/.]+\.\w+)", text):
            assert (ROOT / script).is_file(), script


@pytest.mark.parametrize("page", [page for page in NOW if page != "docs/extending.md"])  # whose plug-ins are no files
def test_every_recipe_study_and_device_is_one(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "recipes", tmp_path / "recipes")
    (tmp_path / "reviews.csv").write_text("review,stars\ngood,5\nbad,1\n")
    (tmp_path / "wikipedia.txt").write_text("A line.\n")
    (tmp_path / "wnut17").mkdir()
    for name in ("train", "dev"):
        (tmp_path / "wnut17" / f"{name}.bio").write_text("Ann\tB-person\n")
    (tmp_path / "entities.tsv").write_text("Ann\tperson\n")
    for name in ("raspberry_pi_5", "my_pi"):
        (tmp_path / f"{name}.yaml").write_text(f"name: {name}\n")
    for text in blocks((ROOT / page).read_text(), "yaml"):
        given: Any = yaml.safe_load(text)
        file = tmp_path / "recipes" / "studies" / "block.yaml"
        file.write_text(text)
        match given:
            case {"axes": _}:
                assert read(file, online=True).variants
            case {"steps": steps}:
                assert [step.id for step in load(file, online=True).steps] == [step["id"] for step in steps]
            case {"jobs": _}:
                scripts = [step["run"] for job in given["jobs"].values() for step in job["steps"] if "run" in step]
                assert [parsed(words) for script in scripts for words in of_shell(script)]
            case {"name": name, "run": _}:
                assert device_files.load(str(file), tmp_path).name == name
            case {"data": data}:
                assert DataOptions.model_validate(data)
            case [*steps]:
                file.write_text(yaml.safe_dump(recipe_of(steps)))
                assert load(file, online=True).steps
            case _:
                pytest.fail(f"neither a recipe, nor a study, a device, steps or data: {text}")


def recipe_of(steps: list[dict[str, Any]]) -> dict[str, Any]:
    """A recipe around some steps."""
    tokens = any(step.get("method") == "dictionary" for step in steps)
    data = {"source": "wnut17", "task": "tokens"} if tokens else {"source": "nyu-mll/glue", "config": "sst2"}
    given = steps if steps[0]["id"] == "teacher" else [TEACHER, *steps]
    return {"name": "block", "data": data, "steps": given}


def test_every_method_has_a_page() -> None:
    assert {Path(page).stem for page in PAGES if page.startswith("docs/methods/")} == {"README", *METHODS.names}


def test_every_score_on_a_page_stands_in_the_log() -> None:
    log = (ROOT / "benchmarks" / "LOG.md").read_text()
    pages = [page for page in PAGES if page.startswith(("docs/methods/", "docs/benchmarks"))]
    scores = {score for page in pages for score in re.findall(r"\b0\.\d{4}\b", (ROOT / page).read_text())}
    assert len(scores) > 20 and not {score for score in scores if score not in log}


def test_every_option_has_a_description() -> None:
    tables = (ROOT / "docs" / "reference.md").read_text().splitlines()
    assert not [line for line in tables if line.startswith("| `") and line.endswith("|  |")]
