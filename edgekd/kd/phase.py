"""A phase of training: which teacher, which rows, which terms, what trains, how long, at what rate.

A method is a tuple of phases.
"""

from collections.abc import Mapping as Fields
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from edgekd.kd.losses import AttentionLoss, ChainLoss, HiddenLoss, LogitLoss
from edgekd.kd.mappings import MappingName
from edgekd.options import Options
from edgekd.validation import validated


class Terms(Options):
    """Weights of the objective's terms; a term of weight 0 is not computed."""

    embedding: float = Field(0.0, ge=0, description="Embedding outputs, compared as hidden states are")
    hidden: float = Field(0.0, ge=0, description="Hidden states of mapped layers, as `hidden_loss` compares them")
    attention: float = Field(0.0, ge=0, description="Attention of mapped layers, as `attention_loss` compares it")
    cls: float = Field(0.0, ge=0, description="MSE of the first token's states of mapped layers, normalised (PKD)")
    pooled: float = Field(0.0, ge=0, description="MSE of mapped layers' mean states, normalised (RAIL-KD, layer-wise)")
    contrastive: float = Field(0.0, ge=0, description="InfoNCE of mapped layers' mean states in a batch (CoDIR)")
    relations: float = Field(
        0.0, ge=0, description="Relations of one layer's queries, keys, values, as `relations` says"
    )
    soft: float = Field(0.0, ge=0, description="The teacher's logits, as `soft_loss` compares them (regression: MSE)")
    hard: float = Field(0.0, ge=0, description="Cross-entropy with the labels (regression: MSE)")

    @property
    def mapped(self) -> bool:
        """Whether any term compares layer with layer."""
        return bool(self.hidden or self.attention or self.cls or self.pooled or self.contrastive)

    @property
    def insides(self) -> bool:
        """Whether any term reads more than the logits."""
        return bool(self.mapped or self.embedding or self.relations)

    @property
    def imitates(self) -> bool:
        """Whether any term needs a teacher."""
        return bool(self.insides or self.soft)


class Phase(Options):
    """One phase. Every field can be set in a recipe under the step's `phases`."""

    name: str = Field(description="Name of the phase, used in reports")
    terms: Terms = Field(Terms(hard=1.0), description="Weights of the loss terms")
    teacher: Literal["tuned", "pretrained"] = Field(
        "tuned", description="The step's teacher, or the pretrained encoder of `general` that it was tuned from"
    )
    data: Literal["task", "augmented", "general"] = Field(
        "task", description="The train split; that with the step's `augment` copies, if any; or the text of `general`"
    )
    epochs: int = Field(3, ge=0, description="Passes over the rows; 0 skips the phase")
    batch_size: int = Field(32, ge=1, description="Rows a step, over all processes")
    accumulate: int = Field(1, ge=1, description="Parts in which a step's rows go through the model, to save memory")
    learning_rate: float = Field(5e-5, gt=0, description="Peak learning rate of AdamW")
    schedule: Literal["linear", "constant", "cosine"] = Field("linear", description="Learning rate after the warm-up")
    warmup: float = Field(0.1, ge=0, le=1, description="Share of the steps in which the learning rate rises")
    weight_decay: float = Field(0.01, ge=0, description="AdamW's decay; none for biases and normalisation")
    freeze: tuple[str, ...] = Field(
        (), description="Student parameters that do not train, by name; * stands for anything, as in *.embeddings.*"
    )
    mapping: MappingName | tuple[int, ...] = Field(
        "uniform", description="Teacher layer of each student layer: a mapping's name, or a list of layers from 1"
    )
    hidden_loss: HiddenLoss = Field(
        "mse", description="How hidden states are compared; all but gram after the projection to the teacher's width"
    )
    attention_loss: AttentionLoss = Field(
        "score_mse", description="How attention is compared: scores before the softmax, or the distributions"
    )
    soft_loss: LogitLoss | ChainLoss = Field(
        "cross_entropy",
        description="How logits are compared; posterior, top_k and top_wk compare taggers with a dictionary as chains",
    )
    best: int = Field(10, ge=1, description="The teacher's best taggings that top_k and top_wk learn from")
    anneal: float | None = Field(
        None, gt=0, description="Share of the phase in which soft's weight falls to 0 and hard's rises to its own"
    )
    temperature: float = Field(1.0, gt=0, description="Temperature of the soft labels")
    relations: Literal["minilm", "minilmv2"] = Field(
        "minilmv2", description="Attention and value relations (MiniLM), or query, key and value relations (MiniLMv2)"
    )
    relation_layer: int | None = Field(
        None, ge=1, description="The teacher's layer whose relations the student's last layer learns; default: the last"
    )
    relation_heads: int | None = Field(
        None, ge=1, description="Heads that MiniLMv2 cuts queries, keys and values into; default: the student's"
    )
    contrast_temperature: float = Field(0.1, gt=0, description="Temperature of the contrastive term")
    projection_rate: float = Field(
        1.0, gt=0, description="Learning rate of the projection, in multiples of the model's"
    )
    head_rate: float = Field(
        1.0, gt=0, description="Learning rate of the head and a tagger's transitions, in multiples of the model's"
    )

    @model_validator(mode="after")
    def _has_a_term(self) -> Self:
        if self.epochs and not any(self.terms.model_dump().values()):
            raise ValueError("every term has weight 0: nothing would be learnt")
        if self.anneal and not (self.terms.soft and self.terms.hard):
            raise ValueError("anneal goes from the teacher to the labels. It needs terms.soft and terms.hard")
        if self.epochs and self.data == "general" and (self.terms.hard or self.terms.soft):
            raise ValueError("general text has no labels: terms.hard and terms.soft cannot be used on it")
        if self.epochs and self.teacher == "pretrained" and self.terms.soft:
            raise ValueError("a pretrained encoder has no head for the task: terms.soft needs teacher: tuned")
        return self

    def having(self, fields: Fields[str, Any], at: tuple[str, ...]) -> Self:
        """This phase with other fields, which a recipe sets at `at`. A term that is set leaves the others as they are.

        Raises EdgekdError for a field there is not, or a value it does not take.
        """
        merged = {**self.model_dump(), **fields}
        if isinstance(terms := fields.get("terms", {}), Fields):
            merged["terms"] = {**self.terms.model_dump(), **terms}
        return validated(type(self), merged, {}, at)
