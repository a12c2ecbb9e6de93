"""A commented device file, for a board, a phone or this machine, that edgekd reads as it is written."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgekd import device_files, temporary
from edgekd.errors import EdgekdError
from edgekd.store import write_text

# Transport -> the lines after it: what is usual of such a device, and why.
_USUAL: Mapping[str, tuple[str, ...]] = {
    "local": (
        "# Each of these thread counts is timed. More and longer processes give narrower intervals.",
        "run: {threads: [1], min_runs: 700, repeats: 5, max_s: 60, warmup_s: 0.3}",
    ),
    "ssh": (
        "# pip installs the runtimes there, once, at the versions that this machine has; needs python3-venv there.",
        "provider: {type: venv}",
        "# The runtimes that it has: artifacts of others are left out there.",
        "runtimes: [onnxruntime, tflite]",
        "# What it has to be, so that no other machine is measured by mistake; the doctor says what it is.",
        '# expect: {architecture: aarch64, model: "Raspberry Pi 5*", min_memory_mb: 1800}',
        "# A board slows down when it is hot: start cool, and rest between the processes.",
        "run: {threads: [1, 4], min_runs: 700, repeats: 5, max_s: 60, warmup_s: 0.5, cooldown_s: 10, max_start_c: 55}",
    ),
    "adb": (
        "# The Python that the phone lacks; make it: devices/bundle.sh python-arm64.tar.gz",
        "provider: {type: bundle, archive: python-arm64.tar.gz}",
        "# The runtimes that the archive has.",
        "runtimes: [onnxruntime, tflite]",
        "expect: {architecture: aarch64}",
        "# The fastest cores alone: a phone moves a process between kinds of cores as it likes.",
        "run: {threads: [1, 4], cores: big, min_runs: 700, repeats: 5, max_s: 60, cooldown_s: 20, max_start_c: 45}",
    ),
}


def write(out: Path, transport: str, options: Mapping[str, Any]) -> None:
    """Write the file of a device that is called as the file is. `options` are the transport's fields.

    Raises EdgekdError where a file is there already, and where edgekd would not take what it says.
    """
    if out.exists():
        raise EdgekdError(f"{out} is there already", "Choose another name, or change that file.")
    told = text(out.stem, transport, options)
    with temporary.folder() as folder:
        draft = Path(folder, out.name)
        draft.write_text(told, encoding="utf-8")
        try:
            device_files.load(str(draft), Path())
        except EdgekdError as error:
            hint = f"What can be given: edgekd new device --help. What it means: edgekd explain {transport}"
            raise EdgekdError(error.problem, hint) from None
    write_text(out, told)


def text(name: str, transport: str, options: Mapping[str, Any]) -> str:
    """The device file as YAML."""
    import yaml

    def flow(value: Any) -> str:
        return yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=1000).strip()

    lines = [
        "# What else can be said here: edgekd explain device. Is it reached, and fit to be timed?",
        f"#   edgekd devices doctor {name}",
        flow({"name": name})[1:-1],
        f"transport: {flow({'type': transport, **options})}",
        *_USUAL[transport],
    ]
    return "\n".join([*lines, ""])
