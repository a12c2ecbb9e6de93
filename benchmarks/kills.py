"""Random kills over a whole run, training to report with a board over ssh, and the same command until it is through.

python benchmarks/kills.py [--kills 200] [--seed N] [--sshd /usr/sbin/sshd]

The board is this machine, by a real OpenSSH daemon on loopback (Debian's openssh-server; as root it needs its user sshd
and /run/sshd). Everything else is made here: a random encoder of 4 layers, a made-up corpus. Kills are spread over what
the run does: of each round of 40, some fall into every stage, at a random moment of it. By the toss of a coin a kill
takes the run's process group, or one process of its descendants, its ssh connection's or the daemon's, if there is one.
After each round the run goes through undisturbed, and nothing may be different from a run that nobody disturbed: the
artifacts' digests, no draft in the store, no file of an agent or half-sent one on the board, no process anywhere, and
another run ends without making or measuring anything. Ends with 1 at the first difference, or where a run that lost a
process ends with anything but an error that was told.
"""

import argparse
import getpass
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

ROUND = 40
PATIENCE_S = 1800.0  # a run that takes longer hangs; others may leave it a fiftieth of a core

RECIPE = """\
name: small
data: {{source: {root}/data, text: [sentence], labels: ["no", "yes"], metric: accuracy, max_length: 32}}
seed: 7
steps:
  - {{id: teacher, stage: finetune, model: {root}/encoder, epochs: 8, learning_rate: 2.0e-3, batch_size: 16,
      checkpoint_s: 0.01}}
  - id: student
    stage: distill
    checkpoint_s: 0.01
    model: {{layers: 2, from: teacher}}
    phases:
      intermediate: {{epochs: 4, learning_rate: 2.0e-3, batch_size: 16}}
      prediction: {{epochs: 4, learning_rate: 2.0e-3, batch_size: 16}}
  - {{id: onnx, stage: export_onnx}}
  - {{id: onnx_int8, stage: quantize_onnx, max_drop: 1}}
devices: [board]
"""
BOARD = """\
name: board
transport: {{type: ssh, host: 127.0.0.1, port: {port}, user: {user}, identity: {root}/key, known_hosts: {root}/known,
  workdir: {root}/board}}
provider: {{type: system, python: {python}}}
runtimes: [onnxruntime]
run: {{min_runs: 24, min_s: 0.2, repeats: 2, warmup_s: 0.1, max_s: 5}}
"""


@contextmanager
def daemon(sshd: str, root: Path) -> Iterator[int]:
    """An OpenSSH daemon that takes a key of its own; gives its process number. ROOT/devices/board.yaml says the way."""
    for name in ("host", "key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(root / name)], check=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (root / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {root}/host\nAuthorizedKeysFile {root}/key.pub\n"
        f"StrictModes no\nUsePAM no\nPasswordAuthentication no\nPidFile none\nMaxStartups 100\n"
    )
    (root / "known").write_text(f"[127.0.0.1]:{port} {(root / 'host.pub').read_text()}")
    (root / "devices").mkdir()
    told = {"port": port, "user": getpass.getuser(), "root": root, "python": sys.executable}
    (root / "devices" / "board.yaml").write_text(BOARD.format(**told))
    process = subprocess.Popen(
        [sshd, "-D", "-e", "-f", str(root / "sshd_config")], stderr=(root / "sshd.log").open("w")
    )
    try:
        until(lambda: answers(port) or process.poll() is not None)
        if process.poll() is not None:
            raise SystemExit(f"{sshd} does not start:\n{(root / 'sshd.log').read_text()}")
        yield process.pid
    finally:
        process.kill()
        process.wait()


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def until(check: Callable[[], bool], seconds: float = 20.0) -> bool:
    stop = time.monotonic() + seconds
    while not (found := check()) and time.monotonic() < stop:
        time.sleep(0.005)
    return found


class Run:
    """One run of the command, and what it is doing."""

    steps: tuple[tuple[str, str], ...] = ()  # id and key of each, known after an undisturbed run

    def __init__(self, root: Path, runs: Path) -> None:
        self.store = runs / ".store"
        self.lines: list[str] = []
        argv = [sys.executable, "-m", "edgekd", "run", str(root / "small.yaml"), "--runs", str(runs)]
        self.begun = time.monotonic()
        self.process = subprocess.Popen(
            argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True, cwd=root
        )
        self._reader = threading.Thread(target=lambda: self.lines.extend(self.process.stdout or ()), daemon=True)
        self._reader.start()

    @classmethod
    def stages(cls) -> list[str]:
        return ["start", *(f"{step} {what}" for step, _ in cls.steps for what in ("made", "measured")), "report"]

    def stage(self) -> str:
        begun = [line for line in self.lines if re.match(r"\[\d+/", line)]
        if not begun:
            return "start"
        step, key = self.steps[len(begun) - 1]
        if len(begun) == len(self.steps) and self.lines[-1] != begun[-1]:
            return "report"
        return f"{step} {'measured' if (self.store / 'artifacts' / key).exists() else 'made'}"

    def reached(self, stage: str) -> bool:
        order = self.stages()
        return self.process.poll() is not None or order.index(self.stage()) >= order.index(stage)

    def end(self) -> int:
        """Its status. Ends the benchmark where it hangs."""
        try:
            status = self.process.wait(max(1.0, PATIENCE_S - (time.monotonic() - self.begun)))
        except subprocess.TimeoutExpired:
            stage = self.stage()
            self.process.send_signal(signal.SIGABRT)  # Python's faulthandler tells where it is
            self.process.wait()
            self._reader.join(5)
            raise SystemExit(f"a run hangs in '{stage}':\n{''.join(self.lines)}") from None
        self._reader.join(5)
        return status

    def through(self) -> "Run":
        if status := self.end():
            raise SystemExit(f"a run ended with {status}:\n{''.join(self.lines)}")
        return self


def spans(run: Run) -> dict[str, float]:
    """Seconds of each stage of a run that nobody disturbs."""
    found: dict[str, float] = dict.fromkeys(run.stages(), 0.0)
    while run.process.poll() is None:
        start, stage = time.monotonic(), run.stage()
        time.sleep(0.005)
        found[stage] += time.monotonic() - start
    run.through()
    return found


def others(run: Run, sshd: int) -> dict[int, str]:
    """Processes that may be killed beside the run itself: its children's, its ssh's, and the daemon's sessions."""
    found = {}
    for parent, name in ((run.process.pid, "child"), (sshd, "session")):
        try:
            for process in psutil.Process(parent).children(recursive=True):
                agent = any(".pyz" in word or "edgekd.worker" in word for word in process.cmdline())
                where = "agent" if agent else process.name() if name == "child" else f"{process.name()} on the board"
                found[process.pid] = where
        except psutil.NoSuchProcess:
            continue
    for process in masters():
        found[process.pid] = "ssh's master"
    return found


def masters() -> list[psutil.Process]:
    """ssh's shared connections: they are nobody's children. The title is all that is left of their command lines."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        title = " ".join(process.info["cmdline"] or ())
        if title.startswith("ssh: /tmp/ekd-") and "[mux]" in title and process.uids().real == os.getuid():
            found.append(process)
    return found


def strike(run: Run, sshd: int, draw: random.Random, group: bool) -> str:
    """Kill; who was hit."""
    victims = others(run, sshd) if not group else {}
    if victims:
        victim = draw.choice(sorted(victims))
        try:
            os.kill(victim, signal.SIGKILL)
        except ProcessLookupError:
            return ""
        return victims[victim]
    try:
        os.killpg(run.process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return ""
    return "the run"


def digests(runs: Path) -> dict[str, str]:
    from edgekd.artifact import Artifact

    return {step: Artifact.load(runs / "small" / step).digest for step, _ in Run.steps}


def left(runs: Path, root: Path) -> list[str]:
    """What a killed run left and no later one cleared."""
    store = runs / ".store"
    drafts = {
        store: ("tmp/*", "scratch/*", "measured/.*"),
        runs / "small": (".*",),
        root / "board": ("scratch/*", "files/*.half*"),
        root / "cache": ("agents/*.[0-9]*",),
    }
    found = [path for folder, patterns in drafts.items() for pattern in patterns for path in folder.glob(pattern)]
    return [path.relative_to(root).as_posix() for path in found]


def agents(root: Path) -> list[int]:
    """Agents of these runs that are there, on the board's side and on this one."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or ()
        try:
            if any(word.endswith(".pyz") or word in ("edgekd.worker", "edgekd.apart") for word in words):
                ours = any(str(root) in word for word in words) or str(root) in process.environ().get("TMPDIR", "")
                found += [process.pid] * ours
        except psutil.Error:
            continue  # it has ended
    return found


def held_to(undisturbed: dict[str, str], root: Path, runs: Path) -> None:
    """The end of a round. Raises SystemExit with what is wrong."""
    Run(root, runs).through()
    if (found := digests(runs)) != undisturbed:
        raise SystemExit(f"artifacts differ: {found}, undisturbed {undisturbed}")
    until(lambda: not agents(root))
    if orphans := agents(root):
        raise SystemExit(f"agents that nobody waits for: {orphans}")
    before = {path: path.stat().st_mtime_ns for path in (runs / ".store" / "measured").iterdir()}
    again = Run(root, runs).through()
    if any("waiting" in line for line in again.lines):
        raise SystemExit(f"a run waits for one that is gone:\n{''.join(again.lines)}")
    report = json.loads((runs / "small" / "report.json").read_text())
    after = {path: path.stat().st_mtime_ns for path in (runs / ".store" / "measured").iterdir()}
    if before != after or not all(step["cached"] for step in report["steps"]):
        raise SystemExit("a run after the last made or measured something again")
    if drafts := left(runs, root):
        raise SystemExit(f"left behind: {', '.join(drafts)}")


def left_behind(*places: tuple[Path, str]) -> None:
    """What killed processes could not remove, the next one that makes a folder there does."""
    from edgekd import temporary

    for place, prefix in places:
        named = f"{prefix}{temporary.mark()}*"
        before = len(list(place.glob(named)))
        with temporary.folder(prefix, place):
            pass
        after = [str(path) for path in place.glob(named)]
        print(f"temporary folders of killed processes in {place}: {before}, after the next process {len(after)}")
        if after:
            raise SystemExit(f"left behind: {', '.join(after)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sshd", default=shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin"))
    given = parser.parse_args()
    if not given.sshd:
        raise SystemExit("no sshd here: apt-get install openssh-server, or --sshd PATH")
    from edgekd.testing import build_encoder, sentences, write_csv

    root = Path(tempfile.mkdtemp(prefix="kills-"))  # stays where something is wrong, to be looked into
    build_encoder(root / "encoder", layers=4)
    (root / "data").mkdir()
    for split, rows, seed in (("train", 96, 1), ("dev", 40, 2)):
        write_csv(root / "data" / f"{split}.csv", sentences(rows, seed))
    (root / "small.yaml").write_text(RECIPE.format(root=root))
    os.environ |= {"EDGEKD_CACHE": str(root / "cache"), "TMPDIR": str(root / "tmp"), "OMP_NUM_THREADS": "1"}
    os.environ["PYTHONFAULTHANDLER"] = "1"
    os.environ["PYTHONPATH"] = str(Path(__file__).parents[1])
    (root / "tmp").mkdir()
    with daemon(given.sshd, root) as sshd:
        kill(given.kills, random.Random(given.seed), sshd, root)
    shutil.rmtree(root)


def kill(kills: int, draw: random.Random, sshd: int, root: Path) -> None:
    start = time.monotonic()
    Run(root, root / "first").through()
    steps = json.loads((root / "first" / "small" / "report.json").read_text())["steps"]
    Run.steps = tuple((step["step"], step["key"]) for step in steps)
    shutil.rmtree(root / "first")
    taken = spans(Run(root, root / "undisturbed"))
    undisturbed = digests(root / "undisturbed")
    print("undisturbed:", *(f"{stage} {seconds:.2f} s," for stage, seconds in taken.items()), flush=True)
    hit: Counter[str] = Counter()
    whom: Counter[str] = Counter()
    ended: Counter[str] = Counter()
    done = rounds = 0
    while done < kills:
        rounds += 1
        runs = root / f"round_{rounds}"
        order = Run.stages()
        # Every stage in turn, the surplus anywhere, in the order of the run: it cannot go back.
        targets = [*draw.sample(order, len(order)), *draw.choices(order, k=ROUND)][: min(ROUND, kills - done)]
        for target in sorted(targets, key=order.index):
            run = Run(root, runs)
            until(lambda run=run, target=target: run.reached(target), PATIENCE_S)  # type: ignore[misc]
            time.sleep(draw.uniform(0, 0.6 * taken[target]))
            stage, gone = run.stage(), run.process.poll() is not None
            who = "" if gone else strike(run, sshd, draw, group=draw.random() < 0.5)
            status = run.end()
            done += bool(who)
            hit[stage] += bool(who)
            if who:
                whom[who] += 1
                ended["killed" if status == -signal.SIGKILL else f"status {status}"] += 1
            print(f"{done:4} round {rounds} {time.monotonic() - start:5.0f} s: {stage}: {who or 'missed'}, {status}")
            if status not in (0, 1, -signal.SIGKILL):
                raise SystemExit(f"status {status} after {who} was killed in '{stage}':\n{''.join(run.lines)}")
            if status == 1:
                print("      ", *run.lines[-2:], sep="")
            sys.stdout.flush()
        held_to(undisturbed, root, runs)
        shutil.rmtree(runs)
    print(f"\n{done} kills in {rounds} rounds, {time.monotonic() - start:.0f} s; every round ended as undisturbed")
    print("by stage:", *(f"{stage} {hit[stage]}," for stage in Run.stages()))
    print("hit:", *(f"{name} {count}," for name, count in whom.most_common()))
    print("the run then ended:", *(f"{name} {count}," for name, count in ended.most_common()))
    left_behind((root / "tmp", "edgekd-"), (Path("/tmp"), "ekd-"))


if __name__ == "__main__":
    main()
