"""What the pipeline itself costs, apart from what it runs: python benchmarks/planning.py [--variants N] [--artifacts N]

Plans N variants of the main recipe (--offline), looks artifacts up in a store of N, and goes through a run whose steps
are all there. Seconds of this machine; for each a fit of time against work, over tenths and halves of N.
"""

import argparse
import math
import os
import resource
import tempfile
import time
from pathlib import Path

import numpy as np

from edgekd import pipeline
from edgekd.recipe import load
from edgekd.store import Store
from edgekd.sweep import read
from edgekd.sweep_plan import Planner
from edgekd.watcher import Silent

RECIPE = Path(__file__).parents[1] / "recipes" / "cola_int8.yaml"
RATES = 1000  # learning rates of the grid; the other fields have ten combinations


def exponent(work: list[int], seconds: list[float]) -> float:
    return float(np.polyfit(np.log(work), np.log(seconds), 1)[0])


def planning(count: int, folder: Path) -> None:
    grid = [
        "student.phases.prediction.learning_rate=" + ",".join(f"{1e-5 * (1 + at / 100):.6g}" for at in range(RATES)),
        "student.seed=1,2,3,4,5",
        "onnx_int8.per_channel=true,false",
    ]
    sweep, store = read(RECIPE, grid, online=False), Store(folder)
    work, taken = [], []
    for share in (10, 5, 2, 1):
        variants = list(sweep.grid())[: count // share]
        start = time.perf_counter()
        plan = Planner(sweep, store)(variants)
        taken.append(time.perf_counter() - start)
        work.append(len(variants))
        print(f"{len(variants):,} variants, {plan.asked:,} steps, {plan.distinct:,} different: {taken[-1]:.2f} s")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(f"peak memory {peak:.0f} MB, exponent {exponent(work, taken):.2f}")


def looking_up(count: int, folder: Path) -> None:
    store = Store(folder)
    keys = [f"{number:032x}" for number in range(count)]
    work, taken = [], []
    made = 0
    for share in (10, 2, 1):
        for key in keys[made : count // share]:
            place = store.path(key)
            place.mkdir(parents=True)
            (place / "manifest.json").write_text("{}")
        made = count // share
        asked = [keys[at] for at in np.random.default_rng(0).integers(made, size=2000)]
        times = []
        for key in [*asked, *(f"x{key[1:]}" for key in asked)]:
            start = time.perf_counter()
            _ = key in store
            times.append(time.perf_counter() - start)
        work.append(made)
        taken.append(float(np.median(times)))
        late = 1e6 * float(np.quantile(times, 0.99))
        print(f"{made:,} artifacts: p50 {1e6 * taken[-1]:.1f} us, p99 {late:.1f} us a look-up")
    print(f"exponent {exponent(work, taken):.2f}")


def going_through(recipe: Path, runs: Path, store: Path) -> None:
    """A run that has all: what is left is the pipeline's own."""
    loaded = load(recipe, ["devices=[]"], online=False)
    pipeline.attempt(loaded, Store(store), runs, Silent())
    times = []
    for _ in range(10):
        start = time.perf_counter()
        pipeline.attempt(loaded, Store(store), runs, Silent())
        times.append(time.perf_counter() - start)
    each = np.array(times) / len(loaded.steps)
    low, high = np.quantile(each, [0.05, 0.95])
    middle = 1e3 * float(np.median(each))
    print(f"{len(loaded.steps)} cached steps: {middle:.1f} ms a step ({1e3 * low:.1f} to {1e3 * high:.1f})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variants", type=int, default=10_000)
    parser.add_argument("--artifacts", type=int, default=100_000)
    parser.add_argument("--run", type=Path, help="A recipe that has run, with --runs and --store, to go through again")
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--store", type=Path)
    given = parser.parse_args()
    print(f"{os.cpu_count()} cores, load {math.floor(100 * os.getloadavg()[0]) / 100}")
    with tempfile.TemporaryDirectory() as folder:
        planning(given.variants, Path(folder, "empty"))
        looking_up(given.artifacts, Path(folder, "full"))
    if given.run:
        going_through(given.run, given.runs, given.store or given.runs / ".store")


if __name__ == "__main__":
    main()
