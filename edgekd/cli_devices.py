"""`edgekd devices`: what there is, what is wrong with one, and how fast artifacts are on it."""

import json
from pathlib import Path

import click

from edgekd.cli_echo import echo
from edgekd.errors import EdgekdError

_MOST = 1024  # threads, tokens of a text, texts of a batch


@click.group()
def devices() -> None:
    """Machines that artifacts are measured on: devices/*.yaml, or a device file's path."""


@devices.command("list")
def list_() -> None:
    """List the device files here, with how each is reached."""
    from edgekd import device_files

    files = sorted(Path("devices").glob("*.yaml"))
    for file in files:
        device = device_files.load(str(file), Path())
        told = [
            device.transport.kind(),
            f"Python by {device.provider.kind()}",
            *(device.runtimes or ("every runtime",)),
        ]
        echo(f"  {device.name:16} {', '.join(told)}{', emulated' if device.emulated else ''}")
    if not files:
        echo("No devices/*.yaml here; 'local' is this machine. A file's fields: edgekd explain device")


@devices.command()
@click.argument("name")
def doctor(name: str) -> None:
    """Look at a device: is it reached, what is it, which runtimes has it, is it in a state to be timed?

    Ends with 1 where something keeps it from being measured.
    """
    from edgekd import device_files
    from edgekd.doctor import examine

    marks = {True: "ok  ", None: "note", False: "FAIL"}
    failed = False
    for finding in examine(device_files.load(name, Path())):
        echo(f"{marks[finding.ok]}  {finding.subject}: {finding.told}")
        if finding.hint:
            echo("        " + finding.hint.replace("\n", "\n        "))
        failed |= finding.ok is False
    if failed:
        raise click.exceptions.Exit(1)


@devices.command()
@click.argument("name")
@click.option("--all", "everything", is_flag=True, help="Its virtual environments too.")
def clean(name: str, everything: bool) -> None:
    """Remove what edgekd put on a device: artifacts, rows and agents. They are sent again when they are needed."""
    from edgekd import device_files
    from edgekd.board import Board

    with Board(device_files.load(name, Path()), echo) as board:
        echo(f"{board.clean(everything) / 1e6:.1f} MB freed in {board.link.home} on {board.device.name}")


@devices.command()
@click.argument("name")
@click.argument("artifacts", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--texts",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="One text a line. [the run's own dev split]",
)
@click.option("--lengths", default="", metavar="N,N", help="Time these lengths in tokens. [the texts' real ones]")
@click.option("--batches", default="1", metavar="N,N", help="Time these batch sizes. [1]")
@click.option("--threads", default="", metavar="N,N", help="Thread counts. [the device file's]")
@click.option("--runs", type=click.IntRange(5), help="Timed inferences in all. [the device file's]")
@click.option("--sustained", metavar="TIME", help="One process for so long, such as 10m: latency and heat over time.")
@click.option(
    "--profile/--no-profile", default=None, help="Tell where the time goes, by kind of operator. [the device file's]"
)
@click.option("--json", "out", type=click.Path(path_type=Path), help="Write every raw sample to this file.")
def bench(
    name: str,
    artifacts: tuple[Path, ...],
    texts: Path | None,
    lengths: str,
    batches: str,
    threads: str,
    runs: int | None,
    sustained: str | None,
    profile: bool | None,
    out: Path | None,
) -> None:
    """Measure artifacts (runs/NAME/STEP) on a device, without a recipe: answers against this machine's, then times.

    Ends with 1 where an artifact answers otherwise there than here.
    """
    from edgekd import bench as benching
    from edgekd import bench_files, device_files
    from edgekd.store import write_text
    from edgekd.terminal import Terminal

    device = device_files.load(name, Path())
    given: dict[str, object] = {}
    if threads:
        given["threads"] = _numbers(threads, "threads")
    if runs:
        given |= {"min_runs": runs, "min_s": 0.0}
    if sustained:
        given |= {"max_s": _seconds(sustained), "min_runs": 10**9, "repeats": 1}
    if profile is not None:
        given["profile"] = profile
    device = device.model_copy(update={"run": device.run.model_copy(update=given)})
    shapes = [
        benching.Shape(length, batch)
        for length in (_numbers(lengths, "lengths") if lengths else (0,))
        for batch in _numbers(batches, "batches")
    ]
    rows = [benching.texts(artifact, texts) for artifact in artifacts]
    with Terminal() as terminal:
        found = benching.bench(device, artifacts, rows, shapes, terminal.progress)
        terminal.columns(bench_files.HEADER, bench_files.rows(found), {"artifact", "batch x length"})
        for line in (
            *bench_files.over_time(found),
            *bench_files.operators(found),
            *(f"doubt: {doubt}" for doubt in bench_files.doubts(found)),
        ):
            terminal.say(line)
    if out is not None:
        write_text(out, json.dumps(bench_files.to_json(found)) + "\n")
    for entry in found:
        for gate in entry.gates:
            if not gate.passed:
                raise EdgekdError(
                    f"{entry.artifact}: {gate.name} is {gate.value:.3g}, the limit is {gate.limit:.3g}",
                    "Where outputs differ much, this runtime computes something else there: do not serve this file on "
                    "it. Where they differ little, answers near a tie have changed: ask of more texts (--texts).",
                )
    # Last: what another program does may fail, and takes nothing of the rest away.
    opinions = benching.second_opinion(device, artifacts)
    for opinion in opinions:
        echo(str(opinion))
    if out is not None and opinions:
        write_text(out, json.dumps(bench_files.to_json(found, opinions)) + "\n")


def _numbers(text: str, name: str) -> tuple[int, ...]:
    try:
        found = tuple(int(part) for part in text.split(","))
    except ValueError:
        found = ()
    if not found or min(found) < 1 or max(found) > _MOST:
        raise EdgekdError(f"--{name} {text}: no list of whole numbers from 1 to {_MOST}", f"Such as --{name} 1,4")
    return found


def _seconds(text: str) -> float:
    unit = {"s": 1, "m": 60, "h": 3600}.get(text[-1:])
    try:
        found = float(text[:-1] if unit else text) * (unit or 1)
    except ValueError:
        found = 0.0
    if not 0 < found <= 3000:
        raise EdgekdError(f"--sustained {text}: no time up to 50 minutes", "Such as --sustained 10m")
    return found
