"""The JSON Schema of a recipe, for editors that complete and check YAML as it is written."""

from typing import Any

from pydantic.json_schema import models_json_schema

from edgekd.data_options import DataOptions
from edgekd.options import NAME
from edgekd.stage import STAGES, Stage

_DRAFT = "https://json-schema.org/draft/2020-12/schema"


def recipe() -> dict[str, Any]:
    """Of a whole recipe: a step may be of any stage that is installed."""
    stages: list[type[Stage]] = [STAGES.get(name) for name in STAGES.names]
    models: Any = [(kind, "validation") for kind in (DataOptions, *stages)]
    found, told = models_json_schema(models, by_alias=True)
    definitions = told["$defs"]
    data = _definition(definitions, found[(DataOptions, "validation")])
    data.pop("required")  # a preset or an embedded corpus fills in its own
    steps = []
    for kind in stages:
        entry = _definition(definitions, found[(kind, "validation")])
        # The main source is the step before, where a recipe leaves it out.
        needed = [name for name in entry.get("required", []) if name != kind.source_field()]
        entry["properties"] |= {
            "id": {"type": "string", "description": "Name of the step"},
            "stage": {"const": kind.name()},
        }
        entry["required"] = ["id", "stage", *needed]
        steps.append(found[(kind, "validation")])
    return {
        "$schema": _DRAFT,
        "title": "A recipe of edgekd",
        "type": "object",
        "required": ["data", "steps"],
        "additionalProperties": False,
        "properties": {
            "name": {"type": "string", "pattern": f"^{NAME}$", "description": "Names the run's folder"},
            "data": found[(DataOptions, "validation")],
            "seed": {"type": "integer", "minimum": 0, "default": 42, "description": "Of all randomness"},
            "steps": {"type": "array", "minItems": 1, "items": {"oneOf": steps}},
            "devices": {"type": "array", "items": {"type": "string"}, "description": "Where artifacts are timed"},
            "offline": {"type": "object", "description": "Fields to set where no hub can be reached"},
        },
        "$defs": definitions,
    }


def _definition(definitions: dict[str, Any], reference: Any) -> dict[str, Any]:
    found: dict[str, Any] = definitions[reference["$ref"].rpartition("/")[2]]
    return found
