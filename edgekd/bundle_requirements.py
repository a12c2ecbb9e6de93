"""A bundle's requirements.txt: every package pinned, every file by its digest."""

import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence

from edgekd.errors import EdgekdError
from edgekd.runtime import installed


def requirements(libraries: Mapping[str, str], platform: str = "", python: str = "") -> str:
    """requirements.txt of a runtime's libraries (name -> version) with all that they need, and of the tokenizer alone:
    what the tokenizers package would bring along serves a model hub, which a bundle has no use for.

    `platform` and `python` are pip's names, such as manylinux_2_28_aarch64 and 3.11; empty: this machine's.
    Raises EdgekdError where pip cannot resolve them.
    """
    found = _resolved([f"{name}=={release}" for name, release in libraries.items()], platform, python)
    found |= _resolved([f"tokenizers=={installed(('tokenizers',))['tokenizers']}", "--no-deps"], platform, python)
    lines = [f"{name}=={release} --hash=sha256:{digest}" for name, (release, digest) in sorted(found.items())]
    return "\n".join(["# Complete: pip install --no-deps --require-hashes -r requirements.txt", *lines]) + "\n"


def _resolved(wanted: Sequence[str], platform: str, python: str) -> dict[str, tuple[str, str]]:
    """Name -> version and sha256 of the file that pip would install."""
    argv = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed", "--report", "-"]
    if platform or python:
        argv += ["--only-binary=:all:", "--target", "unused"]
        argv += [word for tag in _tags(platform) for word in ("--platform", tag)]
        argv += ["--python-version", python] if python else []
    done = subprocess.run([*argv, *wanted], capture_output=True, text=True)
    if done.returncode:
        said = "\n  ".join(done.stderr.strip().splitlines()[-4:])
        raise EdgekdError(f"pip cannot resolve {' '.join(wanted)} for the bundle", said or "pip said nothing.")
    found = {}
    for entry in json.loads(done.stdout)["install"]:
        digest = entry["download_info"]["archive_info"]["hashes"]["sha256"]
        found[str(entry["metadata"]["name"])] = (str(entry["metadata"]["version"]), str(digest))
    return found


def _tags(platform: str) -> list[str]:
    """A platform and the older ones whose wheels run on it too, which pip looks for only where they are named (PEP 600,
    PEP 656).
    """
    platform = platform.replace("manylinux2014_", "manylinux_2_17_")
    parts = re.fullmatch(r"(manylinux_2|musllinux_1)_(\d+)_(\w+)", platform)
    if parts is None:
        return [platform] if platform else []
    family, newest, machine = parts[1], int(parts[2]), parts[3]
    if family != "manylinux_2":
        return [f"{family}_{minor}_{machine}" for minor in range(newest, 0, -1)]
    old = machine in ("x86_64", "i686")  # the only ones that had wheels before glibc 2.17
    found = [f"{family}_{minor}_{machine}" for minor in range(newest, 4 if old else 16, -1)]
    named = {17: "manylinux2014", **({12: "manylinux2010", 5: "manylinux1"} if old else {})}
    return found + [f"{name}_{machine}" for minor, name in named.items() if minor <= newest]
