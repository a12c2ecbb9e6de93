"""A student in its first state: a shape, filled with a bigger encoder's weights or with new ones."""

from typing import Any

from edgekd.errors import EdgekdError
from edgekd.kd import coded, tagger
from edgekd.kd.encoder import chosen_layers, depth, renewed
from edgekd.kd.narrowing import narrowed
from edgekd.kd.tagger import Tagger
from edgekd.start import Recurrent, Shape


def shaped(model: Any, shape: Shape) -> Any:
    """A new encoder with a head. Raises EdgekdError where the model has no such layers, or cannot be narrowed so."""
    student = chosen_layers(model, *_composition(shape, model))
    if shape.random:
        coded.plain(student)  # new weights have no codes
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


def _composition(shape: Shape, model: Any) -> tuple[list[int], list[int] | None]:
    """The layers' numbers, and those of the layers whose attention they have."""
    layers = depth(model)
    if (shape.merge or shape.attention) and model.config.model_type == "albert":
        raise EdgekdError("an ALBERT encoder has one layer: there is no other's attention", "Leave it out.")
    if shape.merge:
        if layers % shape.merge:
            fit = [str(number) for number in range(2, layers + 1) if layers % number == 0]
            raise EdgekdError(
                f"{layers} layers cannot be merged by {shape.merge}", f"Numbers that divide them: {', '.join(fit)}."
            )
        ends = range(shape.merge, layers + 1, shape.merge)
        return list(ends), [end - shape.merge + 1 for end in ends]
    numbers = list(range(1, layers + 1)) if shape.layers is None else _numbers(shape.layers, layers)
    if shape.attention is None:
        return numbers, None
    if len(shape.attention) != len(numbers):
        raise EdgekdError(
            f"{len(numbers)} layers and the attention of {len(shape.attention)}", "Name one for each layer."
        )
    return numbers, _numbers(shape.attention, layers)


def _numbers(layers: int | tuple[int, ...], depth: int) -> list[int]:
    """Layer numbers from 1: as given, or evenly spaced and ending with the last, as the uniform mapping pairs them."""
    if isinstance(layers, int):
        layers = tuple(number * depth // layers for number in range(1, layers + 1)) if 0 < layers <= depth else (0,)
    if not layers or not all(1 <= number <= depth for number in layers):
        raise EdgekdError(f"the student cannot take these layers of {depth}", f"Set model.layers to 1..{depth}.")
    return list(layers)
