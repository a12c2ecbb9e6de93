"""One step of a sweep, in whichever process an executor has for it."""

import os
import socket
import time
import traceback
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgekd import pipeline
from edgekd.errors import EdgekdError
from edgekd.launching import Command, Launch
from edgekd.plan import plan
from edgekd.recipe import load
from edgekd.shared_store import opened
from edgekd.watcher import Silent


def make(job: Mapping[str, Any], launch: Launch | None = None) -> dict[str, Any]:
    """Make and score a step's artifact: where and in how many seconds. What was wrong, or what a gate refused, is told
    and not raised. A training is by `launch`, or by the command that the job names, or in this process.
    """
    start = time.perf_counter()
    told = {"where": f"{socket.gethostname()} {os.getpid()}", "refused": "", "failed": ""}
    try:
        recipe = load(Path(job["recipe"]), job["settings"], job["online"]).scoring(job["step"])
        recipe = replace(recipe, name=f"{job['name']}/steps/{job['key'][:8]}")
        runs = Path(job["runs"])
        store = opened(job["store"], runs)
        if launch is None and job["launch"]:
            launch = Command.read(job["launch"])
        if plan(recipe, store, runs)[-1].key != job["key"]:
            raise EdgekdError(
                f"step '{job['step']}' has another key here than where the sweep was planned",
                "The recipe, its data or a library is not the same there: edgekd doctor tells versions.",
            )
        report = pipeline.attempt(recipe, store, runs, Silent(), launch=launch)
        told["refused"] = report.refused
    except EdgekdError as error:
        told["failed"] = str(error)
    except Exception:
        told["failed"] = f"a bug in edgekd: {traceback.format_exc()}"
    return {**told, "seconds": time.perf_counter() - start}
