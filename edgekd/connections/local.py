"""This machine: commands run as fresh processes of this very Python."""

import os
import platform
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

from edgekd.device import SPIN_COUNT, Connection, Transport
from edgekd.errors import EdgekdError


class Local(Connection):
    @classmethod
    def open(cls, transport: Transport) -> Self:
        return cls()

    def fingerprint(self) -> dict[str, Any]:
        return {
            "processor": _processor(),
            "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
            "architecture": platform.machine(),
            "memory_mb": _memory_mb(),
            "system": f"{platform.system()} {platform.release()}",
            "python": platform.python_version(),
        }

    def push(self, path: Path) -> str:
        return str(path.resolve())

    def run(self, argv: Sequence[str], stdin: str, deadline: float) -> Iterator[str]:
        process = subprocess.Popen(
            # -P: a file of the user's called numpy.py, in the current folder, is not ours to import.
            [sys.executable, "-P", "-m", *argv],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env={name: value for name, value in os.environ.items() if name != SPIN_COUNT},
        )
        assert process.stdin and process.stdout and process.stderr
        late = threading.Timer(deadline, process.kill)
        late.start()
        errors: list[str] = []
        # Standard error is drained beside, or a full pipe would stop the worker.
        drain = threading.Thread(target=lambda: errors.extend(process.stderr or ()), daemon=True)
        drain.start()
        try:
            try:
                process.stdin.write(stdin)
                process.stdin.close()
            except BrokenPipeError:
                pass  # it died early; its status and standard error say why
            yield from process.stdout
            status = process.wait()
            drain.join(timeout=5)
            if status != 0:
                over = status < 0 and not late.is_alive()
                reason = f"ran over its {deadline:.0f} s" if over else f"ended with status {status}"
                raise EdgekdError(f"{argv[0]} {reason}", "".join(errors[-15:]).strip())
        finally:
            late.cancel()
            if process.poll() is None:
                process.kill()
                process.wait()

    def close(self) -> None:
        pass


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Model"))), "unknown"
    )


def _memory_mb() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    except (ValueError, OSError, AttributeError):
        return None
