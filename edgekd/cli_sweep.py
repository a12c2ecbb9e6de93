"""edgekd sweep: many variants of one recipe, here or on a cluster."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from edgekd.cli_echo import echo
from edgekd.cli_options import LAUNCH, ONLINE, RECIPE, RUNS, SETTINGS, STORE, launcher, opened
from edgekd.errors import EdgekdError

if TYPE_CHECKING:
    from edgekd.executor import Executor
    from edgekd.sweep_results import Objective


@click.command()
@RECIPE
@click.option("--grid", multiple=True, metavar="FIELD=VALUE,VALUE", help="Vary a field: --grid seed=1,2,3.")
@click.option(
    "--range", "ranges", multiple=True, metavar="FIELD=LOW..HIGH[:log]", help="Let a search draw a number from there."
)
@click.option("--search", type=click.IntRange(min=1), help="Search, with so many variants, instead of trying all.")
@click.option(
    "--objective",
    "objectives",
    default="score,p50,size",
    help="What is compared and searched for, of score, p50 and size. Without p50 nothing is timed. [score,p50,size]",
)
@click.option("--measure", metavar="STEP", help="The step whose artifact is compared. [the last]")
@click.option("--name", help="Name of the folder of the results. [NAME-sweep]")
@click.option("--on", "where", default="local", help="Where steps are made: local or ray. [local]")
@click.option("--jobs", type=click.IntRange(min=1), help="Steps at a time: of this machine, or of a search. [1]")
@click.option("--address", help="Of a Ray cluster: auto, HOST:6379, ray://HOST:10001. [RAY_ADDRESS, or a local one]")
@click.option("--cpus", type=click.IntRange(min=1), help="Cores that a step asks Ray for. [1]")
@click.option("--gpus", type=float, help="GPUs that a training asks Ray for. [0]")
@click.option("--workers", type=click.IntRange(min=1), help="Processes of a training on Ray, by Ray Train. [1]")
@LAUNCH
@click.option("--storage", metavar="URL", help="Database of a search. [sqlite, in the results' folder]")
@SETTINGS
@ONLINE
@RUNS
@STORE
@click.option("--plan", "only_plan", is_flag=True, help="Say what would be made, and what is shared. Runs nothing.")
def sweep(
    recipe: Path,
    grid: tuple[str, ...],
    ranges: tuple[str, ...],
    search: int | None,
    objectives: str,
    measure: str | None,
    name: str | None,
    where: str,
    jobs: int | None,
    address: str | None,
    cpus: int | None,
    gpus: float | None,
    workers: int | None,
    launch: str | None,
    storage: str | None,
    settings: tuple[str, ...],
    online: bool | None,
    runs: Path,
    store: str | None,
    only_plan: bool,
) -> None:
    """Run many variants of a recipe: what they share is made once, anywhere; all are measured here, one at a time.

    A refused or failed variant is a result; the same command goes on where it was stopped.
    """
    from edgekd import sweeping
    from edgekd.sweep import read
    from edgekd.sweep_files import MARKDOWN
    from edgekd.sweep_plan import Planner
    from edgekd.terminal import Terminal

    asked = read(recipe, grid, ranges, settings, online, measure, name)
    chosen, kept = _chosen(objectives), opened(runs, store)
    if search is None and storage:
        raise EdgekdError("--storage is of a search", "Add --search 20, or leave it out.")
    variants = list(asked.grid()) if search is None else []
    if only_plan:
        if search is not None:
            raise EdgekdError("a search decides as it goes: there is no plan", "Leave --plan or --search out.")
        plan = Planner(asked, kept)(variants)
        echo(sweeping.told(plan, len(variants)))
        return
    jobs_here = jobs if where == "local" else None
    executor = _executor(where, jobs=jobs_here, address=address, cpus=cpus, gpus=gpus, workers=workers)
    launcher(launch)
    with Terminal() as terminal:
        count = len(variants) if search is None else search
        runner = sweeping.Runner(asked, kept, runs, executor, chosen, count, terminal, launch or "")
        try:
            if search is None:
                runner.run(variants)
                results = runner.results()
            else:
                from edgekd import searching

                url = storage or searching.default_storage(runner.folder)
                weights = searching.search(asked, chosen, search, jobs or 1, url, asked.base.seed, runner.run)
                results = runner.write(weights)
            terminal.sweep(results)
        finally:
            if (runner.folder / MARKDOWN).is_file():
                terminal.say(f"Sweep: {runner.folder / MARKDOWN}")
    if failed := [outcome for outcome in results.outcomes if outcome.failed]:
        raise EdgekdError(
            f"{len(failed)} of {len(results.outcomes)} variants failed, the first: {failed[0].failed}",
            f"See {runner.folder / MARKDOWN}. The same command tries these again.",
        )


def _chosen(text: str) -> "tuple[Objective, ...]":
    from edgekd.sweep_results import Objective

    known = get_args(Objective)
    found = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not found or not set(found) <= set(known):
        raise EdgekdError(f"--objective {text}: objectives are {', '.join(known)}", "Such as --objective score,size.")
    return found  # type: ignore[return-value]


def _executor(where: str, **given: Any) -> "Executor":
    from edgekd.executor import EXECUTORS

    kind = EXECUTORS.get(where)
    fields = {name: value for name, value in given.items() if value is not None}
    if unknown := fields.keys() - kind.model_fields.keys():
        raise EdgekdError(f"--{min(unknown)} says nothing to --on {where}", "Leave it out, or set --on ray.")
    return kind.model_validate(fields)
