"""The contract of an executor: where the steps of a sweep are made."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgekd.options import Options
from edgekd.registry import Registry
from edgekd.sweep_plan import Node

RETRIES = 3  # times that a step is begun again whose process was killed: it goes on at its last checkpoint


@dataclass(frozen=True)
class Made:
    """What became of a node: made in so many `seconds` by the machine and process `where`, or why not. What is
    `refused` is there, and nothing is made of it.
    """

    key: str
    where: str = ""
    seconds: float = 0.0
    refused: str = ""
    failed: str = ""

    @property
    def usable(self) -> bool:
        return not (self.refused or self.failed)


class Executor(Options, ABC):
    """Makes nodes, each after those it is made of. The class's file name is what --on calls it."""

    @abstractmethod
    def run(
        self, nodes: Sequence[Node], ask: Callable[[Node], Mapping[str, Any]], say: Callable[[str], None]
    ) -> Iterator[Made]:
        """Make nodes, parents first, and tell each as it ends; what cannot be made since a parent was not is not told.

        `ask` gives the job of a node, for `edgekd.sweep_worker`. Raises EdgekdError where it cannot work at all.
        """


EXECUTORS: Registry[Executor] = Registry("edgekd.executors", Executor, "executor")  # type: ignore[type-abstract]
