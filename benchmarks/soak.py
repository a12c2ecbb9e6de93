"""Whether memory or handles leak while artifacts are loaded, run and closed for hours, on every runtime.

python benchmarks/soak.py [--minutes 120] [--runtime NAME ...] [--artifact FOLDER ...] [--out FILE]

Makes an artifact of each runtime in fp32 and in INT8 (random weights, the embedded corpus; nothing is downloaded), then
soaks each runtime in a process of its own, so that what grows has a name: load, predict texts of many lengths, run
batches of several shapes, at times let it tell its precision and its operators' times, close, and again. All share one
core at nice 15. This process samples each child with an artifact loaded and after all were closed and Python's garbage
was collected. The first tenth is warm-up; then the median of the last tenth of the samples is held against that of the
first, and a trend is fitted to all; what each load left is told beside. Ends with 1 where memory grew by more than 2 %,
or where there are more files, threads or temporary files open.
"""

import argparse
import gc
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

LIMIT = 0.02
WARM_UP = 0.1  # share of the run
# What may not grow by more than LIMIT: pages that no file backs, all resident pages, memory maps. PSS is kept beside
# them, but it falls and rises with every other process that has the same libraries open.
MEMORY = ("anonymous", "rss", "maps")
HANDLES = ("fds", "threads", "files")  # may not grow at all
MAX_LENGTH = 40  # tokens: the positions of the encoder
# Rows and tokens of the batches. Few, so that all are seen in the warm-up.
SHAPES = [(rows, length) for rows in (1, 2, 8) for length in (4, 11, 16, 27, 40)]

TEXTS, BATCHES = 200, 30  # between a load and a close: what serves is loaded to answer
TOLD = 10  # cycles between two that ask for precision and operators, which compiles the model once more

RECIPE = f"""\
name: soak
data: {{source: embedded/acceptability, max_length: {MAX_LENGTH}, limit: 256}}
seed: 7
steps:
  - {{id: torch, stage: finetune, model: ENCODER, epochs: 1, batch_size: 16}}
  - {{id: onnx, stage: export_onnx}}
  - {{id: onnx_int8, stage: quantize_onnx, max_drop: 1}}
  - {{id: openvino, stage: export_openvino, source: torch}}
  - {{id: openvino_int8, stage: export_openvino, source: torch, precision: int8, max_drop: 1}}
  - {{id: tflite, stage: export_tflite, source: torch, lengths: [16, 40]}}
  - {{id: tflite_int8, stage: export_tflite, source: torch, precision: int8, lengths: [16, 40], max_drop: 1}}
  - {{id: executorch, stage: export_executorch, source: torch}}
  - {{id: executorch_int8, stage: export_executorch, source: torch, precision: int8, max_drop: 1}}
devices: []
"""


def artifacts(folder: Path) -> list[Path]:
    """Those of RECIPE, of an encoder as large as the small ones that are served (5 million parameters)."""
    import edgekd
    from edgekd.testing import build_encoder

    encoder = build_encoder(folder / "encoder", layers=4, width=384)
    (folder / "soak.yaml").write_text(RECIPE.replace("ENCODER", str(encoder)))
    edgekd.run(folder / "soak.yaml", folder / "runs")
    return sorted(path.parent for path in (folder / "runs" / "soak").glob("*/manifest.json"))


def soak(folders: list[Path]) -> None:
    """A child: cycles until standard input closes. It tells where it is and goes on when the parent says so."""
    import edgekd
    from edgekd.embedded import acceptability
    from edgekd.engine import Engine
    from edgekd.runtime import EngineDevice

    sentences = [row["sentence"] for row in acceptability.generate(7)["validation"]]
    draw, drawn = random.Random(7), np.random.default_rng(7)

    def batch(rows: int, length: int) -> dict[str, Any]:
        ids = drawn.integers(5, 28, size=(rows, length))
        return {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}

    def told(**facts: Any) -> None:
        print(json.dumps(facts), flush=True)
        if not sys.stdin.readline():
            raise SystemExit

    cycle = rows = 0
    while True:
        for folder in folders:
            with edgekd.load(folder) as model:
                texts = [" ".join(draw.choices(sentences, k=draw.randint(1, 4))) for _ in range(TEXTS)]
                rows += len(model.predict(texts))
            with Engine() as engine:
                executable = engine.compile(folder, EngineDevice("cpu", 1))
                for shape in draw.choices(SHAPES, k=BATCHES):
                    given = batch(*shape)
                    executable.run(given, executable.run(given))
                    rows += 2 * shape[0]
                if cycle % TOLD == 0:
                    executable.precision(batch(1, 8))
                    executable.profile([batch(1, 8), batch(1, 16)])
                if folder == folders[0]:  # one after the other is in memory: each is compared with itself alone
                    told(at="loaded", cycle=cycle, rows=rows)
        cycle += 1
        gc.collect()  # what Python has not collected yet is not lost
        told(at="closed", cycle=cycle, rows=rows)


def sample(pid: int, own: Path) -> dict[str, int]:
    """Bytes of a process, and how many handles it holds; `own` is where its temporary files go."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    sizes = {line.partition(":")[0]: int(line.split()[1]) * 1024 for line in rollup}
    return {
        "pss": sizes["Pss"],
        "rss": sizes["Rss"],
        "anonymous": sizes["Anonymous"],
        "maps": len(Path(f"/proc/{pid}/maps").read_text().splitlines()),
        "fds": sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir()),
        "threads": sum(1 for _ in Path(f"/proc/{pid}/task").iterdir()),
        "files": sum(len(files) for _, _, files in os.walk(own)),
    }


class Watched(threading.Thread):
    """A child of one runtime, and what was seen of it: `samples`, a row for each."""

    def __init__(self, runtime: str, folders: list[Path], seconds: float, every: float, root: Path) -> None:
        super().__init__(name=runtime)
        self.samples: list[dict[str, Any]] = []
        self.folders = folders
        self.seconds, self.every, self.own = seconds, every, root / f"tmp_{runtime}"
        self.own.mkdir()
        self.errors = (root / f"{runtime}.err").open("w+")
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "TMPDIR": str(self.own)}
        argv = [sys.executable, __file__, "--child", *(f"--artifact={folder}" for folder in folders)]
        self.process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True, env=environment
        )

    def run(self) -> None:
        assert self.process.stdin and self.process.stdout
        begun = time.monotonic()
        due = {"loaded": begun, "closed": begun}
        for line in self.process.stdout:
            told, now = json.loads(line), time.monotonic()
            if now >= due[told["at"]]:
                due[told["at"]] = now + self.every
                self.samples.append({**told, "s": now - begun, **sample(self.process.pid, self.own)})
            if told["at"] == "closed" and now - begun > self.seconds:
                break
            self.process.stdin.write("\n")
            self.process.stdin.flush()
        self.process.stdin.close()
        self.process.wait()

    def failed(self) -> str:
        self.errors.seek(0)
        return self.errors.read()[-2000:] if self.process.returncode else ""


def verdict(seconds: list[float], values: list[float]) -> dict[str, float]:
    """Median of the first and of the last tenth; growth between them; and a trend over the span, as shares.

    The trend is Theil and Sen's: the median of the slopes between points half the span apart or more.
    """
    tenth = max(1, len(values) // 10)
    first, last = statistics.median(values[:tenth]), statistics.median(values[-tenth:])
    half = len(values) // 2
    slopes = [
        (values[late] - values[early]) / (seconds[late] - seconds[early])
        for early in range(len(values) - half)
        for late in range(early + half, len(values))
        if seconds[late] > seconds[early]
    ]
    trend = statistics.median(slopes) * (seconds[-1] - seconds[0]) if slopes else 0.0
    return {"first": first, "last": last, "growth": (last - first) / max(first, 1), "trend": trend / max(first, 1)}


def judged(samples: list[dict[str, Any]], whole: float) -> Iterator[tuple[str, str, dict[str, float], bool]]:
    """Where it was sampled, what of it, the verdict, and whether it holds."""
    for at in ("loaded", "closed"):
        kept = [row for row in samples if row["at"] == at and row["s"] >= WARM_UP * whole]
        if len(kept) < 10:
            raise SystemExit(f"{len(kept)} samples after warm-up are too few for a verdict: more --minutes")
        for name in (*MEMORY, *HANDLES):
            found = verdict([row["s"] for row in kept], [row[name] for row in kept])
            limit = LIMIT if name in MEMORY else 0.0
            yield at, name, found, found["growth"] <= limit and found["trend"] <= limit


def table(children: list[Watched]) -> int:
    """Print it; how many limits broke."""
    broken = 0
    for child in children:
        last = child.samples[-1]
        print(f"\n{child.name}: {last['cycle']:,} cycles, {last['rows']:,} rows, {last['s'] / 60:.0f} min")
        closed = [row for row in child.samples if row["at"] == "closed" and row["s"] >= WARM_UP * last["s"]]
        loads = 2 * len(child.folders) * (closed[-1]["cycle"] - closed[0]["cycle"])
        left = (closed[-1]["anonymous"] - closed[0]["anonymous"]) / max(1, loads)
        print(f"  {left:,.0f} bytes left by each of {loads:,} loads")
        for at, name, found, holds in judged(child.samples, last["s"]):
            scale, unit = (1, "") if name in ("maps", *HANDLES) else (1e6, "MB")
            print(
                f"  {at:7} {name:9} {found['first'] / scale:9.1f} -> {found['last'] / scale:9.1f} {unit:3}"
                f"{100 * found['growth']:+7.2f} %   trend {100 * found['trend']:+7.2f} %   {'' if holds else 'GROWS'}"
            )
            broken += not holds
    return broken


def written(out: Path | None, children: list[Watched]) -> None:
    if out:
        half = out.with_name(f"{out.name}.half")
        half.write_text(json.dumps({child.name: child.samples for child in children}))
        half.replace(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=120)
    parser.add_argument("--runtime", action="append", help="Only this one; may be repeated")
    parser.add_argument("--artifact", action="append", type=Path, help="Soak this folder; default: makes its own")
    parser.add_argument("--out", type=Path, help="JSON of all samples")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        return soak(given.artifact)

    from edgekd.artifact import Artifact
    from edgekd.runtime import serving

    os.nice(max(0, 15 - os.nice(0)))
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # children inherit it: one core in all
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        root = Path(name)
        groups: dict[str, list[Path]] = {}
        for folder in given.artifact or artifacts(root):
            groups.setdefault(serving(Artifact.load(folder).manifest.format), []).append(folder)
        seconds = 60 * given.minutes
        chosen = {runtime: folders for runtime, folders in groups.items() if runtime in (given.runtime or groups)}
        children = [Watched(*item, seconds, max(0.5, seconds / 720), root) for item in chosen.items()]
        for child in children:
            child.start()
        while any(child.is_alive() for child in children):
            time.sleep(min(60, seconds / 60))
            written(given.out, children)
            print(
                *(f"{child.name} {child.samples[-1]['anonymous'] / 1e6:.1f} MB" for child in children if child.samples)
            )
            sys.stdout.flush()
        written(given.out, children)
        for child in children:
            if failed := child.failed():
                raise SystemExit(f"{child.name} ended with {child.process.returncode}:\n{failed}")
        if broken := table(children):
            raise SystemExit(f"{broken} limits broke")
        print("\nflat")
    return None


if __name__ == "__main__":
    main()
