"""Processes of this machine, which each make one step after another."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from graphlib import TopologicalSorter
from typing import Any

from pydantic import Field

from edgekd.executor import RETRIES, Executor, Made
from edgekd.sweep_plan import Node


class Local(Executor):
    """Steps in processes of this machine, so many at a time. GPUs are not shared out: each step sees all."""

    jobs: int = Field(1, ge=1, description="Steps at a time; a training uses all cores, so that one is often best")

    def run(
        self, nodes: Sequence[Node], ask: Callable[[Node], Mapping[str, Any]], say: Callable[[str], None]
    ) -> Iterator[Made]:
        by_key = {node.key: node for node in nodes}
        attempts = dict.fromkeys(by_key, 0)
        sorter = TopologicalSorter({node.key: node.parents for node in nodes})
        sorter.prepare()
        ready: list[str] = []
        lost: set[str] = set()
        running: dict[Future[dict[str, Any]], str] = {}
        pool = self._pool()
        try:
            while sorter.is_active():
                for key in sorter.get_ready():
                    if lost & set(by_key[key].parents):
                        lost.add(key)
                        sorter.done(key)
                    else:
                        ready.append(key)
                # No more than run at a time: what only waits has no part in the end of a process.
                while ready and len(running) < self.jobs:
                    key = ready.pop(0)
                    attempts[key] += 1
                    running[pool.submit(_make, dict(ask(by_key[key])))] = key
                again, broken = [], False
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    key = running.pop(future)
                    try:
                        made = Made(key, **future.result())
                    except BrokenProcessPool:  # one was killed, or ran out of memory: none of the others goes on
                        broken = True
                        if attempts[key] <= RETRIES:
                            again.append(key)
                            continue
                        made = Made(key, failed=f"its process was killed {attempts[key]} times")
                    if not made.usable:
                        lost.add(key)
                    sorter.done(key)
                    yield made
                if broken:
                    again += running.values()
                    running.clear()
                    told = ", ".join(by_key[key].step for key in again) or "nothing"
                    say(f"  a process was killed; {told} begins where it was")
                    ready = again + ready
                    _end(pool)
                    pool = self._pool()
        except BaseException:  # GeneratorExit too: nobody waits for the rest
            _end(pool)
            raise
        pool.shutdown()

    def _pool(self) -> ProcessPoolExecutor:
        # A forked process would share this one's threads and libraries.
        spawned = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(self.jobs, spawned, _begin, (max(1, (os.cpu_count() or 1) // self.jobs),))


def _begin(cores: int) -> None:
    """Of a process: two trainings that each use all cores take longer than one after the other."""
    os.environ.setdefault("OMP_NUM_THREADS", str(cores))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the sweep's, which ends its processes


def _make(job: Mapping[str, Any]) -> dict[str, Any]:
    from edgekd.sweep_worker import make

    return make(job)


def _end(pool: ProcessPoolExecutor) -> None:
    """At once: what a step has not finished it goes on with the next time."""
    processes = list((pool._processes or {}).values())
    pool.shutdown(wait=False, cancel_futures=True)
    for process in processes:
        with suppress(ProcessLookupError, ValueError):
            process.kill()
