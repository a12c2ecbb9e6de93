"""How cost grows with work: an inference with length and batch, an epoch with rows and with the teacher's size.

python benchmarks/costs.py RUN --data FOLDER/SST-2 [--out FOLDER]

RUN is the folder of `edgekd run benchmarks/speed.yaml`. Points of a curve are measured in turn, several rounds; a point
is the median. The exponent is the slope of a line through the logarithms (least squares), with its 95 % interval from
rounds drawn again; the largest and the smallest work tell it apart from what a call costs by itself. Writes costs.svg
and costs.json.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rows import MAX_LENGTH, glue

from edgekd.engine import Engine
from edgekd.runtime import EngineDevice
from edgekd.svg import Axis, label, line, points, tag

LENGTHS, BATCHES, ROWS, LAYERS = (8, 16, 32, 64, 96, 128), (1, 2, 4, 8, 16, 32), (500, 1000, 2000, 4000), (1, 2, 4, 6)
ARTIFACTS = ("onnx_int8", "tflite_int8", "executorch_int8")
INK = ("#1f6fb4", "#b4421f", "#3a8f3a", "#7a4fb0")
Curve = Mapping[int, Sequence[float]]


def inference(run: Path, of: str, rounds: int) -> dict[str, Curve]:
    """Seconds by artifact and by length (of one row) or batch (of 32 tokens), 1 thread."""
    found: dict[str, dict[int, list[float]]] = {}
    with Engine() as engine:
        for name in ARTIFACTS:
            executable = engine.compile(run / name, EngineDevice("cpu", 1))
            shapes = [(1, length) for length in LENGTHS] if of == "length" else [(batch, 32) for batch in BATCHES]
            own = found[name] = {max(shape) if of == "length" else shape[0]: [] for shape in shapes}
            for number in range(rounds + 1):
                for (rows, length), samples in zip(shapes, own.values(), strict=True):
                    ids = np.random.default_rng(number).integers(1000, 20000, (rows, length))
                    row = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
                    spent = []
                    for _ in range(9):
                        start = time.perf_counter()
                        executable.run(row)
                        spent.append(time.perf_counter() - start)
                    samples += [statistics.median(spent)] if number else []  # the first round is warm-up
    return found


def epoch(teacher: Any, folder: Path, source: Path, rows: int, cache: float) -> float:
    """Seconds of an epoch of distillation of a student of 1 layer, 312 wide; `cache` 0: the teacher runs in it."""
    from edgekd.kd import fitting
    from edgekd.kd.objective import Learner
    from edgekd.kd.phase import Phase, Terms
    from edgekd.kd.student import shaped
    from edgekd.kd.training import Training
    from edgekd.start import Shape

    data = glue(source, "sst2", rows)
    student = shaped(teacher, Shape(layers=1, width=312))
    phase = Phase(name="taught", terms=Terms(soft=1, hard=1), epochs=1)
    learning = fitting.rows(data.train.texts, data.train.targets, folder, MAX_LENGTH, student)
    seconds = {"teacher": 0.0, "student": 0.0}
    last = time.perf_counter()

    def watch(name: str, done: float, total: float) -> None:
        nonlocal last
        now = time.perf_counter()
        seconds["teacher" if name.endswith("teacher") else "student"] += now - last
        last = now

    with tempfile.TemporaryDirectory() as scratch:
        learner = Learner(student, {"tuned": teacher}, [phase])
        training = Training(learner, [phase], [learning], 1, Path(scratch), watch, checkpoint_s=1e9, cache_bytes=cache)
        last = time.perf_counter()
        training.run()
    return seconds["student"]


def training(run: Path, source: Path, of: str, rounds: int) -> dict[str, Curve]:
    """Seconds of an epoch by train rows, or by the teacher's layers, with its outputs kept and with it running."""
    from edgekd.kd.encoder import load_classifier
    from edgekd.kd.student import shaped
    from edgekd.start import Shape

    folder = run / "teacher"
    whole = load_classifier(folder)
    found: dict[str, dict[int, list[float]]] = {"outputs kept": {}, "teacher running": {}}
    for number in range(rounds + 1):
        for size in ROWS if of == "rows" else LAYERS:
            teacher = whole if of == "rows" else shaped(whole, Shape(layers=size))
            for name, cache in (("outputs kept", 4e9), ("teacher running", 0.0)):
                taken = epoch(teacher, folder, source, size if of == "rows" else 1000, cache)
                own = found[name].setdefault(size, [])
                own += [taken] if number else []
    return found


def slope(curve: Curve) -> tuple[float, float, float]:
    """The fitted exponent and its 95 % interval, by rounds drawn again."""
    works = np.log(list(curve))
    rounds = np.array(list(curve.values()))
    draw = np.random.default_rng(0)
    drawn = [rounds[:, draw.integers(0, rounds.shape[1], rounds.shape[1])] for _ in range(1000)]
    found = [float(np.polyfit(works, np.log(np.median(one, axis=1)), 1)[0]) for one in drawn]
    middle = float(np.polyfit(works, np.log(np.median(rounds, axis=1)), 1)[0])
    return middle, float(np.quantile(found, 0.025)), float(np.quantile(found, 0.975))


def picture(plots: Mapping[str, tuple[str, float, dict[str, Curve]]]) -> str:
    """Four plots in two columns, both axes logarithmic."""
    wide, high, parts = 460, 300, []
    for number, (name, (unit, factor, curves)) in enumerate(plots.items()):
        left, top = 70 + (number % 2) * (wide + 60), 50 + (number // 2) * (high + 90)
        middles = {key: {x: statistics.median(ys) * factor for x, ys in curve.items()} for key, curve in curves.items()}
        values = [y for curve in middles.values() for y in curve.values()]
        works = [x for curve in middles.values() for x in curve]
        across = Axis(min(works), max(works), left, left + wide, log=True)
        up = Axis(min(values) / 1.2, max(values) * 1.2, top + high, top, log=True)
        parts.append(label(left, top - 14, f"{name}, {unit}", font_size=14))
        for work in sorted(set(works)):
            parts.append(line(across(work), top, across(work), top + high, stroke="#eee"))
            parts.append(label(across(work), top + high + 16, f"{work}", text_anchor="middle"))
        for value, spoken in up.marks():
            parts.append(line(left, up(value), left + wide, up(value), stroke="#eee"))
            parts.append(label(left - 8, up(value) + 4, spoken, text_anchor="end"))
        for at, (key, middle) in enumerate(middles.items()):
            told, low, upper = slope(curves[key])
            places = [(across(x), up(y)) for x, y in middle.items()]
            parts.append(tag("polyline", points=points(places), fill="none", stroke=INK[at]))
            parts += [tag("circle", cx=x, cy=y, r=3, fill=INK[at]) for x, y in places]
            words = f"{key}: exponent {told:.2f} ({low:.2f} to {upper:.2f})"
            parts.append(label(left + 10, top + 18 + 17 * at, words, fill=INK[at]))
    size = f'viewBox="0 0 1080 {50 + 2 * (high + 90)}" width="1080"'
    style = 'font-family="sans-serif" font-size="12" fill="#222" stroke-width="2"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>',
            '<rect width="100%" height="100%" fill="#fff"/>',
            *parts,
            "</svg>\n",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path())
    given = parser.parse_args()
    measures: dict[str, tuple[str, float, Callable[[], dict[str, Curve]]]] = {
        "an inference by length": (
            "ms, 1 row, 1 thread",
            1e3,
            lambda: inference(given.run, "length", 4 * given.rounds),
        ),
        "an inference by rows": (
            "ms, 32 tokens, 1 thread",
            1e3,
            lambda: inference(given.run, "batch", 4 * given.rounds),
        ),
        "an epoch by train rows": ("s", 1.0, lambda: training(given.run, given.data, "rows", given.rounds)),
        "an epoch by the teacher's layers": (
            "s, 1,000 rows",
            1.0,
            lambda: training(given.run, given.data, "layers", given.rounds),
        ),
    }
    found = {name: (unit, factor, measure()) for name, (unit, factor, measure) in measures.items()}
    print("| cost | of | exponent (95 %) | least | most |\n|---|---|---|---|---|")
    for name, (unit, factor, curves) in found.items():
        for key, curve in curves.items():
            middle, low, high = slope(curve)
            ends = [statistics.median(curve[work]) * factor for work in (min(curve), max(curve))]
            told = [f"{value:.3g} at {work}" for value, work in zip(ends, (min(curve), max(curve)), strict=True)]
            print(f"| {name}, {unit} | {key} | {middle:.2f} ({low:.2f} to {high:.2f}) | {' | '.join(told)} |")
    (given.out / "costs.svg").write_text(picture(found))
    (given.out / "costs.json").write_text(json.dumps({name: curves for name, (_, _, curves) in found.items()}))


if __name__ == "__main__":
    main()
