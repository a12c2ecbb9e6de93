"""The command line. Exit codes: 0, 1 the user's to mend, 2 usage, 3 a bug (with a log to paste), 130 interrupted."""

import io
import json
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from edgekd import __version__, cli_artifacts, cli_help, cli_new, cli_runs, cli_sweep
from edgekd.cli_devices import devices
from edgekd.cli_echo import echo
from edgekd.cli_options import LAUNCH, ONLINE, RECIPE, RUNS, SETTINGS, STORE, launcher, opened
from edgekd.errors import EdgekdError
from edgekd.plain import brief
from edgekd.tracking import FOLDER, TRACKERS

if TYPE_CHECKING:
    from edgekd.recipe import Recipe
    from edgekd.store import Store


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="edgekd")
def cli() -> None:
    """From a teacher to a phone: distill, quantize, export and measure a language model."""


_ARTIFACTS = (cli_artifacts.predict, cli_artifacts.bundle, cli_artifacts.push)
for _command in (
    *_ARTIFACTS,
    cli_runs.runs,
    cli_runs.verify,
    cli_help.doctor,
    cli_help.schema,
    cli_new.new,
    cli_sweep.sweep,
    devices,
):
    cli.add_command(_command)


@cli.command()
@RECIPE
@SETTINGS
@ONLINE
@RUNS
@STORE
@click.option("--time-again", is_flag=True, help="Time every artifact anew, such as after a report with doubts.")
@click.option(
    "--track", multiple=True, type=click.Choice(list(TRACKERS)), help="Send losses, scores and latencies there too."
)
@LAUNCH
def run(
    recipe: Path,
    settings: tuple[str, ...],
    online: bool | None,
    runs: Path,
    store: str | None,
    time_again: bool,
    track: tuple[str, ...],
    launch: str | None,
) -> None:
    """Run a recipe: make, score and time every step's artifact, and write the report.

    What is already made is not made again; a run that was stopped goes on where it was.
    """
    from edgekd import pipeline
    from edgekd.errors import RefusedError
    from edgekd.terminal import Terminal

    loaded, kept, launched = *_open(recipe, settings, online, runs, store), launcher(launch)
    with Terminal() as terminal:
        terminal.say(_heading(loaded))
        try:
            report = pipeline.run(loaded, kept, runs, terminal, time_again, track, launched)
        except RefusedError:
            terminal.show(runs / loaded.name)
            raise
        terminal.table(report)
        if "tensorboard" in track:
            terminal.say(f"Curves: tensorboard --logdir {runs / loaded.name / FOLDER}")
        terminal.show(runs / loaded.name)


@cli.command()
@RECIPE
@SETTINGS
@ONLINE
@RUNS
@STORE
def plan(recipe: Path, settings: tuple[str, ...], online: bool | None, runs: Path, store: str | None) -> None:
    """Say of each step whether it is cached, and if not, which part of its key changed. Runs nothing."""
    from edgekd import extras
    from edgekd.plan import plan as planned

    loaded, kept = _open(recipe, settings, online, runs, store)
    echo(_heading(loaded))
    width = max(len(step.id) for step in loaded.steps)
    for item in planned(loaded, kept, runs):
        reason = "cached" if item.cached else "to run: " + "; ".join(item.changes)
        if not item.cached and (lacks := extras.lacking(item.step.stage.needs())):
            reason += f"; in an environment with edgekd[{','.join(lacks)}], made at first use"
        echo(f"  {item.step.id:{width}}  {item.step.stage.name():13}  {item.key[:8]}  {reason}")


@cli.command()
@click.argument("study", type=click.Path(path_type=Path))
@SETTINGS
@ONLINE
@RUNS
@STORE
@LAUNCH
@click.option("--plan", "only_plan", is_flag=True, help="List the runs, with what is cached or shared. Runs nothing.")
def study(
    study: Path,
    settings: tuple[str, ...],
    online: bool | None,
    runs: Path,
    store: str | None,
    launch: str | None,
    only_plan: bool,
) -> None:
    """Run a study: variants of one recipe over seeds, into a table of means with intervals, and a picture.

    What variants share is made once; a study that was stopped goes on where it was. A refused artifact is a result of
    the study; a run that failed ends the command with 1, after the others.
    """
    from edgekd import study_plan
    from edgekd.study import read
    from edgekd.study_files import MARKDOWN

    loaded, kept, launched = read(study, settings, online), opened(runs, store), launcher(launch)
    seeds = f"{len(loaded.options.seeds)} seed{'s' * (len(loaded.options.seeds) > 1)} of {', '.join(loaded.seeded)}"
    heading = f"{loaded.name}: {len(loaded.variants)} variants, {seeds}\n{_heading(loaded.recipe)}"
    if only_plan:
        echo("\n".join([heading, *study_plan.outlook(study_plan.trials(loaded, kept, runs))]))
        return
    from edgekd import studying
    from edgekd.terminal import Terminal

    with Terminal() as terminal:
        terminal.say(heading)
        try:
            terminal.results(studying.run(loaded, kept, runs, terminal, launched))
        finally:
            terminal.say(f"Study: {runs / loaded.name / MARKDOWN}")


@cli.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--format", "form", type=click.Choice(["md", "json", "html", "csv"]), default="md", help="Its form. [md]")
def report(folder: Path, form: str) -> None:
    """Print the report of a run, such as runs/cola_int8.

    json has every raw sample, html is one page that needs no network, csv has a row for each artifact and device.
    """
    from edgekd import report_files, report_rows

    raw = report_files.read(folder)
    match form:
        case "json":
            echo(json.dumps(raw, indent=1, ensure_ascii=False))
        case "html":
            echo(report_files.html(report_files.report(folder), folder), nl=False)
        case "csv":
            echo(report_rows.to_csv(report_files.report(folder)), nl=False)
        case _:
            echo(report_files.told(folder, report_files.MARKDOWN), nl=False)


@cli.command()
@click.argument("folders", metavar="BASE RUN...", nargs=-1, type=click.Path(path_type=Path))
@click.option("--step", "steps", multiple=True, help="Compare this artifact alone; may be repeated. [all of BASE]")
@click.option("--max-drop", type=float, help="Fail where a score is lower by more than this.")
@click.option("--max-slower", type=float, help="Fail where a p50 is higher by more than this share: 0.1 for a tenth.")
@click.option("--max-larger", type=float, help="Fail where a model is larger by more than this share.")
@click.option("--format", "form", type=click.Choice(["text", "md", "html"]), default="text", help="Its form. [text]")
def compare(
    folders: tuple[Path, ...],
    steps: tuple[str, ...],
    max_drop: float | None,
    max_slower: float | None,
    max_larger: float | None,
    form: str,
) -> None:
    """Compare finished runs, such as runs/before and runs/after, with the first of them, artifact by artifact. Of a
    sweep, its variants are compared.

    A gate for CI: with a limit (--max-...) it ends with 1 where a run after BASE breaks it, was refused, lacks an
    artifact of BASE, has no score or p50 to compare with one of BASE's, or where the limit finds nothing to compare at
    all: no score, size or device's time, of any artifact or of one named by --step. Without a limit it ends with 1 only
    where a folder holds no run that can be read, or BASE no artifact named by --step.
    """
    from edgekd import compare_files, comparing
    from edgekd.errors import RefusedError
    from edgekd.terminal import Terminal

    if not folders:
        raise click.UsageError("Name two runs at least, or a sweep.")
    runs = comparing.load(folders)
    if len(runs) < 2:
        raise click.UsageError("Name two runs at least, or a sweep.")
    pairs = comparing.compare(runs, steps)
    limits = comparing.Limits(max_drop, max_slower, max_larger)
    broken = list(comparing.broken(runs, pairs, limits, steps)) if limits != comparing.Limits() else []
    match form:
        case "md":
            echo(compare_files.markdown(runs, pairs, broken), nl=False)
        case "html":
            echo(compare_files.html(runs, pairs, limits, broken), nl=False)
        case _:
            with Terminal() as terminal:
                terminal.comparison(runs, pairs)
    if broken:
        raise RefusedError(
            "; ".join(broken), "Look at what changed, raise the limit, or leave out one that has nothing to hold."
        )


@cli.command()
@click.argument("topic", required=False)
def explain(topic: str | None) -> None:
    """Explain a stage, method, task, runtime, or 'data', 'device', 'phase', 'recipe': its fields and its source."""
    from edgekd.explaining import explain as text

    echo(text(topic))


def _open(
    recipe: Path, settings: tuple[str, ...], online: bool | None, runs: Path, store: str | None
) -> "tuple[Recipe, Store]":
    from edgekd.recipe import load

    return load(recipe, settings, online), opened(runs, store)


def _heading(recipe: "Recipe") -> str:
    lines = [f"{recipe.name}: {len(recipe.steps)} steps on {recipe.data.source}, seed {recipe.seed}"]
    if recipe.overrides:
        lines.append(f"The hub is not used: the recipe's offline block applies to {', '.join(recipe.overrides)}.")
    return "\n".join(lines)


def main() -> NoReturn:
    """The `edgekd` command: runs `cli` and turns what it raises into an exit code."""
    try:
        code = cli.main(standalone_mode=False)
    except click.exceptions.Abort:
        code = _interrupted()
    except KeyboardInterrupt:
        code = _interrupted()
    except click.ClickException as error:
        echo(brief(_usage(error)), err=True)
        code = error.exit_code
    except EdgekdError as error:
        echo(f"error: {error}", err=True)
        code = 1
    except BrokenPipeError:
        # The reader (head, less) has gone; nothing is left to say.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 128 + signal.SIGPIPE
    except Exception:
        code = _bug()
    sys.exit(code or 0)


def _usage(error: click.ClickException) -> str:
    """As click shows it."""
    told = io.StringIO()
    error.show(told)
    return told.getvalue().rstrip("\n")


def _interrupted() -> int:
    echo("interrupted; run the same command again to go on", err=True)
    return 130


def _bug() -> int:
    """Write what a maintainer needs to a log, and say where."""
    import platform
    import tempfile

    handle, name = tempfile.mkstemp(prefix="edgekd-", suffix=".log")
    with os.fdopen(handle, "w") as log:
        log.write(f"edgekd {__version__}, Python {platform.python_version()}, {platform.platform()}\n")
        log.write(f"arguments: {sys.argv[1:]}\n\n{traceback.format_exc()}")
    last = traceback.format_exc().strip().splitlines()[-1]
    echo(f"This is a bug in edgekd: {last}\n  Please report it with the log {name}", err=True)
    return 3
