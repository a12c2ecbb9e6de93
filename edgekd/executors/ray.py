"""Ray: a cluster by its address, or one that is started on this machine for the sweep."""

import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import Field

from edgekd.errors import EdgekdError
from edgekd.executor import RETRIES, Executor, Made
from edgekd.ray_training import Training
from edgekd.sweep_plan import Node

_START = "Start one: ray start --head"


class Ray(Executor):
    """Steps as tasks of Ray, which places them by cores and GPUs and begins again those whose worker was lost.

    The store has to be a folder that all machines see under one path, and so have the recipe's files.
    """

    cpus: int = Field(1, ge=1, description="Cores of a step")
    gpus: float = Field(0.0, ge=0, description="GPUs of a step that trains")
    workers: int = Field(1, ge=1, description="Processes of a training, each with its cores and GPUs, by Ray Train")
    address: str | None = Field(
        None, description="Of a cluster, such as auto or ray://HOST:10001; default: RAY_ADDRESS, or one started here"
    )

    def run(
        self, nodes: Sequence[Node], ask: Callable[[Node], Mapping[str, Any]], say: Callable[[str], None]
    ) -> Iterator[Made]:
        if not nodes:
            return
        ray = _imported()
        # Ray's own report of use is off where nobody asked for it, and its logs stay with the workers.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        ours = not ray.is_initialized()
        if ours:
            _reach(self.address or os.environ.get("RAY_ADDRESS", ""))
            try:
                ray.init(address=self.address, log_to_driver=False, logging_level="ERROR")
            except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
                raise EdgekdError(f"no Ray cluster at {self.address or 'this machine'}: {error}", _START) from None
        try:
            self._doubt(ray, nodes, say)
            yield from self._made(ray, nodes, ask)
        finally:
            if ours:
                ray.shutdown()

    def _doubt(self, ray: Any, nodes: Sequence[Node], say: Callable[[str], None]) -> None:
        """Tell where a step asks for more than there is: Ray waits for it, since a cluster may grow."""
        processes = self.workers if any(node.trains for node in nodes) else 1
        there = ray.cluster_resources()
        for name, asked in (("CPU", self.cpus * processes), ("GPU", self.gpus * processes)):
            if asked > there.get(name, 0):
                say(f"  a step asks for {asked:g} {name}s, the cluster has {there.get(name, 0):g}: waiting for more")

    def _made(self, ray: Any, nodes: Sequence[Node], ask: Callable[[Node], Mapping[str, Any]]) -> Iterator[Made]:
        # Of lost workers: an error that the task tells of is a result.
        task = ray.remote(max_retries=RETRIES, retry_exceptions=False)(_make)
        found: dict[str, Any] = {}
        keys: dict[Any, str] = {}
        for node in nodes:  # parents come first
            parents = [found[parent] for parent in node.parents]
            training = Training(self.workers, self.cpus, self.gpus) if node.trains and self.workers > 1 else None
            # One that waits for its processes holds nothing that they need.
            cpus, gpus = (0, 0) if training else (self.cpus, self.gpus if node.trains else 0)
            placed = task.options(name=f"{node.step} {node.key[:8]}", num_cpus=cpus, num_gpus=gpus)
            found[node.key] = placed.remote(dict(ask(node)), training, *parents)
            keys[found[node.key]] = node.key
        waiting = list(keys)
        while waiting:
            first, waiting = ray.wait(waiting, num_returns=1)
            # What else has ended comes with it: asking costs as much as there is to wait for.
            others, waiting = ray.wait(waiting, num_returns=len(waiting), timeout=0) if waiting else ([], [])
            for done in (*first, *others):
                try:
                    made = ray.get(done)
                except ray.exceptions.RayTaskError as error:
                    made = Made(keys[done], failed=f"a bug in edgekd: {error}")
                except ray.exceptions.RayError as error:
                    made = Made(keys[done], failed=str(error).strip().partition("\n")[0])
                if made is not None:
                    yield made


def _reach(address: str) -> None:
    """Raises EdgekdError where nobody listens at HOST:PORT: Ray itself tries for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon and port.isdigit():
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
        except OSError as error:
            raise EdgekdError(f"no Ray cluster at {address}: {error.strerror or error}", _START) from None


def _make(job: Mapping[str, Any], training: Training | None, *parents: Made | None) -> Made | None:
    """A task. None where a parent was not made, or must not be used: nothing is made of it."""
    import ray

    from edgekd.sweep_worker import make

    if any(parent is None or not parent.usable for parent in parents):
        return None
    told = make(job, training)
    told["where"] += f", node {ray.get_runtime_context().get_node_id()[:8]}"
    return Made(job["key"], **told)


def _imported() -> Any:
    try:
        import ray
    except ImportError:
        raise EdgekdError("ray is not installed", "pip install 'edgekd[sweep]'") from None
    return ray
