"""What a recipe says of data augmentation."""

from typing import Annotated, Literal

from pydantic import Field

from edgekd.options import IsFile, IsPretrained, Options


class Augmentation(Options):
    """Copies of the train rows in which words are replaced by likely ones: TinyBERT's data augmentation.

    Jiao et al. 2020, "TinyBERT", section 3.2 and algorithm 1; the defaults of the first three fields are theirs.
    """

    copies: int = Field(20, ge=1, description="Copies drawn of each train row (TinyBERT: 10 to 30, by task)")
    probability: float = Field(0.4, ge=0, le=1, description="Chance of each word to be replaced in a copy")
    candidates: int = Field(15, ge=1, description="Most candidates for a word's place, the likeliest ones")
    model: Annotated[str | None, IsPretrained()] = Field(
        None, description="A pretrained masked language model that fills in words; default: nearest neighbours only"
    )
    vectors: Annotated[str | None, IsFile()] = Field(
        None, description="A word vector file (a word and its numbers a line); default: the teacher's token embeddings"
    )
    max_vectors: int = Field(
        100_000, ge=2, description="Most lines of `vectors` that are read: such files begin with frequent words"
    )
    min_cosine: float = Field(0.3, ge=-1, le=1, description="Least cosine of a word with a neighbour")
    stop_words: Literal["english"] | None = Field(
        "english", description="Words that are neither replaced nor candidates; null: none"
    )
    min_length: int = Field(3, ge=1, description="Fewest letters of a word that is replaced or a candidate")
