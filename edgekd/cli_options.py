"""Options that several commands share."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from edgekd.launching import Launch
    from edgekd.store import Store

RECIPE = click.argument("recipe", type=click.Path(path_type=Path))
RUNS = click.option("--runs", default="runs", type=click.Path(path_type=Path), help="Folder for runs. [runs]")
STORE = click.option(
    "--store",
    envvar="EDGEKD_STORE",
    help="Folder or s3://BUCKET/FOLDER for artifacts that runs share. [RUNS/.store, or EDGEKD_STORE]",
)
SETTINGS = click.option(
    "--set", "settings", multiple=True, metavar="FIELD=VALUE", help="Override a field: steps.student.epochs=1."
)
LAUNCH = click.option(
    "--launch",
    metavar="COMMAND",
    help='Train in several processes, which it starts: --launch "torchrun --standalone --nproc-per-node 2".',
)
ONLINE = click.option(
    "--online/--offline", default=None, help="Use the hub, or the recipe's offline block. [ask the hub]"
)


def opened(runs: Path, store: str | None) -> "Store":
    """The store of a runs folder. Raises EdgekdError where either can be no folder."""
    from edgekd import shared_store

    return shared_store.opened(store, runs)


def launcher(command: str | None) -> "Launch | None":
    """What --launch names. Raises EdgekdError where there is no such program."""
    from edgekd.launching import Command

    return None if command is None else Command.read(command)
