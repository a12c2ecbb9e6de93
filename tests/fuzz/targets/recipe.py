"""A recipe's file, with a hub and without one."""

import contextlib
from pathlib import Path

from edgekd.artifact import canonical
from edgekd.connection import CONNECTIONS
from edgekd.errors import EdgekdError
from edgekd.provider import PROVIDERS
from edgekd.recipe import Recipe, load
from edgekd.stage import STAGES
from tests.fuzz.mutators import yaml_tree
from tests.fuzz.target import HERE, Target

for registry in (STAGES, CONNECTIONS, PROVIDERS):
    for name in registry.names:
        registry.get(name)

ROOT = HERE.parents[1]
SEEDS = tuple(file.read_bytes() for file in sorted((ROOT / "recipes").glob("*.yaml")))


def check(data: bytes, folder: Path) -> None:
    file = folder / "recipe.yaml"
    file.write_bytes(data)
    with contextlib.suppress(EdgekdError):
        load(file, online=False)
    use(load(file, online=True))


def use(recipe: Recipe) -> None:
    """What is done with every recipe before a step runs."""
    for step in recipe.steps:
        canonical(step.stage.model_dump(mode="json", by_alias=True))
        recipe.place(("steps", step.id))
    recipe.scoring(recipe.steps[-1].id)
    canonical([recipe.data.model_dump(mode="json"), *(device.model_dump(mode="json") for device in recipe.devices)])


TARGET = Target("recipe parser: files", check, SEEDS, yaml_tree(SEEDS), share=8)
