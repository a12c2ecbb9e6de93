"""edgekd new: files to begin with."""

from pathlib import Path

import click

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
    from edgekd import new_recipe
    from edgekd.survey import survey

    found = survey(source, text, label, task)
    out = out or Path(f"{Path(source).stem}.yaml")
    new_recipe.write(out, source, found, target, device)
    click.echo(f"{out}: {found.task} of {' and '.join(found.text)}, label {found.label}, {found.rows} rows")
    for line in found.advice:
        click.echo(f"  mind: {line}")
    click.echo(f"Next: edgekd run {out}")
