"""What a recipe says of a dictionary that a tagger reads, and of how it changes while one is trained."""

from typing import Annotated, Any

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from edgekd.options import IsFile, Options

# Fields that leave no trace where they do nothing: what was made before there were such stays what it is.
_LATER = ("renamed", "types")


class Disturbed(Options):
    """How the dictionary changes from batch to batch, so that a tagger can do with another one."""

    dropout: float = Field(0.3, ge=0, le=1, description="Share of the entries that a batch lacks")
    distractors: float = Field(0.075, ge=0, le=1, description="Share of the rows with a match that is no entity")
    mistyped: float = Field(0.0, ge=0, le=1, description="Share of the entries that have a drawn type in a batch")
    empty: float = Field(0.1, ge=0, le=1, description="Share of the batches without a dictionary")
    renamed: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Share of the matches with drawn words, so that the dictionary alone tells what they are",
    )

    @model_serializer(mode="wrap")
    def _told(self, dumped: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in dumped(self).items() if value or name not in _LATER}


class ReadDictionary(Disturbed):
    """A dictionary: its entries, with their types, become an input of the model beside the tokens."""

    source: Annotated[str | None, IsFile()] = Field(
        None,
        description="A text file with an entry, a tab and its type a line, or embedded/entities; default: the entities "
        "of the train split",
    )
    types: tuple[str, ...] | None = Field(
        None, min_length=1, description="The types of entries that are read; default: all that the source has"
    )
    longest: bool = Field(False, description="Leave out what lies inside a longer match")
