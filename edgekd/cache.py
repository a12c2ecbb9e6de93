"""edgekd's own folder on this machine, for what can be made again: environments, the agent, an emulator."""

import os
from pathlib import Path


def folder() -> Path:
    return Path(os.environ.get("EDGEKD_CACHE") or Path.home() / ".cache" / "edgekd")
