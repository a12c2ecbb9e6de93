"""Tunes the teacher of one GLUE task: a grid of learning rates, epochs and warm-ups over several seeds, dev scores.

python benchmarks/teacher.py --data FOLDER/glue --model FOLDER/models/all-MiniLM-L6-v2 --task CoLA --rates 1e-4 2e-4

Data and batch size are glue.py's SETTINGS; each run is `edgekd run` of a recipe that holds the teacher alone.
"""

import argparse
import itertools
import json
import statistics
import subprocess
import sys
from pathlib import Path

import yaml
from glue import SETTINGS

DEVICE = {"name": "brief", "run": {"min_runs": 64, "repeats": 1}}


def score(given: argparse.Namespace, rate: float, epochs: int, warmup: float, seed: int) -> float:
    """Dev score of one teacher, trained by `edgekd run`."""
    folder = given.runs / "recipes"
    (folder / "devices").mkdir(parents=True, exist_ok=True)
    (folder / "devices" / "brief.yaml").write_text(yaml.safe_dump(DEVICE))
    name = f"teacher_{given.task}_{rate:g}_{epochs}_{warmup:g}_{seed}".lower().replace(".", "_").replace("-", "_")
    settings = SETTINGS[given.task]
    teacher = {**settings["teacher"], "learning_rate": rate, "epochs": epochs, "warmup": warmup}  # type: ignore[dict-item]
    data = yaml.safe_load(f"{{source: {given.data.resolve() / given.task}, {settings['data']}}}")
    step = {"id": "teacher", "stage": "finetune", "model": str(given.model.resolve()), **teacher}
    recipe = {"name": name, "data": data, "seed": seed, "steps": [step], "devices": ["brief"]}
    file = folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump(recipe))
    argv = [sys.executable, "-m", "edgekd", "run", str(file), "--offline", "--runs", str(given.runs)]
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
    report = json.loads((given.runs / name / "report.json").read_text())
    return float(report["steps"][0]["score"]["value"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with CoLA, SST-2 and STS-B")
    parser.add_argument("--model", type=Path, required=True, help="pretrained encoder")
    parser.add_argument("--task", default="CoLA", choices=list(SETTINGS))
    parser.add_argument("--rates", type=float, nargs="+", default=[5e-5, 1e-4, 2e-4])
    parser.add_argument("--epochs", type=int, nargs="+", default=[5])
    parser.add_argument("--warmups", type=float, nargs="+", default=[0.1])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    given = parser.parse_args()
    print("| learning rate | epochs | warm-up | mean | of the seeds |", "|---|---|---|---|---|", sep="\n", flush=True)
    for rate, epochs, warmup in itertools.product(given.rates, given.epochs, given.warmups):
        found = [score(given, rate, epochs, warmup, seed) for seed in given.seeds]
        listed = ", ".join(f"{value:.4f}" for value in found)
        print(f"| {rate:g} | {epochs} | {warmup:g} | {statistics.mean(found):.4f} | {listed} |", flush=True)


if __name__ == "__main__":
    main()
