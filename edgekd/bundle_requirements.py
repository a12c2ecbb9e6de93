"""A bundle's requirements.txt: every package pinned, every file by its digest."""

import json
import re
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgekd.errors import EdgekdError
from edgekd.runtime import installed


@dataclass(frozen=True)
class Target:
    """Whose wheels are required. `platform` and `python` are pip's names, such as manylinux_2_28_aarch64 and 3.11;
    empty: this machine's.
    """

    platform: str = ""
    python: str = ""

    def __post_init__(self) -> None:
        if self.python and not re.fullmatch(r"3\.\d+(\.\d+)?", self.python):
            raise EdgekdError(f"--python {self.python}: no version of Python", "Such as --python 3.11")

    def __str__(self) -> str:
        """As predict.py reads it from requirements.txt."""
        return f"Python {self.version} on {self.platform or re.sub('[-.]', '_', sysconfig.get_platform())}"

    @property
    def version(self) -> str:
        """Of Python, such as 3.11."""
        return ".".join((self.python or sysconfig.get_python_version()).split(".")[:2])

    @property
    def suffix(self) -> str:
        """What sets a bundle's name apart from that of this machine's."""
        return "".join(f"-{part}" for part in (self.platform, self.python and f"py{self.python}") if part)


def requirements(libraries: Mapping[str, str], target: Target) -> str:
    """requirements.txt of a runtime's libraries (name -> version) with all that they need, and of the tokenizer alone:
    what the tokenizers package would bring along serves a model hub, which a bundle has no use for.

    Raises EdgekdError where pip cannot resolve them.
    """
    found = _resolved([f"{name}=={release}" for name, release in libraries.items()], target)
    found |= _resolved([f"tokenizers=={installed(('tokenizers',))['tokenizers']}", "--no-deps"], target)
    lines = [f"{name}=={release} --hash=sha256:{digest}" for name, (release, digest) in sorted(found.items())]
    head = f"# For {target}, complete: pip install --no-deps --require-hashes -r requirements.txt"
    return "\n".join([head, *lines]) + "\n"


def _resolved(wanted: Sequence[str], target: Target) -> dict[str, tuple[str, str]]:
    """Name -> version and sha256 of the file that pip would install."""
    argv = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed", "--report", "-"]
    if target.platform or target.python:
        argv += ["--only-binary=:all:", "--target", "unused"]
        argv += [word for tag in _tags(target.platform) for word in ("--platform", tag)]
        argv += ["--python-version", target.python] if target.python else []
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
