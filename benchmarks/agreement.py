"""Whether two benches of one artifact on an idle machine agree, and whether a busy one is told apart.

python benchmarks/agreement.py runs/cola_int8/onnx_int8 [--device local] [--pairs 10]

Prints the p50 of both benches of each pair with their 95 % intervals, how many pairs' intervals overlap, and what a
bench beside one and beside many busy processes says of itself.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any


def bench(device: str, artifact: Path) -> dict[str, Any]:
    """One `edgekd devices bench`, with its doubts under `told`."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "out.json")
        argv = [sys.executable, "-m", "edgekd", "devices", "bench", device, str(artifact), "--json", str(out)]
        done = subprocess.run(argv, check=True, capture_output=True, text=True)
        (entry,) = json.loads(out.read_text())
    doubts = [line.partition("doubt: ")[2] for line in done.stdout.splitlines() if line.startswith("doubt: ")]
    return {**entry["percentiles"]["p50"], "told": doubts}


def shown(found: dict[str, Any]) -> str:
    return f"{1e3 * found['value']:.3f} ({1e3 * found['low']:.3f} to {1e3 * found['high']:.3f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("artifact", type=Path)
    parser.add_argument("--device", default="local")
    parser.add_argument("--pairs", type=int, default=10)
    given = parser.parse_args()
    overlapping, doubted = 0, 0
    print(f"load before: {os.getloadavg()[0]:.2f}")
    for number in range(1, given.pairs + 1):
        pair = [bench(given.device, given.artifact) for _ in range(2)]
        overlap = pair[0]["low"] <= pair[1]["high"] and pair[1]["low"] <= pair[0]["high"]
        overlapping += overlap
        told = [doubt for one in pair for doubt in one["told"]]
        doubted += bool(told)
        print(
            f"{number}: p50 ms {shown(pair[0])} and {shown(pair[1])}: {'overlap' if overlap else 'APART'}",
            *told,
            sep="\n     ",
        )
    print(f"{overlapping} of {given.pairs} pairs overlap; {doubted} pairs with a doubt")
    for busy in (1, 2 * (os.cpu_count() or 1)):
        with ExitStack() as stack:
            for _ in range(busy):
                process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
                stack.callback(process.wait)
                stack.callback(process.kill)
            found = bench(given.device, given.artifact)
        print(
            f"beside {busy} busy processes: p50 ms {shown(found)}", *(found["told"] or ["NO DOUBT TOLD"]), sep="\n     "
        )


if __name__ == "__main__":
    main()
