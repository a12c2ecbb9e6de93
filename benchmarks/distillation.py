"""What an epoch of distillation costs, in epochs of plain fine-tuning of the same student on the same rows.

python benchmarks/distillation.py --teacher FOLDER/teacher --data FOLDER/SST-2 --preset sst2 [--rows 4000] [--rounds 3]

The teacher is a fine-tuned step of a run. One process; epochs alternate, plain, kept, running, plain, ..., where `kept`
reads the teacher's outputs from disk and `running` computes them at every step. The first epoch's filling of the files
is told apart.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from rows import MAX_LENGTH, glue

from edgekd.kd.encoder import load_classifier
from edgekd.kd.fitting import rows
from edgekd.kd.objective import Learner
from edgekd.kd.phase import Phase, Terms
from edgekd.kd.student import shaped
from edgekd.kd.training import Training
from edgekd.start import Shape

PLAIN = Phase(name="plain", terms=Terms(hard=1), epochs=1)
TAUGHT = Phase(name="taught", terms=Terms(embedding=1, hidden=1, attention=1, soft=1, hard=1), epochs=1)


class Watch:
    """Seconds of each phase's epoch, and of the teacher's filling before it."""

    def __init__(self) -> None:
        self.last, self.filling, self.training = time.perf_counter(), 0.0, 0.0

    def __call__(self, label: str, done: float, total: float) -> None:
        now = time.perf_counter()
        if label.endswith("teacher"):
            self.filling += now - self.last
        else:
            self.training += now - self.last
        self.last = now


def epochs(given: argparse.Namespace, folder: Path) -> Iterator[tuple[str, float, float]]:
    data = glue(given.data, given.preset, given.rows)
    teacher = load_classifier(given.teacher)
    shape = Shape(layers=given.layers, width=given.width)
    for number in range(given.rounds):
        for name, phase, cache in (("plain", PLAIN, 0.0), ("kept", TAUGHT, 4e9), ("running", TAUGHT, 0.0)):
            student = shaped(teacher, shape)
            learning = rows(data.train.texts, data.train.targets, given.teacher, MAX_LENGTH, student)
            watch = Watch()
            learner = Learner(student, {"tuned": teacher}, [phase])
            scratch = folder / f"{name}-{number}"
            Training(learner, [phase], [learning], 1, scratch, watch, checkpoint_s=1e9, cache_bytes=cache).run()
            yield name, watch.training, watch.filling


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teacher", type=Path, required=True, help="folder of a fine-tuned step")
    parser.add_argument("--data", type=Path, required=True, help="a GLUE task's folder")
    parser.add_argument("--preset", default="sst2")
    parser.add_argument("--rows", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--width", type=int, default=312)
    given = parser.parse_args()
    found: dict[str, list[float]] = {"plain": [], "kept": [], "running": []}
    filling = []
    with tempfile.TemporaryDirectory() as folder:
        for name, seconds, filled in epochs(given, Path(folder)):
            found[name].append(seconds)
            filling += [filled] if filled else []
    print("| epoch | seconds, median (least to most) | in plain epochs of its round |")
    print("|---|---|---|")
    for name, seconds in found.items():
        ratios = [one / plain for one, plain in zip(seconds, found["plain"], strict=True)]
        print(
            f"| {name} | {statistics.median(seconds):.1f} ({min(seconds):.1f} to {max(seconds):.1f}) "
            f"| {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) |"
        )
    print(f"\nFilling the teacher's files, once: {statistics.median(filling):.1f} s.")


if __name__ == "__main__":
    main()
