"""What the command line sets over a recipe: --set, --grid and --range."""

from functools import cache
from pathlib import Path

from edgekd import sweep
from edgekd.recipe import Variants
from tests.fuzz.mutators import YAML_WORDS, raw
from tests.fuzz.target import Target
from tests.fuzz.targets.recipe import ROOT, use

SEEDS = (
    b"set teacher.epochs=1\nset student.phases={intermediate: {epochs: 2}}\nset data.max_length=64",
    b"set data={source: embedded/acceptability}\nset seed=3\nset devices=[]\nset name=other",
    b"grid student.model.layers=2,4\ngrid seed=1,2,3\nset onnx_int8.max_drop=0.02",
    b"range teacher.learning_rate=1e-5..1e-3:log\nrange teacher.epochs=1..5\ngrid student.method=tinybert,minilm",
    b"set steps.teacher.dictionary={source: embedded/entities}\nset onnx.budget={max_mb: 1, max_p50_ms: {local: 3}}",
)
WORDS = ("\nset ", "\ngrid ", "\nrange ", "teacher", "student", "data", "steps.", ".", "..", "=", ":log", *YAML_WORDS)


@cache
def _variants() -> Variants:
    return Variants(ROOT / "recipes" / "cola_int8.yaml", online=True)


def check(data: bytes, folder: Path) -> None:
    if len(_variants()._made) > 2000:
        _variants.cache_clear()  # it keeps all that it ever made
    given: dict[str, list[str]] = {"set": [], "grid": [], "range": []}
    # As Python hands on what a shell gives.
    for line in data.decode(errors="surrogateescape").split("\n"):
        option, _, text = line.partition(" ")
        if option in given and len(given[option]) < 20:
            given[option].append(text)
    if not given["grid"] and not given["range"]:
        use(_variants()(given["set"]))
        return
    asked = sweep.read(ROOT / "recipes" / "cola_int8.yaml", given["grid"], given["range"], given["set"], online=True)
    for variant, _ in zip(asked.grid(), range(3), strict=False):
        asked.over(variant)
        asked.recipe(_variants(), variant)


TARGET = Target("recipe parser: --set, --grid, --range", check, SEEDS, raw(WORDS), share=5)
