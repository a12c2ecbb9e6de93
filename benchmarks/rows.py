"""The rows that trainings of benchmarks learn from."""

from pathlib import Path

from edgekd.data import Data
from edgekd.data_options import DataOptions

MAX_LENGTH = 64


def glue(source: Path, preset: str, count: int) -> Data:
    """So many train rows of a GLUE task's folder."""
    options = DataOptions.model_validate({"source": str(source), "preset": preset, "quoting": "none"})
    return Data(options.model_copy(update={"max_length": MAX_LENGTH, "limit": count}))
