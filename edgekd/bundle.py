"""An artifact as something to carry away: one folder or .tar.gz that serves it with its runtime and nothing of ours.

The model's folder lies in it as it was measured, digest for digest, beside the part of edgekd that serves it,
requirements by hash, a model card, and golden vectors that `predict.py --selftest` replays.
"""

import shutil
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from edgekd import (
    bundle_card,
    bundle_predict,
    bundle_requirements,
    closure,
    own_rows,
    report_files,
    selftest,
    signing,
    temporary,
)
from edgekd.artifact import DICTIONARY, Artifact
from edgekd.data import Data
from edgekd.errors import EdgekdError
from edgekd.runtime import RUNTIMES, installed, serving
from edgekd.store import writable

_GOLDEN_ROWS = 16


def bundle(
    folder: Path,
    out: Path,
    archive: bool = False,
    platform: str = "",
    python: str = "",
    key: Path | None = None,
    password: Callable[[], str] = str,
) -> Path:
    """Make the bundle of runs/NAME/STEP below `out`; returns its folder or archive. An older one for the same platform
    and Python is replaced.

    `platform` and `python`: whose wheels the requirements pin, as pip names them; default: this machine's.
    `key`, a secret key of minisign, signs it; its password is asked for where it has one.
    Raises EdgekdError for a folder that is no artifact of a finished run, or one that was refused, and for one that a
    runtime of another package serves.
    """
    artifact = Artifact.load(folder)
    report, step = _reported(folder, artifact)
    runtime = serving(artifact.manifest.format)
    if not closure.own(f"edgekd.runtimes.{runtime}"):
        raise EdgekdError(
            f"the runtime {runtime} is of another package, and a bundle carries edgekd's own alone",
            "Serve it where that package and edgekd are installed: edgekd predict.",
        )
    wheels = bundle_requirements.Target(platform, python)
    title = f"{report['name']}-{step['step']}"
    name = title + wheels.suffix
    with writable(out), temporary.folder() as draft:
        made = Path(draft, name)
        shutil.copytree(artifact.path, made / "model")
        modules = [
            "predicting",
            "asking",
            "selftest",
            "plain",
            "signing",
            f"runtimes.{runtime}",
            f"tasks.{artifact.manifest.task}",
        ]
        closure.copy(made, [f"edgekd.{module}" for module in modules])
        reads = ("pyahocorasick",) if (artifact.path / DICTIONARY).is_file() else ()
        libraries = installed((*RUNTIMES.get(runtime).libraries, "numpy", *reads))
        (made / "requirements.txt").write_text(bundle_requirements.requirements(libraries, wheels))
        shutil.copyfile(bundle_predict.__file__, made / "predict.py")
        exact = {timing["precision"] for timing in step["timings"]} == {"fp32"}
        data = own_rows.again(folder, artifact.manifest.data)
        (made / selftest.GOLDEN).write_text(selftest.record(made / "model", _texts(data), exact), encoding="utf-8")
        card = bundle_card.card(title, artifact.manifest, report, step, data, wheels)
        (made / "README.md").write_text(card, encoding="utf-8")
        signing.record(made)
        if key is not None:
            signing.sign(made, key, password, f"edgekd bundle {name}")
        out.mkdir(parents=True, exist_ok=True)
        target = out / (f"{name}.tar.gz" if archive else name)
        if archive:
            with tarfile.open(Path(draft, "archive"), "w:gz") as tar:
                tar.add(made, arcname=name)
            shutil.move(Path(draft, "archive"), target)
        else:
            shutil.rmtree(target, ignore_errors=True)
            shutil.move(made, target)
    return target


def size(path: Path) -> int:
    """Bytes of a bundle, folder or archive."""
    return sum(file.stat().st_size for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file())


def _reported(folder: Path, artifact: Artifact) -> tuple[dict[str, Any], Mapping[str, Any]]:
    """The report of the run that an artifact's folder belongs to, and its step in it."""
    run = folder.absolute().parent  # not resolved: the folder is a link into the store
    report = report_files.read(run)
    step = next((entry for entry in report["steps"] if entry["key"] == artifact.manifest.key), None)
    if step is None:
        raise EdgekdError(
            f"{folder} is not in {run / report_files.JSON}: it has no measured score", "Run its recipe again."
        )
    return report, step


def _texts(data: Data) -> list[tuple[str, ...]]:
    """Dev rows, spread over the split."""
    texts = data.dev.texts
    return [tuple(text) for text in texts[:: max(1, len(texts) // _GOLDEN_ROWS)][:_GOLDEN_ROWS]]
