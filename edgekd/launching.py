"""Training in several processes, of this machine or many: a command starts them, torchrun or whatever else does it.

`--launch "torchrun --nproc-per-node 4"` runs torchrun --nproc-per-node 4 -m edgekd.launching JOB for each step that
trains, where JOB is a file of the step. The first process fills the artifact and tells what it does.
"""

import json
import math
import os
import shlex
import shutil
import stat
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekd import apart, processes, records, temporary
from edgekd.errors import EdgekdError
from edgekd.stage import Job, Stage
from edgekd.store import write_text

Launch = Callable[[Stage, Job], Mapping[str, Any]]
"""Does a stage's work in several processes, and gives its facts."""

_JOB = "launch.json"
# Who is first, and of how many, as torchrun, which accelerate uses too, and MPIs say it.
_RANKS = ("RANK", "PMI_RANK", "OMPI_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK")
_SIZES = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")


@dataclass(frozen=True)
class Command:
    """A command that runs what follows it, a Python module or script, in several processes."""

    argv: tuple[str, ...]

    @classmethod
    def read(cls, text: str) -> "Command":
        """As on a command line. Raises EdgekdError where there is no such program."""
        try:
            argv = shlex.split(text)
        except ValueError as error:
            raise EdgekdError(f"--launch {text}: {error}", _EXAMPLE) from None
        # That of this environment first: its Python has edgekd.
        beside = Path(sys.executable).parent / argv[0] if argv else None
        program = str(beside) if beside and beside.is_file() else shutil.which(argv[0]) if argv else None
        if program is None:
            raise EdgekdError(f"--launch: there is no program '{argv[0] if argv else ''}'", _EXAMPLE)
        return cls((program, *argv[1:]))

    def __call__(self, stage: Stage, job: Job) -> Mapping[str, Any]:
        """Raises what the stage raised, and EdgekdError with the end of standard error where the command failed."""
        asked = job.scratch / _JOB
        write_text(asked, json.dumps(apart.ask(stage, job)))
        argv = [*self.argv, "-m", "edgekd.launching", str(asked.absolute())]
        # Standard input stays open: processes of this machine end when it is closed, also where the command was killed.
        told = processes.lines(argv, os.environ, "", math.inf, Path(self.argv[0]).name, hold=True)
        facts, _ = apart.follow(told, job)
        return facts


_EXAMPLE = 'Such as --launch "torchrun --standalone --nproc-per-node 2".'


def rank() -> int:
    """This process among those that train; 0 is the first."""
    return _number(_RANKS, 0)


def share(asked: Mapping[str, Any], **listeners: Callable[..., None]) -> dict[str, Any]:
    """A process's share of a stage's work. What all but the first fill is thrown away: it is the same."""
    from accelerate import PartialState

    with temporary.folder() as aside:
        own = {} if rank() == 0 else {"out": aside}
        with _together():
            done = apart.perform({**asked, **own}, **listeners)
    found, started = PartialState().num_processes, _number(_SIZES, 1)
    if found != started:
        raise EdgekdError(
            f"{started} processes were started, and each trained among {found}",
            "Start them by torchrun, or set what it sets: RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT.",
        )
    facts = {**done["facts"], "processes": found}
    if found == 1:
        facts["doubts"] = [*facts.get("doubts", ()), "the command that trains in several processes started one alone"]
    return {**done, "facts": facts}


@contextmanager
def _together() -> Iterator[None]:
    """End at once where another process was lost: who started them tells of that one, and may start all again."""
    from torch.distributed import DistError

    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, DistError) and "gloo" not in str(error):
            raise
        print(f"process {rank()} lost another one: {error}", file=sys.stderr)
        raise SystemExit(1) from None


def main(argv: Sequence[str]) -> int:
    """One of the processes."""
    if stat.S_ISFIFO(os.fstat(0).st_mode):  # where nothing passes it on, it is no pipe
        records.end_with_input()
    asked = json.loads(Path(argv[0]).read_text())
    if rank() == 0:
        return 0 if apart.tell(lambda to: share(asked, **apart.telling(to))) else 1
    try:
        share(asked)
    except EdgekdError:  # the first one has it too, and tells it
        return 1
    except Exception:
        traceback.print_exc()
        return 1
    return 0


def _number(names: Sequence[str], otherwise: int) -> int:
    return next((int(os.environ[name]) for name in names if os.environ.get(name, "").isdigit()), otherwise)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
