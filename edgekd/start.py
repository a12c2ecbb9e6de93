"""How a student starts: in what shape, and from whose weights."""

from typing import Annotated, Any, Self

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from edgekd.options import FromStep, Options

Number = Annotated[int, Field(ge=1)]


class Shape(Options):
    """A smaller encoder than the one it is made of: some of its layers, with its embeddings and head.

    A layer may have the attention of one of them and the feed-forward of another: `merge` makes one of each N so. With
    `width` or `inner` their weights are projected to a narrower space, by principal directions.
    """

    layers: Number | tuple[Number, ...] | None = Field(
        None, description="How many layers, evenly spaced, or their numbers from 1; default: all"
    )
    attention: tuple[Number, ...] | None = Field(
        None, description="Layers whose attention they have, one for each of layers; default: their own"
    )
    merge: int | None = Field(
        None, ge=2, description="So many layers become one: the first one's attention, the last one's feed-forward"
    )
    width: int | None = Field(
        None, gt=0, description="Hidden size, a multiple of the heads; default: as wide as they are"
    )
    inner: int | None = Field(None, gt=0, description="Inner size of the feed-forward layers; default: in proportion")
    random: bool = Field(
        False,
        description="New weights of this shape, instead of those of the encoder. Their token table has no codes",
    )

    @model_validator(mode="after")
    def _one_choice(self) -> Self:
        if self.merge and (self.layers is not None or self.attention is not None):
            raise ValueError("merge chooses the layers. Leave out layers and attention")
        return self

    @model_serializer(mode="wrap")
    def _set(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """What is not set leaves no trace in a cache key."""
        return {name: value for name, value in serialize(self).items() if value is not None and value is not False}


class Recurrent(Options):
    """A BiLSTM with new weights, instead of an encoder: for students of a tagger with a dictionary."""

    lstm: int = Field(gt=0, description="Hidden states of each direction")
    embedding: int = Field(128, gt=0, description="Width of the token embeddings")


class Start(Shape, FromStep):
    """A student of this shape, made of an earlier step's model."""
