"""edgekd doctor and schema: what is installed, and what a recipe may hold, for editors."""

import json
from pathlib import Path

import click

from edgekd.cli_echo import echo
from edgekd.cli_options import RUNS
from edgekd.errors import EdgekdError


@click.command()
@RUNS
def doctor(runs: Path) -> None:
    """Check the installation: what is here, and what each missing extra would give.

    Ends with 1 where edgekd cannot work.
    """
    from edgekd import installation

    found = list(installation.examine(runs))
    width = max(len(finding.what) for finding in found)
    for finding in found:
        echo(f"{finding.what:{width}}  {finding.state}")
        if finding.advice:
            echo(f"{'':{width}}    {finding.advice}")
    if bad := [finding.what for finding in found if finding.bad]:
        raise EdgekdError(f"edgekd cannot work here: {', '.join(bad)}", "See above for what to type.")


@click.command()
def schema() -> None:
    """Print the JSON Schema of a recipe, with which an editor completes and checks recipes as they are written.

    `edgekd schema > recipe.json`, and `# yaml-language-server: $schema=recipe.json` as a recipe's first line.
    """
    from edgekd import schema as schemas

    echo(json.dumps(schemas.recipe(), indent=1))
