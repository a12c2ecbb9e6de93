"""A device's file, and whether the machine behind it is the one that it says."""

from pathlib import Path

from edgekd import device_files
from edgekd.artifact import canonical
from tests.fuzz.mutators import yaml_tree
from tests.fuzz.target import Target
from tests.fuzz.targets.recipe import ROOT

SEEDS = (
    *(file.read_bytes() for file in sorted((ROOT / "devices").glob("*.yaml"))),
    b"name: all\ntransport: {type: ssh, host: h, port: 22, user: u, identity: ~/.ssh/id, known_hosts: k, workdir: w}\n"
    b"provider: {type: system, python: python3, path: /opt}\nbenchmark_model: program\nemulated: true\n"
    b"expect: {architecture: aarch64, model: 'Pi *', min_memory_mb: 1}\n"
    b"run: {min_s: 0, max_start_c: 50, profile: true, score_rows: 9, min_agreement: 0.9}\n",
)
FOUND = {"architecture": "aarch64", "model": "Raspberry Pi 5 Model B Rev 1.0", "memory_mb": 4045}


def check(data: bytes, folder: Path) -> None:
    (folder / "devices").mkdir()
    (folder / "devices" / "it.yaml").write_bytes(data)
    device = device_files.load("it", folder)
    canonical(device.model_dump(mode="json"))
    hash(device)
    device.serves("onnxruntime")
    device.expect.check(device.name, FOUND)


TARGET = Target("device files", check, SEEDS, yaml_tree(SEEDS), share=9)
