"""Scores artifacts on a split that their recipes never read, so one that no setting was chosen by.

python benchmarks/held_out.py runs/mentions/teacher runs/mentions/onnx_int8 [--split test]

Each is scored by the runtime that serves it. 95 %: of the split's rows, drawn anew (bootstrap), as in reports; to the
first artifact: its share, and the difference on the same rows.
"""

import argparse
from pathlib import Path

import numpy as np
import yaml

from edgekd import examining
from edgekd.artifact import Artifact
from edgekd.data import Data
from edgekd.data_options import DataOptions
from edgekd.engine import Engine
from edgekd.reading import Reader


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("artifacts", type=Path, nargs="+")
    parser.add_argument("--split", default="test")
    given = parser.parse_args()
    resolved = yaml.safe_load((given.artifacts[0].absolute().parent / "recipe.yaml").read_text())
    options = DataOptions.model_validate(resolved["data"])
    data = Data(options.model_copy(update={"splits": options.splits.model_copy(update={"dev": given.split})}))
    first: tuple[float, np.ndarray] | None = None
    print(f"{len(data.dev):,} rows of {given.split}\n")
    print(f"| artifact | {data.metric} | 95 % | of the first | difference, 95 % |\n|---|---|---|---|---|")
    for path in given.artifacts:
        artifact = Artifact.load(path)
        with Engine() as engine:
            reader = Reader(artifact)
            logits = np.asarray(reader.run(engine.compile(artifact.path), reader.encode(data.dev.texts)))
        sampler = data.task.sampler(data.metric, logits, data.dev.targets, data.labels, data.dev.ends)
        value, drawn = data.value(logits), np.array(examining.redrawn(sampler, len(data.dev)))
        first = first or (value, drawn)
        told = [examining.interval(drawn), examining.interval(drawn - first[1])]
        spans = [f"{pair[0]:.4f} to {pair[1]:.4f}" if pair else "-" for pair in told]
        print(f"| {path} | {value:.4f} | {spans[0]} | {value / first[0]:.1%} | {value - first[0]:+.4f} ({spans[1]}) |")


if __name__ == "__main__":
    main()
