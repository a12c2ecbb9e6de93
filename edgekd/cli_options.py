"""Options that several commands share."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from edgekd.store import Store

RECIPE = click.argument("recipe", type=click.Path(path_type=Path))
RUNS = click.option("--runs", default="runs", type=click.Path(path_type=Path), help="Folder for runs. [runs]")
STORE = click.option(
    "--store",
    type=click.Path(path_type=Path),
    envvar="EDGEKD_STORE",
    help="Folder for artifacts that runs share. [RUNS/.store, or EDGEKD_STORE]",
)
SETTINGS = click.option(
    "--set", "settings", multiple=True, metavar="FIELD=VALUE", help="Override a field: steps.student.epochs=1."
)
ONLINE = click.option(
    "--online/--offline", default=None, help="Use the hub, or the recipe's offline block. [ask the hub]"
)


def opened(runs: Path, store: Path | None) -> "Store":
    """The store of a runs folder. Raises EdgekdError where either can be no folder."""
    from edgekd.store import Store, check_folder

    for folder in (runs, store or runs):
        check_folder(folder)
    return Store((store or runs / ".store").absolute())
