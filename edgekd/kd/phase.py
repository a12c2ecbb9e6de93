"""A phase of training: which terms, which mapping, how long, at what rate. A method is a tuple of phases."""

from typing import Literal, Self

from pydantic import Field, model_validator

from edgekd.options import Options


class Terms(Options):
    """Weights of the objective's terms; a term of weight 0 is not computed."""

    embedding: float = Field(0.0, ge=0, description="MSE of the embedding outputs, the student's projected")
    hidden: float = Field(0.0, ge=0, description="MSE of mapped layers' hidden states, the student's projected")
    attention: float = Field(0.0, ge=0, description="MSE of mapped layers' attention scores before the softmax")
    soft: float = Field(0.0, ge=0, description="Cross-entropy with the teacher's soft labels (regression: MSE)")
    hard: float = Field(0.0, ge=0, description="Cross-entropy with the labels (regression: MSE)")

    @property
    def insides(self) -> bool:
        """Whether any term reads more than the logits."""
        return bool(self.embedding or self.hidden or self.attention)


class Phase(Options):
    """One phase. Every field can be set in a recipe under the step's `phases`."""

    name: str = Field(description="Name of the phase, used in reports")
    terms: Terms = Field(Terms(hard=1.0), description="Weights of the loss terms")
    epochs: int = Field(3, ge=0, description="Passes over the train split")
    batch_size: int = Field(32, ge=1, description="Rows a step")
    learning_rate: float = Field(5e-5, gt=0, description="Peak learning rate of AdamW")
    schedule: Literal["linear", "constant", "cosine"] = Field("linear", description="Learning rate after the warm-up")
    warmup: float = Field(0.1, ge=0, le=1, description="Share of the steps in which the learning rate rises")
    weight_decay: float = Field(0.01, ge=0, description="AdamW's decay; none for biases and normalisation")
    temperature: float = Field(1.0, gt=0, description="Temperature of the soft labels")
    mapping: Literal["uniform", "top", "bottom"] | tuple[int, ...] = Field(
        "uniform", description="Teacher layer of each student layer: uniform, top, bottom, or a list from 1"
    )
    projection_rate: float = Field(
        1.0, gt=0, description="Learning rate of the projection, in multiples of the model's"
    )

    @model_validator(mode="after")
    def _has_a_term(self) -> Self:
        if self.epochs and not any(self.terms.model_dump().values()):
            raise ValueError("every term has weight 0: nothing would be learnt")
        return self
