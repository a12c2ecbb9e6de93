"""Times the commands that must answer at once, from process start to exit: minimum, median and maximum of several runs.

python benchmarks/start.py [--runs 10] [--artifact RUN/STEP ...] [--bundle FOLDER ...]

With artifacts and bundles also the first answer of each, by `edgekd predict` and by the bundle's predict.py.
"""

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

RECIPE = str(Path(__file__).parents[1] / "recipes" / "cola_int8.yaml")
_TEXT = "a charming and often affecting journey"
COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "edgekd --help": ["-m", "edgekd", "--help"],
    "edgekd explain distill": ["-m", "edgekd", "explain", "distill"],
    "edgekd plan recipes/cola_int8.yaml": ["-m", "edgekd", "plan", RECIPE],
}


def seconds(arguments: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--artifact", type=Path, nargs="*", default=[])
    parser.add_argument("--bundle", type=Path, nargs="*", default=[])
    given = parser.parse_args()
    runs, commands = given.runs, dict(COMMANDS)
    for folder in given.artifact:
        commands[f"edgekd predict {folder.name}"] = ["-m", "edgekd", "predict", str(folder), _TEXT]
    for folder in given.bundle:
        commands[f"{folder.name}/predict.py"] = [str(folder / "predict.py"), _TEXT]
    # Interleaved, so that a machine that slows down slows all alike; the first round warms the caches.
    rounds = [{name: seconds(arguments) for name, arguments in commands.items()} for _ in range(runs + 1)][1:]
    for name in commands:
        found = [taken[name] for taken in rounds]
        print(f"{name:36} min {min(found):.3f}  median {statistics.median(found):.3f}  max {max(found):.3f} s")


if __name__ == "__main__":
    main()
