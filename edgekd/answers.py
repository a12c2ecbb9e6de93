"""What every artifact of a run answered on dev, kept in one file beside the report, so that runs can be compared."""

import hashlib
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekd.artifact import canonical
from edgekd.data import Split
from edgekd.store import write_bytes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FILE = "answers.npz"
_STEP = "step."


@dataclass(frozen=True, eq=False)
class Answers:
    """`targets` (positions,) and each step's logits (positions, outputs); `ends` (rows,) is where positions of each row
    end. `dev` is the digest of the rows.
    """

    dev: str
    targets: "NDArray[Any]"
    ends: "NDArray[Any]"
    labels: tuple[str, ...]
    logits: "Mapping[str, NDArray[np.float32]]"


def write(folder: Path, dev: Split, labels: Sequence[str], logits: "Mapping[str, NDArray[Any]]") -> None:
    """Write runs/NAME/answers.npz."""
    import io

    import numpy as np

    digest = hashlib.sha256(canonical([dev.texts, dev.targets.tolist()]).encode()).hexdigest()
    steps: dict[str, Any] = {f"{_STEP}{name}": found.astype(np.float32) for name, found in logits.items()}
    content = io.BytesIO()
    rows: dict[str, Any] = {"targets": dev.targets, "ends": dev.ends, "labels": np.array(labels, dtype=str)}
    np.savez_compressed(content, dev=np.array(digest), **rows, **steps)
    write_bytes(folder / FILE, content.getvalue())


def read(folder: Path) -> Answers | None:
    """None where a run kept none: one of an earlier edgekd, or one that was cut off."""
    import numpy as np

    try:
        with np.load(folder / FILE) as kept:
            steps = {name.removeprefix(_STEP): kept[name] for name in kept.files if name.startswith(_STEP)}
            return Answers(str(kept["dev"]), kept["targets"], kept["ends"], tuple(map(str, kept["labels"])), steps)
    except (OSError, KeyError, ValueError, zipfile.BadZipFile):
        return None
