"""edgekd runs: list, show and remove finished runs, and clean the store. edgekd verify: is what it holds sound?"""

from pathlib import Path

import click

from edgekd.cli_echo import echo
from edgekd.cli_options import RUNS, STORE, opened
from edgekd.errors import EdgekdError


@click.group()
def runs() -> None:
    """List, show and remove finished runs, and clean the store of what none of them needs."""


@runs.command("list")
@RUNS
def list_runs(runs: Path) -> None:
    """A line a run: when, what it came to, its last artifact."""
    from edgekd import history
    from edgekd.terminal import Terminal

    with Terminal() as terminal:
        terminal.history(list(history.runs(runs)))


@runs.command("show")
@click.argument("name")
@RUNS
def show_run(name: str, runs: Path) -> None:
    """Print the report of a run; `edgekd report` has other forms of it."""
    from edgekd import report_files

    report_files.read(runs / name)
    echo(report_files.told(runs / name, report_files.MARKDOWN), nl=False)


@runs.command("rm")
@click.argument("names", nargs=-1, required=True)
@RUNS
def remove_runs(names: tuple[str, ...], runs: Path) -> None:
    """Remove the report and the links of runs. Artifacts stay in the store until `edgekd runs gc`."""
    from edgekd import history

    for name in names:
        history.remove(runs, name)
        echo(f"removed {runs / name}")


@runs.command("gc")
@click.option(
    "--runs",
    "folders",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Folder for runs; each that shares the store. [runs]",
)
@STORE
@click.option("--yes", is_flag=True, help="Remove it; else it is only told.")
def collect(folders: tuple[Path, ...], store: str | None, yes: bool) -> None:
    """Remove from the store what no run in these folders needs. Timings and scores stay: they are small."""
    from edgekd import history

    folders = folders or (Path("runs"),)
    if missing := [folder for folder in folders if not folder.is_dir()]:
        raise EdgekdError(
            f"no such folder: {missing[0]}", "Name the folders of runs that share the store: --runs FOLDER."
        )
    kept = opened(folders[0], store)
    found = history.garbage(kept, folders)
    told = f"{len(found.artifacts)} artifacts and {len(found.drafts)} drafts, {found.size / 1e6:.1f} MB"
    if yes:
        history.clean(kept, found)
        echo(f"removed {told}")
    else:
        echo(f"no run in {', '.join(map(str, folders))} needs {told}; --yes removes them")


@click.command()
@click.argument("folders", metavar="[ARTIFACT|BUNDLE]...", nargs=-1, type=click.Path(path_type=Path))
@click.option("--key", help="A public key of minisign, or its file: each must be a bundle that it signed.")
@RUNS
@STORE
def verify(folders: tuple[Path, ...], key: str | None, runs: Path, store: str | None) -> None:
    """Read artifacts and bundles whole, the store's artifacts where none is named, and compare every file with what was
    made.

    Ends with 1 where one differs, and says how to make it anew.
    """
    from edgekd import history, signing

    if key:
        if not folders:
            raise EdgekdError("a key checks bundles, and none is named", "Type: edgekd verify BUNDLE --key FILE")
        for folder in folders:
            echo(f"{folder}: signed as '{signing.check_signature(folder, key)}'")
    found = history.verify(folders or history.artifacts(opened(runs, store)))
    for error in found.damaged:
        echo(f"{error.problem}\n  {error.hint}")
    if found.damaged:
        problem = f"{len(found.damaged)} of {found.artifacts} artifacts are damaged"
        raise EdgekdError(problem, "Remove them as told; runs make them anew.")
    echo(f"{found.artifacts} artifacts, {found.size / 1e6:.1f} MB: every file is what was made")
