"""The agent as one file: edgekd's worker and what it imports, as an archive that any Python >= 3.11 with numpy runs."""

import hashlib
import io
import os
import zipfile
from functools import cache
from pathlib import Path

from edgekd import cache as kept
from edgekd import closure
from edgekd.runtime import RUNTIMES

_MAIN = """\
import sys
if sys.version_info < (3, 11):
    sys.exit("edgekd's agent needs Python 3.11 or newer, this is " + sys.version.split()[0])
try:
    import numpy
except ImportError as error:
    sys.exit("edgekd's agent needs numpy in " + sys.executable + ": " + str(error))
from edgekd.worker import main
main()
"""


@cache
def file() -> Path:
    """Its path on this machine. The same code gives the same bytes, and another code another name."""
    modules = ["edgekd.worker", *(f"edgekd.runtimes.{name}" for name in RUNTIMES.names)]
    contents = {**closure.sources(name for name in modules if closure.own(name)), "__main__.py": _MAIN.encode()}
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(contents):
            archive.writestr(zipfile.ZipInfo(path, (1980, 1, 1, 0, 0, 0)), contents[path], zipfile.ZIP_DEFLATED)
    data = packed.getvalue()
    place = kept.folder() / "agents" / f"agent-{hashlib.sha256(data).hexdigest()[:16]}.pyz"
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        draft = place.with_suffix(f".{os.getpid()}")
        draft.write_bytes(data)
        draft.replace(place)
    return place
