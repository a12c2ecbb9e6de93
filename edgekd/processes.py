"""A command as a stream of lines: what every connection runs, whichever program carries it to the device."""

import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence

from edgekd.errors import EdgekdError


def lines(argv: Sequence[str], env: Mapping[str, str], stdin: str, deadline: float, name: str) -> Iterator[str]:
    """Run a command, yield its standard output line by line.

    `deadline` is in seconds, or infinite. Raises EdgekdError with the end of standard error when it fails or runs over.
    """
    process = subprocess.Popen(
        argv,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env=dict(env),
    )
    assert process.stdin and process.stdout and process.stderr
    late = threading.Timer(min(deadline, threading.TIMEOUT_MAX), process.kill)
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
            raise EdgekdError(f"{name} {reason}", "".join(errors[-15:]).strip())
    finally:
        late.cancel()
        if process.poll() is None:
            process.kill()
            process.wait()
