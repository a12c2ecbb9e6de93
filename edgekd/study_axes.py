"""The design of a study: what its axes set, which combinations it runs, and what each is called."""

import itertools
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from edgekd.errors import EdgekdError
from edgekd.settings import Setting
from edgekd.yaml_marks import Marks

_MOST, _LONGEST = 10_000, 200  # variants, letters of one's folder
Design = Literal["grid", "one_at_a_time"]
Axis = Mapping[str, tuple[Setting, ...]]  # label -> what it sets; the first label is the base's


@dataclass(frozen=True)
class Combination:
    """A label of each axis, by axis, what they set together, and what tells this combination from the others."""

    name: str
    labels: Mapping[str, str]
    settings: tuple[Setting, ...]

    @property
    def folder(self) -> str:
        return re.sub(r"[^A-Za-z0-9_.]+", "-", self.name)


def axes(given: Mapping[str, list[Any] | dict[str, dict[str, Any]]], marks: Marks) -> dict[str, Axis]:
    """The axes of a study's file, by name. A value of a list is labelled by it and the last part of the field."""
    found: dict[str, Axis] = {}
    for name, values in given.items():
        if not values:
            raise EdgekdError(f"axis '{name}' has no values", "Add some; the first is the base.", marks["axes", name])
        if isinstance(values, list):
            settings = [Setting(name, value, marks["axes", name, number]) for number, value in enumerate(values)]
            found[name] = {f"{name.rpartition('.')[2]} {_text(each.value)}": (each,) for each in settings}
            if len(found[name]) < len(values):
                raise EdgekdError(f"axis '{name}' has a value twice", "Keep one of them.", marks["axes", name])
        else:
            found[name] = {
                label: tuple(
                    Setting(field, value, marks["axes", name, label, field]) for field, value in fields.items()
                )
                for label, fields in values.items()
            }
    return found


def combinations(axes: Mapping[str, Axis], design: Design, marks: Marks) -> Iterator[Combination]:
    """What the design runs; the base comes first. Raises EdgekdError where two could not be told apart, or where there
    are more than anybody waits for.
    """
    count = math.prod(map(len, axes.values()))
    if design == "grid" and count > _MOST:
        hint = f"Up to {_MOST:,} are run. Leave values out, or change one axis at a time: design: one_at_a_time."
        raise EdgekdError(f"the axes make {count:,} variants", hint, marks["axes",])
    taken: dict[str, str] = {}
    for labels in _grid(axes) if design == "grid" else _one_at_a_time(axes):
        changed = [label for name, label in labels.items() if design == "grid" or label != _base(axes[name])]
        chosen = {name: axes[name][label] for name, label in labels.items()}
        _check_clash(chosen)
        settings = tuple(itertools.chain.from_iterable(chosen.values()))
        combination = Combination(", ".join(changed) or "base", labels, settings)
        if not all(label.strip() for label in labels.values()) or len(combination.folder) > _LONGEST:
            hint = f"Write labels that make a folder's name together, of up to {_LONGEST} letters."
            raise EdgekdError(f"variant '{combination.name}' cannot name a folder", hint, marks["axes",])
        if combination.folder in taken:
            raise EdgekdError(
                f"variants '{taken[combination.folder]}' and '{combination.name}' would share a folder",
                "Change a label.",
                marks["axes",],
            )
        taken[combination.folder] = combination.name
        yield combination


def _grid(axes: Mapping[str, Axis]) -> Iterator[dict[str, str]]:
    return (dict(zip(axes, labels, strict=True)) for labels in itertools.product(*axes.values()))


def _one_at_a_time(axes: Mapping[str, Axis]) -> Iterator[dict[str, str]]:
    base = {name: _base(axis) for name, axis in axes.items()}
    yield base
    for name, axis in axes.items():
        yield from ({**base, name: label} for label in axis if label != base[name])


def _base(axis: Axis) -> str:
    return next(iter(axis))


def _check_clash(chosen: Mapping[str, Sequence[Setting]]) -> None:
    """What one axis sets, no other may set over in the same combination: its label would not be true."""
    for (first, earlier), (second, later) in itertools.combinations(chosen.items(), 2):
        for ours, theirs in itertools.product(earlier, later):
            if f"{ours.field}.".startswith(f"{theirs.field}."):
                raise EdgekdError(
                    f"axes '{first}' and '{second}' both set '{ours.field}' in one variant",
                    "Make them one axis, or change one axis at a time: design: one_at_a_time.",
                    theirs.where,
                )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
