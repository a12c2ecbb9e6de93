"""A student in its first state: a shape, filled with a bigger encoder's weights or with new ones."""

from typing import Any

from edgekd.errors import EdgekdError
from edgekd.kd import tagger
from edgekd.kd.encoder import chosen_layers, depth, renewed
from edgekd.kd.narrowing import narrowed
from edgekd.kd.tagger import Tagger
from edgekd.start import Recurrent, Shape


def shaped(model: Any, shape: Shape) -> Any:
    """A new encoder with a head. Raises EdgekdError where the model has no such layers, or cannot be narrowed so."""
    numbers = range(1, depth(model) + 1) if shape.layers is None else _numbers(shape.layers, depth(model))
    student = chosen_layers(model, list(numbers))
    if shape.width or shape.inner:
        student = narrowed(student, shape.width or student.config.hidden_size, shape.inner)
    return renewed(student) if shape.random else student


def recurrent(teacher: Any, shape: Recurrent) -> Tagger:
    """A BiLSTM tagger with the teacher's vocabulary. Raises EdgekdError where the teacher reads no dictionary."""
    if not isinstance(teacher, Tagger):
        raise EdgekdError(
            "only a tagger with a dictionary can have a BiLSTM student", "Set dictionary on the teacher's step."
        )
    return tagger.recurrent(teacher, shape.embedding, shape.lstm)


def _numbers(layers: int | tuple[int, ...], depth: int) -> list[int]:
    """Layer numbers from 1: as given, or evenly spaced and ending with the last, as the uniform mapping pairs them."""
    if isinstance(layers, int):
        layers = tuple(number * depth // layers for number in range(1, layers + 1)) if 0 < layers <= depth else (0,)
    if not layers or not all(1 <= number <= depth for number in layers):
        raise EdgekdError(f"the student cannot take these layers of {depth}", f"Set model.layers to 1..{depth}.")
    return list(layers)
