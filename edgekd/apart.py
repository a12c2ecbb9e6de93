"""A stage's work in another Python, whose environment has what this one lacks: both ends of the pipe.

The child runs `python -m edgekd.apart`, reads one JSON job and tells records: progress, then the facts, or the error.
"""

import json
import math
import os
import traceback
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TextIO

from edgekd import isolated, records
from edgekd.artifact import Artifact
from edgekd.data import Data
from edgekd.data_options import DataOptions
from edgekd.errors import EdgekdError
from edgekd.runtime import installed
from edgekd.stage import STAGES, Job, Stage
from edgekd.store import writable


def run(stage: Stage, job: Job, python: Path) -> tuple[Mapping[str, Any], dict[str, str]]:
    """As `stage.made(job)`, by another Python; with the facts come the versions of the libraries that it used there.

    Raises what the stage raised: EdgekdError and RefusedError as they are, anything else as a RuntimeError with its
    trace; and EdgekdError where the process ended before that.
    """
    asked = json.dumps(ask(stage, job)) + "\n"
    return follow(isolated.lines(python, ["edgekd.apart"], os.environ, asked, math.inf, stage.name()), job)


def ask(stage: Stage, job: Job) -> dict[str, Any]:
    """A stage and its job, in JSON; `perform` takes them."""
    data = job.data.options
    if data.on_hub:  # its main branch may have moved on before the child asks
        data = data.model_copy(update={"revision": job.data.fingerprint["commit"]})
    return {
        "stage": stage.name(),
        "options": stage.model_dump(mode="json", by_alias=True),
        "data": [data.model_dump(mode="json"), job.data.seed],
        "source": str(job.source.path) if job.source else None,
        "sources": {step: str(artifact.path) for step, artifact in job.sources.items()},
        "out": str(job.out),
        "scratch": str(job.scratch),
        "seed": job.seed,
    }


def follow(lines: Iterable[str], job: Job) -> tuple[Mapping[str, Any], dict[str, str]]:
    """The facts and libraries that a child tells at its end; what it tells until then is the job's."""
    facts, libraries = {}, {}
    for record in records.read(lines):
        if record["kind"] == "progress":
            job.progress(record["label"], record["done"], record["total"])
        elif record["kind"] == "track":
            job.track(record["values"], record["step"])
        elif record["kind"] == "facts":
            facts, libraries = record["facts"], record["libraries"]
        elif record["kind"] == "bug":
            raise RuntimeError(record["trace"])
    return facts, libraries


def perform(
    asked: Mapping[str, Any],
    progress: Callable[[str, float, float], None] = lambda label, done, total: None,
    track: Callable[[Mapping[str, float], int], None] = lambda values, step: None,
) -> dict[str, Any]:
    """The child's work: the stage's facts, and the libraries that it used."""
    stage = STAGES.get(asked["stage"]).model_validate(asked["options"])
    options, seed = asked["data"]
    job = Job(
        source=_artifact(asked["source"]) if asked["source"] else None,
        sources={step: _artifact(path) for step, path in asked["sources"].items()},
        data=Data(DataOptions.model_validate(options), seed),
        out=Path(asked["out"]),
        scratch=Path(asked["scratch"]),
        seed=asked["seed"],
        progress=progress,
        track=track,
    )
    with writable(job.out):
        return {"facts": stage.made(job), "libraries": installed(stage.needs())}


def tell(work: Callable[[TextIO], Mapping[str, Any]]) -> bool:
    """Do the child's work, and tell what came of it; `work` gets the stream of records. False: it failed."""
    # Converters print from C++ too: standard output is kept for records, and theirs becomes standard error.
    to = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    try:
        records.say("facts", to, **work(to))
        records.say("end", to)
    except EdgekdError as error:
        records.say_error(error, to)
    except Exception:
        records.say("bug", to, trace=traceback.format_exc())
    else:
        return True
    return False


def telling(to: TextIO) -> dict[str, Callable[..., None]]:
    """A job's `progress` and `track` as records."""
    return {
        "progress": lambda label, done, total: records.say("progress", to, label=label, done=done, total=total),
        "track": lambda values, step: records.say("track", to, values=dict(values), step=step),
    }


def main() -> None:
    """The child's end."""
    tell(lambda to: perform(records.asked(), **telling(to)))


def _artifact(path: str) -> Artifact:
    return Artifact.load(Path(path), check=False)


if __name__ == "__main__":
    main()
