"""edgekd new: files to begin with."""

from functools import partial
from importlib.util import find_spec
from pathlib import Path

import click

from edgekd.cli_echo import echo
from edgekd.errors import EdgekdError
from edgekd.new_recipe import TARGETS


@click.group()
def new() -> None:
    """Write a file to begin with."""


@new.command()
@click.option("--data", "source", required=True, help="A file or folder with rows: CSV, TSV, JSON lines, Parquet.")
@click.option("--text", "text", multiple=True, help="Column of the text; twice for a pair. [guessed]")
@click.option("--label", default="", help="Column of the label. [guessed]")
@click.option("--task", default="", help="classification or regression. [guessed]")
@click.option("--target", type=click.Choice(sorted(TARGETS)), default="onnx", help="Where it is to run. [onnx]")
@click.option("--device", default="local", help="Device to time it on. [local]")
@click.option("--out", type=click.Path(path_type=Path), help="The recipe's file. [the data's name].yaml")
def recipe(
    source: str, text: tuple[str, ...], label: str, task: str, target: str, device: str, out: Path | None
) -> None:
    """Write a commented recipe for a file of your own, and say what in the file to beware of."""
    from edgekd import device_files, new_recipe
    from edgekd.survey import survey

    found = survey(source, text, label, task)
    out = out or Path(f"{Path(source).stem}.yaml")
    device_files.load(device, out.parent)
    new_recipe.write(out, source, found, target, device)
    echo(f"{out}: {found.task} of {' and '.join(found.text)}, label {found.label}, {found.rows} rows")
    for line in found.advice:
        echo(f"  mind: {line}")
    echo(f"Next: edgekd run {out}")


def _plugin(kind: str, name: str, package: str) -> None:
    from edgekd import new_plugin

    found = new_plugin.write(kind, name, package, Path())
    echo(f"{found.file}: a {kind} that works, to be changed into yours\n{found.test}: its test")
    if found.entry:
        echo("Add this to pyproject.toml; where it has the first line, the second one under it:")
        echo("\n".join(f"  {line}" for line in found.entry.splitlines()))
    first, last = ("pip install -e . && ", "") if package else ("", "; when it is yours: make docs check")
    if find_spec("pytest") is None:
        first = f"pip install pytest, {first}"
    echo(f"Next: {first}pytest {found.test}, and edgekd explain {name}{last}")


for _kind in ("stage", "method", "runtime"):
    _text = f"Write a {_kind} that works, with its test: into a checkout of edgekd, or a package of your own."
    _package = click.option(
        "--package", default="", help="A Python package of yours to write it into, made here where there is none."
    )
    new.command(_kind, help=_text)(click.argument("name")(_package(partial(_plugin, _kind))))


@new.command()
@click.argument("name")
@click.option("--transport", type=click.Choice(["local", "ssh", "adb"]), default="ssh", help="How it is reached. [ssh]")
@click.option("--host", help="ssh: its name or address.")
@click.option("--port", type=int, help="ssh: port of its sshd.")
@click.option("--user", help="ssh: user name there.")
@click.option("--serial", help="adb: which phone, where several are connected.")
def device(name: str, transport: str, **options: str | int | None) -> None:
    """Write a commented device file, devices/NAME.yaml."""
    from edgekd import new_device

    if not name.replace("-", "_").isidentifier():
        raise EdgekdError(f"'{name}' is no name of a device", "Use letters, digits, '_' and '-', such as my_pi.")
    out = Path("devices", f"{name}.yaml")
    new_device.write(out, transport, {field: value for field, value in options.items() if value is not None})
    echo(f"{out}: the device {name}\nNext: edgekd devices doctor {name}")
