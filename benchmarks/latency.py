"""One student, as edgekd makes it and as other tools make it by their own documentation: interleaved in one process.

python benchmarks/latency.py RUN --texts FILE.tsv [--threads N] [--batch N] [--lengths 8 16 ...] [--out FILE.json]

RUN is the folder of `edgekd run benchmarks/speed.yaml`: its step `student` is what the peers are given, and every other
step that no torch serves is timed. FILE.tsv is SST-2's dev.tsv. Peers of another environment are timed where
EDGEKD_OPTIMUM and EDGEKD_OLIVE name a Python that has them.

A round gives each variant the same rows, one after another, A A A B B B C C C, and the next round the same again: what
a machine does to one it does to all, and a variant runs as it serves, not with what others left in the caches. A ratio
is the median over rounds of peer's by edgekd's median, with its 95 % interval. Real lengths first, then --lengths. The
limit is the time of the model's products at the machine's own rate of INT8 products, measured in the same rounds.
"""

import argparse
import csv
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from peers import FIXED, NAMES, PEERS, Answer, Rows

from edgekd import load
from edgekd.artifact import MANIFEST, Artifact
from edgekd.engine import Engine
from edgekd.quiet import quiet
from edgekd.runtime import EngineDevice
from edgekd.tokens import encode, load_tokenizer

ROUNDS, ROWS = 40, 25
PADDED = 64  # the one length of a fixed file that serves real lengths: SST-2's longest sentence has 55 tokens
OURS = "edgekd "


def read(texts: Path, student: Path) -> tuple[list[Rows], list[int]]:
    """Rows of one sentence each, at their real lengths and in a seeded order; and their labels."""
    with texts.open(encoding="utf-8", newline="") as stream:
        lines = list(csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))
    order = np.random.default_rng(0).permutation(len(lines))
    tokens = encode(load_tokenizer(student, 128), [(lines[number]["sentence"],) for number in order])
    return [tokens.pad([row]) for row in range(len(lines))], [int(lines[number]["label"]) for number in order]


def stretched(rows: Sequence[Rows], length: int, batch: int) -> list[Rows]:
    """Rows of one length, of real tokens repeated or cut; `batch` of them together."""
    alone = [np.resize(row["input_ids"][0, :-1], length) for row in rows]
    groups = [np.stack([alone[(start + k) % len(alone)] for k in range(batch)]) for start in range(len(alone))]
    return [
        {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)} for ids in groups
    ]


def ours(run: Path, threads: int, engine: Engine) -> dict[str, Answer]:
    found: dict[str, Answer] = {}
    for folder in served(run):
        executable = engine.compile(folder, EngineDevice("cpu", threads))
        found[OURS + folder.name] = lambda row, own=executable: own.run(row)["logits"]  # type: ignore[misc]
    return found


def theirs(
    student: Path, out: Path, rows: Sequence[Rows], threads: int, fixed: Mapping[str, Sequence[int]]
) -> dict[str, Answer]:
    """Peers that answer here; what does not is told, and why."""
    wanted: dict[str, Callable[[], Answer]] = {
        name: lambda make=make: make(student, out, rows, threads)  # type: ignore[misc]
        for name, make in PEERS.items()
    }
    for label, lengths in fixed.items():
        for name, make in FIXED.items():
            wanted[f"{name} {label}"] = lambda make=make, n=lengths: make(student, out, rows, threads, n)  # type: ignore[misc]
    found = {}
    for name, make_one in wanted.items():
        try:
            print(f"making {name}", file=sys.stderr, flush=True)
            with quiet(always=True):
                found[name] = make_one()
                found[name](rows[0])
        except Exception as error:  # a peer that fails is a result
            found.pop(name, None)
            print(f"{name} does not answer: {' '.join(str(error).split())[:300]}", file=sys.stderr)
    return found


def timed(variants: Mapping[str, Answer], rows: Sequence[Rows], rounds: int) -> dict[str, list[list[float]]]:
    """Seconds of each row, by variant and by round."""
    spent: dict[str, list[list[float]]] = {name: [] for name in variants}
    for answer in variants.values():
        for row in rows[: 2 * ROWS]:
            answer(row)
    for number in range(rounds):
        own = [rows[(number * ROWS + k) % len(rows)] for k in range(ROWS)]
        for name, answer in variants.items():
            answer(own[-1])
            samples = []
            for row in own:
                start = time.perf_counter()
                answer(row)
                samples.append(time.perf_counter() - start)
            spent[name].append(samples)
    return spent


def ratio(slow: Sequence[Sequence[float]], fast: Sequence[Sequence[float]]) -> tuple[float, float, float]:
    """The median over rounds of the ratio of medians, and its 95 % interval by order statistics."""
    found = sorted(statistics.median(a) / statistics.median(b) for a, b in zip(slow, fast, strict=True))
    reach = 0.98 * math.sqrt(len(found))
    low, high = math.floor(len(found) / 2 - reach), math.ceil(len(found) / 2 + reach)
    return statistics.median(found), found[max(0, low)], found[min(len(found) - 1, high)]


def rates() -> dict[str, float]:
    """What one core of this machine reaches: multiply-adds a second in INT8 and fp32 (oneDNN), bytes a second."""
    import torch

    torch.set_num_threads(1)
    size = 1024
    whole = torch.randint(-100, 100, (size, size), dtype=torch.int8)
    real, many = torch.randn(size, size), np.ones(2**26, np.float64)

    def best(work: Callable[[], Any]) -> float:
        def once() -> float:
            start = time.perf_counter()
            work()
            return time.perf_counter() - start

        return min(once() for _ in range(15))

    return {
        "int8": size**3 / best(lambda: torch._int_mm(whole, whole)),
        "fp32": size**3 / best(lambda: real @ real),
        "memory": many.nbytes / best(many.sum),
    }


def products(config: Mapping[str, Any], length: int, needed: bool) -> float:
    """Multiply-adds of the encoder's matrix products, attention's too; `needed`: of its last layer those alone that the
    first token's states depend on.
    """
    width, inner, layers = config["hidden_size"], config["intermediate_size"], config["num_hidden_layers"]
    rest = 2 * width * width + 2 * width * inner  # queries, output, and the feed-forward
    pairs = 2 * length * length * width
    whole = length * (2 * width * width + rest) + pairs
    last = length * 2 * width * width + rest + 2 * length * width if needed else whole
    return (layers - 1) * whole + last


def base() -> Answer:
    """A classifier of BERT-base's shape in PyTorch, fp32, with new weights: its time is its shape's."""
    import torch
    import transformers

    model = transformers.BertForSequenceClassification(transformers.BertConfig()).eval()

    def answer(row: Rows) -> Any:
        with torch.inference_mode():
            return model(**{name: torch.from_numpy(row[name]) for name in NAMES}).logits.numpy()

    return answer


def served(run: Path) -> list[Path]:
    """The run's artifacts that are timed."""
    folders = sorted(path.parent for path in run.glob(f"*/{MANIFEST}"))
    return [folder for folder in folders if Artifact.load(folder).manifest.format not in ("torch", "encoder")]


def end_to_end(folder: Path, texts: Path, rounds: int) -> str:
    """Text to label against the model alone, of the same sentences: with one thread, as everything here."""
    with texts.open(encoding="utf-8", newline="") as stream:
        lines = [row["sentence"] for row in csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE)][:500]
    with load(folder) as model, Engine() as engine:
        model._engine.close()
        executable = model._executable = engine.compile(folder, EngineDevice("cpu", 1))
        rows = {text: model._reader.encode([(text,)]).pad([0]) for text in lines}
        variants: dict[str, Callable[[str], object]] = {
            "alone": lambda text: executable.run(rows[text]),
            "whole": lambda text: model.predict([text]),
        }
        spent = timed(variants, lines, rounds)  # type: ignore[arg-type]
    p50 = {name: statistics.median(x for block in blocks for x in block) * 1e3 for name, blocks in spent.items()}
    middle, low, high = ratio(spent["whole"], spent["alone"])
    return f"| {folder.name} | {p50['alone']:.3f} | {p50['whole']:.3f} | {middle:.3f} ({low:.3f} to {high:.3f}) |"


def table(spent: Mapping[str, list[list[float]]], scores: Mapping[str, float]) -> list[str]:
    mine = [name for name in spent if name.startswith(OURS)]
    p50 = {name: statistics.median(x for block in blocks for x in block) for name, blocks in spent.items()}
    best = min(mine, key=p50.__getitem__)
    lines = [f"| variant | score | p50 ms | times {best} (95 %) |", "|---|---|---|---|"]
    for name in sorted(p50, key=p50.__getitem__):
        middle, low, high = ratio(spent[name], spent[best])
        score = f"{scores[name]:.4f}" if name in scores else ""
        lines.append(f"| {name} | {score} | {p50[name] * 1e3:.3f} | {middle:.2f} ({low:.2f} to {high:.2f}) |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--texts", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1, help="0: all")
    parser.add_argument("--batch", type=int, default=1, help="with --lengths alone: real lengths are one row each")
    parser.add_argument("--lengths", type=int, nargs="*", default=[])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--files", type=Path, help="where peers' files are kept; default: a temporary folder")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--end-to-end", action="store_true", help=argparse.SUPPRESS)  # RUN is one artifact then
    given = parser.parse_args()
    if given.end_to_end:
        print(end_to_end(given.run, given.texts, given.rounds))
        return
    student = (given.run / "student").resolve()
    config = json.loads((student / "config.json").read_text())
    rows, labels = read(given.texts, student)
    found: dict[str, Any] = {"rates": rates(), "threads": given.threads, "batch": given.batch, "spent": {}}
    print({name: f"{rate / 1e9:.0f} G/s" for name, rate in found["rates"].items()}, flush=True)
    with tempfile.TemporaryDirectory() as scratch, Engine() as engine:
        out = given.files or Path(scratch)
        out.mkdir(exist_ok=True, parents=True)
        mine = ours(given.run, given.threads, engine)
        if given.batch == 1:
            several = [length for length in (16, 32, 64, 128) if length <= PADDED]
            fixed = {"one length": [PADDED], "lengths 16 32 64": several}
            variants = {**mine, **theirs(student, out, rows[:200], given.threads, fixed)}
            scores = {name: _score(answer, rows, labels) for name, answer in variants.items()}
            spent = timed(variants, rows, given.rounds)
            found["spent"]["real"], found["scores"] = spent, scores
            print("\n".join([f"\nreal lengths, {given.threads or 'all'} threads", *table(spent, scores)]), flush=True)
            print("\nend to end\n| artifact | model alone, p50 ms | text to label, p50 ms | ratio (95 %) |")
            print("|---|---|---|---|", flush=True)
            for folder in served(given.run):
                # Each in a process of its own, as it is served: beside four other runtimes it took a tenth more.
                own = [sys.executable, __file__, str(folder), "--texts", str(given.texts)]
                own += ["--rounds", str(given.rounds), "--end-to-end"]
                told = subprocess.run(own, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
                print(told.stdout, end="", flush=True)
            short = stretched(rows[:100], 32, 1)
            spent = timed({**mine, "BERT-base's shape, PyTorch fp32": base()}, short, max(5, given.rounds // 4))
            print("\n".join(["\na BERT-base at 32 tokens", *table(spent, {})]), flush=True)
        if given.lengths:
            fixed = {"this length": given.lengths}
            variants = {**mine, **theirs(student, out, rows[:200], given.threads, fixed)}
        for length in given.lengths:
            fit = stretched(rows[:100], length, given.batch)
            spent = timed(
                {name: answer for name, answer in variants.items() if _takes(answer, fit[0])}, fit, given.rounds
            )
            found["spent"][length] = spent
            print(f"\n{given.batch} x {length} tokens, {given.threads or 'all'} threads")
            for told, needed in (("as written", False), ("needed for the answer", True)):
                limit = given.batch * products(config, length, needed) / found["rates"]["int8"]
                print(f"limit of one core, products {told}: {limit * 1e3:.3f} ms")
            print("\n".join(table(spent, {})), flush=True)
    if given.out:
        given.out.write_text(json.dumps(found))


def _score(answer: Answer, rows: Sequence[Rows], labels: Sequence[int]) -> float:
    return float(np.mean([int(answer(row)[0].argmax()) == label for row, label in zip(rows, labels, strict=True)]))


def _takes(answer: Answer, row: Rows) -> bool:
    """Whether a variant takes rows of this shape: files of fixed lengths take one row, up to their longest."""
    try:
        return len(answer(row)) == len(row[NAMES[0]])
    except Exception:
        return False


if __name__ == "__main__":
    main()
