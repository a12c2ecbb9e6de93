"""What a sweep would make: every step that its variants need, each once. Loads neither torch nor a runtime."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from edgekd.data import Data
from edgekd.plan import Keys, placed
from edgekd.recipe import Variants
from edgekd.store import Store
from edgekd.sweep import Sweep, Variant


@dataclass(frozen=True)
class Node:
    """A step's artifact: its key, those it is made of, and a variant that has it.

    `parents` are the keys of the steps that it reads, of those that are to be made too.
    """

    key: str
    step: str
    trains: bool
    parents: tuple[str, ...]
    variant: Variant


@dataclass(frozen=True)
class Plan:
    """The nodes that are to be made, parents first; of each variant its steps' keys, and which keys are there."""

    nodes: tuple[Node, ...]
    keys: Mapping[int, Mapping[str, str]]  # variant's number -> step -> key
    cached: frozenset[str]

    @property
    def asked(self) -> int:
        """Steps of all variants together."""
        return sum(map(len, self.keys.values()))

    @property
    def distinct(self) -> int:
        return len(self.nodes) + len(self.cached)


class Planner:
    """Plans variants of one sweep; what they have in common is read and hashed once."""

    def __init__(self, sweep: Sweep, store: Store) -> None:
        self._sweep, self._store = sweep, store
        self._variants, self._keys = Variants(sweep.path, sweep.online), Keys()
        self._data: dict[str, Data] = {}

    def __call__(self, variants: Iterable[Variant]) -> Plan:
        """Raises EdgekdError, with the variant, where a variant's values make no recipe or its data are not there."""
        nodes: dict[str, Node] = {}
        cached: set[str] = set()
        keys: dict[int, dict[str, str]] = {}
        for variant in variants:
            recipe = self._sweep.recipe(self._variants, variant).scoring(self._sweep.measure)
            with placed(recipe):
                data = self._read(recipe.data, recipe.seed)
            of_steps = keys[variant.number] = {}
            for step, key, _ in self._keys(recipe, data):
                of_steps[step.id] = key
                if key in nodes or key in cached:
                    continue
                if key in self._store:
                    cached.add(key)
                    continue
                parents = [of_steps[source] for source in step.sources]
                made = tuple(parent for parent in parents if parent in nodes)
                nodes[key] = Node(key, step.id, type(step.stage).trains, made, variant)
        return Plan(tuple(nodes.values()), keys, frozenset(cached))

    def _read(self, options: Any, seed: int) -> Data:
        known = json.dumps([options.model_dump(mode="json"), seed])
        if known not in self._data:
            self._data[known] = Data(options, seed)
            self._data[known].check()
        return self._data[known]
