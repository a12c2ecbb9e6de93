"""The long run: `python -m tests.fuzz --inputs 1000000`. Ends with 1 where there is a finding, and keeps its input.

Where atheris is installed (pip install atheris) its coverage of edgekd leads the way for the first tenth: the inputs
that reach something new are then bent with the others, blindly and several times as fast.
"""

import argparse
import hashlib
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random
from traceback import extract_tb, format_exception_only

from tests.fuzz.target import CORPUS, HERE, Target, kept, load, names

_LATE = 300.0  # seconds without a sign of life, after which a child is ended: nothing in Python could
_STATE = "state.json"
_LARGE = 4096  # bytes of an input, from which bending it further takes more time than it is worth


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--inputs", type=int, default=1_000_000, help="in all; each target gets its share")
    parser.add_argument("--only", action="append", choices=names(), help="this target; may be repeated")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--guided", type=float, default=0.1, help="share of the inputs that atheris leads [0.1]")
    parser.add_argument("--blind", action="store_true", help="without atheris")
    parser.add_argument("--child", nargs=2, metavar=("TARGET", "FOLDER"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(given.child[0], Path(given.child[1]), given.inputs, given.seed, given.blind)
        return 0
    targets = {name: load(name) for name in given.only or names()}
    shares = sum(target.share for target in targets.values())
    memory = Path("/dev/shm")
    failed, total = False, 0
    print(f"{'target':12} {'surface':44} {'inputs':>9} {'minutes':>8} {'findings':>8}  corpus", flush=True)
    for name, target in sorted(targets.items(), key=lambda item: -item[1].share):  # the quick ones first
        wanted = math.ceil(given.inputs * target.share / shares)
        start = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="fuzz-", dir=memory if memory.is_dir() else None) as folder:
            ran, findings, grown = _supervised(name, Path(folder), wanted, given)
        total += ran
        failed |= bool(findings) or ran < wanted
        minutes = (time.monotonic() - start) / 60
        row = f"{name:12} {target.surface:44} {ran:9,} {minutes:8.1f} {len(findings):8}  {grown}"
        print(row, flush=True)
        for told in findings.values():
            print(f"    {told['told']}\n      {told['count']} times; kept as {told['file']}", flush=True)
    print(f"{total:,} inputs", flush=True)
    return int(failed)


def _supervised(
    name: str, folder: Path, wanted: int, given: argparse.Namespace
) -> tuple[int, dict[str, dict[str, str]], int]:
    """Children one after another until all inputs ran: one that dies leaves its input, and the next goes on."""
    state = {"ran": 0, "findings": {}}
    led = 0 if given.blind else math.ceil(given.guided * wanted)
    for life in range(20):
        if state["ran"] >= wanted:
            break
        left = (led if state["ran"] < led else wanted) - state["ran"]
        argv = [sys.executable, "-m", "tests.fuzz", "--child", name, str(folder), "--inputs", str(left)]
        argv += [*([] if state["ran"] < led else ["--blind"]), "--seed", str(given.seed + 1000 * life)]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(argv, stdout=log, stderr=log)
            while (code := _waited(process)) is None:
                current = folder / "current"  # written for each input
                if time.time() - (current if current.exists() else folder).stat().st_mtime > _LATE:
                    process.kill()
        told = _state(folder)
        state["ran"] += told["ran"]
        state["findings"] |= told["findings"]
        (folder / _STATE).unlink(missing_ok=True)
        if told["ran"] < left:
            current = (folder / "current").read_bytes() if (folder / "current").exists() else b""
            last = (folder / "log").read_text(errors="replace")[-2000:]
            state["findings"][f"died {code} {life}"] = {
                "told": f"the process died: {code}\n{last}", "count": 1, "file": _keep(name, current)
            }  # fmt: skip
    grown = len(list((folder / "grown").glob("*"))) if (folder / "grown").is_dir() else 0
    with suppress(KeyError, FileNotFoundError):
        shutil.copytree(folder / "grown", Path(os.environ["FUZZ_GROWN"]) / name, dirs_exist_ok=True)
    return state["ran"], state["findings"], grown


def _waited(process: "subprocess.Popen[bytes]") -> int | None:
    try:
        return process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        return None


def _state(folder: Path) -> dict:
    try:
        return json.loads((folder / _STATE).read_text())
    except (OSError, ValueError):
        return {"ran": 0, "findings": {}}


def child(name: str, folder: Path, wanted: int, seed: int, blind: bool) -> None:
    """Run one target, count, and write down what it finds; ended by libFuzzer where atheris is used."""
    sys.dont_write_bytecode = True
    os.environ["HOME"] = str(folder)  # what a library keeps of its own is no finding
    atheris = None
    if not blind:
        with suppress(ImportError):
            import atheris  # type: ignore[no-redef]
    if atheris:
        with atheris.instrument_imports(include=["edgekd"]):
            target = load(name)
    else:
        target = load(name)
    once = watching(target, folder, wanted)
    first = [*target.seeds, *(file.read_bytes() for file in kept(name))]
    if not atheris:
        grown = (file.read_bytes() for file in sorted((folder / "grown").glob("*")))
        draw, known = Random(seed), [*first, *(data for data in grown if len(data) < _LARGE)]
        for data in first:
            once(data)
        while True:
            once(target.mutate(draw.choice(known), draw))
    for number, data in enumerate(first):
        (folder / "seeds").mkdir(exist_ok=True)
        (folder / "seeds" / str(number)).write_bytes(data)
    (folder / "grown").mkdir(exist_ok=True)

    def mutate(data: bytes, most: int, number: int) -> bytes:
        draw = Random(number)
        bent = atheris.Mutate(data, most) if draw.random() < 0.1 else target.mutate(data, draw)
        return bytes(bent[:most])

    flags = [
        f"-runs={wanted + 10}",
        "-max_len=8192",
        "-timeout=600",
        "-rss_limit_mb=4000",
        "-len_control=0",
        f"-seed={seed + 1}",
    ]
    atheris.Setup(
        [name, *flags, f"-artifact_prefix={folder}/", str(folder / "grown"), str(folder / "seeds")],
        once,
        custom_mutator=mutate,
    )
    atheris.Fuzz()


def watching(target: Target, folder: Path, wanted: int) -> Callable[[bytes], None]:
    from tests.fuzz.watch import OffenceError, watched

    findings: dict[str, dict] = {}
    ran, current = 0, os.open(folder / "current", os.O_RDWR | os.O_CREAT)

    def write() -> None:
        (folder / f"{_STATE}.new").write_text(json.dumps({"ran": ran, "findings": findings}))
        (folder / f"{_STATE}.new").replace(folder / _STATE)

    def once(data: bytes) -> None:
        nonlocal ran
        os.ftruncate(current, 0)
        os.pwrite(current, data, 0)
        try:
            with tempfile.TemporaryDirectory(dir=folder) as own, watched(Path(own)):
                target.run(data, Path(own))
        except (Exception, OffenceError) as error:
            _found(target.name, data, error, findings)
            write()
        ran += 1
        if ran >= wanted:
            write()
            os._exit(0)
        if ran % 500 == 0:
            write()

    return once


def _found(name: str, data: bytes, error: BaseException, findings: dict[str, dict]) -> None:
    frames = [frame for frame in extract_tb(error.__traceback__) if str(HERE) not in frame.filename]
    own = [frame for frame in frames if "/edgekd/" in frame.filename] or frames[-1:]
    where = f"{Path(own[-1].filename).name}:{own[-1].lineno}" if own else ""
    said = format_exception_only(error)[-1].strip()[:300]
    key = f"{type(error).__name__} {where}" + (said[:30] if not where else "")
    told = findings.setdefault(key, {"told": f"{where}: {said}", "count": 0, "file": "", "size": 1 << 30})
    told["count"] += 1
    if len(data) < told["size"]:
        if told["file"]:
            Path(told["file"]).unlink(missing_ok=True)
        told |= {"told": f"{where}: {said}", "file": _keep(name, data), "size": len(data)}


def _keep(name: str, data: bytes) -> str:
    folder = Path(os.environ.get("FUZZ_FOUND", CORPUS)) / name
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / hashlib.sha256(data).hexdigest()[:16]
    file.write_bytes(data)
    return str(file)


if __name__ == "__main__":
    sys.exit(main())
