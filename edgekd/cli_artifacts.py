"""What is done with a run's artifacts: edgekd predict, bundle, push."""

import json
import os
from pathlib import Path

import click

from edgekd.cli_echo import echo


@click.command()
@click.argument("artifact", type=click.Path(path_type=Path))
@click.argument("text", nargs=-1)
@click.option(
    "--dictionary",
    type=click.Path(path_type=Path),
    help="For a model with a dictionary: another file of entries, a tab and a type each.",
)
def predict(artifact: Path, text: tuple[str, ...], dictionary: Path | None) -> None:
    """Answer for TEXT (two texts for a model of pairs), or for each line of standard input.

    A line is plain text, or JSON: a string, a list of two strings, or an object with the recipe's text columns. Answers
    are JSON lines, one for each line. A line that has none, such as a blank one, ends the command with its number.
    """
    from edgekd.asking import asked
    from edgekd.predicting import predict as answers

    for answer in answers(artifact, asked(artifact, text), dictionary):
        echo(json.dumps(answer, ensure_ascii=False))


@click.command()
@click.argument("artifact", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), default=Path("bundles"), help="Folder to put it in.")
@click.option("--archive", is_flag=True, help="One .tar.gz instead of a folder.")
@click.option(
    "--platform", default="", help="Wheels to require, such as manylinux_2_28_aarch64; default: this machine's."
)
@click.option("--python", default="", help="Python version of those wheels, such as 3.11; default: this one's.")
@click.option("--sign", "key", type=click.Path(path_type=Path), help="Sign it with this secret key of minisign.")
def bundle(artifact: Path, out: Path, archive: bool, platform: str, python: str, key: Path | None) -> None:
    """Make runs/NAME/STEP into a folder or archive that serves it anywhere: model, predict.py, requirements with
    hashes, a model card, and golden vectors that `python predict.py --selftest` replays.

    A key's password is asked for, or taken from EDGEKD_SIGN_PASSWORD. Check what was signed with edgekd verify --key.
    """
    from edgekd import bundle as bundles

    def password() -> str:
        told = os.environ.get("EDGEKD_SIGN_PASSWORD")
        return str(click.prompt(f"Password of {key}", hide_input=True, err=True)) if told is None else told

    made = bundles.bundle(artifact, out, archive, platform, python, key, password)
    echo(f"{made} ({bundles.size(made) / 1e6:.1f} MB)")


@click.command()
@click.argument("folder", metavar="RUN", type=click.Path(path_type=Path))
@click.argument("repository", metavar="OWNER/NAME")
@click.option("--step", default="", help="Whose artifact. [the last step's]")
@click.option("--private", is_flag=True, help="Make the repository for its owner's eyes alone.")
@click.option("--platform", default="", help="Wheels to require; see edgekd bundle.")
@click.option("--python", default="", help="Python version of those wheels.")
def push(folder: Path, repository: str, step: str, private: bool, platform: str, python: str) -> None:
    """Publish an artifact of runs/NAME on the Hugging Face hub, as `edgekd bundle` makes it: with its model card.

    What was refused is not published. The bundle's golden vectors are the first texts of dev, word for word: --private
    where they are not for everybody.
    """
    from edgekd import pushing

    echo(pushing.push(folder, repository, step, private or None, platform, python))
