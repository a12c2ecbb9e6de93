"""A phase of training: which teacher, which rows, which terms, what trains, how long, at what rate.

A method is a tuple of phases.
"""

from collections.abc import Mapping as Fields
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from edgekd.kd.losses import AttentionLoss, ChainLoss, HiddenLoss, LogitLoss, UncertaintyLoss
from edgekd.kd.mappings import MappingName
from edgekd.options import Options
from edgekd.validation import validated

RowUncertainty = Literal["entropy", "least_confidence", "margin", "mc_entropy", "bald", "variance"]
# Those that compare passes with dropout.
SAMPLED: frozenset[RowUncertainty] = frozenset({"mc_entropy", "bald", "variance"})


class Terms(Options):
    """Weights of the objective's terms; a term of weight 0 is not computed."""

    embedding: float = Field(0.0, ge=0, description="Embedding outputs, compared as hidden states are")
    hidden: float = Field(0.0, ge=0, description="Hidden states of mapped layers, as `hidden_loss` compares them")
    uncertainty: float = Field(
        0.0, ge=0, description="Hidden states of mapped layers under an estimate of how far they are off"
    )
    attention: float = Field(0.0, ge=0, description="Attention of mapped layers, as `attention_loss` compares it")
    normalized: float = Field(
        0.0, ge=0, description="MSE of mapped layers' states, each token's normalised over its neurons (MobileBERT)"
    )
    means: float = Field(0.0, ge=0, description="Squared differences of those states' means over neurons")
    variances: float = Field(0.0, ge=0, description="Absolute differences of those states' variances over neurons")
    cross: float = Field(
        0.0, ge=0, description="What one model makes of the other's insides, as `cross` exchanges them"
    )
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
        return bool(self.states or self.attention or self.cross)

    @property
    def states(self) -> bool:
        """Whether any term compares the hidden states of layers."""
        of_layers = (self.hidden, self.uncertainty, self.normalized, self.means, self.variances)
        return any((*of_layers, self.cls, self.pooled, self.contrastive))

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
    min_steps: int = Field(0, ge=0, description="Least steps: few rows are passed over as often as they take")
    batch_size: int = Field(32, ge=1, description="Rows a step, over all processes")
    accumulate: int = Field(1, ge=1, description="Parts in which a step's rows go through the model, to save memory")
    learning_rate: float = Field(5e-5, gt=0, description="Peak learning rate of AdamW")
    schedule: Literal["linear", "constant", "cosine"] = Field("linear", description="Learning rate after the warm-up")
    warmup: float = Field(0.1, ge=0, le=1, description="Share of the steps in which the learning rate rises")
    weight_decay: float = Field(0.01, ge=0, description="AdamW's decay; none for biases and normalisation")
    freeze: tuple[str, ...] = Field(
        (),
        description="What of the student does not train: embeddings, attention, feed_forward, head, "
        "or parameters by name with * for anything, as in *.layer.0.*",
    )
    mapping: MappingName | tuple[int, ...] = Field(
        "uniform", description="Teacher layer of each student layer: a mapping's name, or a list of layers from 1"
    )
    hidden_loss: HiddenLoss = Field(
        "mse", description="How hidden states are compared; all but gram after the projection to the teacher's width"
    )
    projected: bool = Field(
        True, description="Compare hidden states by a learnt projection; false: as they are, for equal widths"
    )
    uncertainty_loss: UncertaintyLoss = Field(
        "laplace",
        description="Likelihood by which the scale is estimated, or weighted: by what earlier phases estimated",
    )
    uncertainty_prior: float = Field(
        2.0, gt=0, description="Weight of the log scale in the Laplace loss: 2 with Jeffreys' prior, 1 without"
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
    cross: Literal["attention", "modules"] = Field(
        "attention",
        description="The teacher runs with the student's attention and, where a gate is shut, the student with the "
        "teacher's; or each one's layers on the other's inputs",
    )
    cross_share: float = Field(
        0.6, ge=0, le=1, description="Share of the student's layers on the teacher's inputs, with cross: modules"
    )
    gate: Literal["none", "loss", "module"] = Field(
        "none",
        description="Each step draws which layers learn (loss), or which run at all, else the teacher's do (module)",
    )
    gate_start: float = Field(0.2, ge=0.1, le=0.3, description="Chance that a gate is open at the first step")
    gate_full: float = Field(
        0.66, gt=0, le=1, description="Share of the steps after which every gate is open; the chance rises linearly"
    )
    uncertain_by: RowUncertainty | None = Field(
        None,
        description="How unsure the student is of a row; mc_entropy, bald, variance by passes with dropout; "
        "default: entropy (regression: variance)",
    )
    passes: int = Field(8, ge=2, description="Passes with dropout")
    weighting: Literal["none", "soft", "objective"] = Field(
        "none",
        description="Rows count by that, u: soft labels by u (soft), or by 1 - u and insides by u (objective)",
    )
    keep: float = Field(
        1.0, gt=0, le=1, description="Share of a batch that the teacher runs on: the rows the student is least sure of"
    )
    mix: float | None = Field(
        None, gt=0, le=1, description="UNIX: share of a batch that is not mixed with other rows; default: nothing is"
    )
    projection_rate: float = Field(
        1.0, gt=0, description="Learning rate of the projection, in multiples of the model's"
    )
    estimator_rate: float = Field(
        1.0, gt=0, description="Learning rate of the estimators of uncertainty, in multiples of the model's"
    )
    head_rate: float = Field(
        1.0, gt=0, description="Learning rate of the head and a tagger's transitions, in multiples of the model's"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.epochs and not any(self.terms.model_dump().values()):
            raise ValueError("every term has weight 0: nothing would be learnt. Give one a weight above 0")
        if self.anneal and not (self.terms.soft and self.terms.hard):
            raise ValueError("anneal goes from the teacher to the labels. It needs terms.soft and terms.hard")
        if self.epochs and self.data == "general" and self.terms.hard:
            raise ValueError("general text has no labels: terms.hard cannot be used on it")
        if self.epochs and self.data == "general" and self.terms.soft and self.soft_loss == "dkd":
            raise ValueError("general text has no labels, and dkd needs them. Set another soft_loss")
        if self.epochs and self.teacher == "pretrained" and self.terms.soft:
            raise ValueError("a pretrained encoder has no head for the task: terms.soft needs teacher: tuned")
        if self.terms.cross and (self.live or self.weighting == "objective"):
            raise ValueError(
                "what crosses is of whole batches: the cross term takes no keep, mix or weighting: objective"
            )
        if self.gate == "module" and self.live:
            raise ValueError("gate: module runs whole batches. Leave out keep and mix")
        if self.gate == "module" and self.terms.insides:
            off = ", ".join(f"{name}: 0" for name, weight in self.terms if weight and name not in ("hard", "soft"))
            raise ValueError(f"gate: module is for hard and soft labels. Set terms: {{{off}}}")
        if self.gate == "loss" and not self.terms.imitates:
            raise ValueError("gate: loss opens what is learnt from a teacher, and no term of this phase is")
        if self.mix is not None and self.weighting != "none":
            raise ValueError("mixed rows are of two rows' uncertainty: set mix or weighting")
        if self.mix is not None and (self.soft_loss == "dkd" and self.terms.soft):
            raise ValueError("mixed rows have no one class: dkd cannot be used with mix")
        if self.asks and self.data == "general":
            raise ValueError("keep, mix and weighting go by the student's answers: on general text it gives none")
        if self.asks and not self.terms.imitates:
            raise ValueError("keep, mix and weighting are of what is learnt from a teacher: no term of this phase is")
        if self.weighting != "none" and self.uncertain_by == "variance":
            raise ValueError("a variance is no share that rows could count by: set another uncertain_by")
        if self.weighting != "none" and self.terms.soft and self.soft_loss in ("dist", "dist_columns"):
            raise ValueError(f"{self.soft_loss} compares the rows of a batch, which cannot count by row")
        if self.weighting == "objective" and self.terms.contrastive:
            raise ValueError("the contrastive term compares the rows of a batch, which cannot count by row")
        return self

    def chance(self, passed: float) -> float:
        """p(t) = min(1, k t + b): that a gate is open when this share of the steps is done."""
        if self.gate == "none":
            return 1.0
        return min(1.0, self.gate_start + (1 - self.gate_start) * passed / self.gate_full)

    def measure(self, classes: int) -> RowUncertainty:
        """What says how unsure a student of so many outputs is of a row."""
        return self.uncertain_by or ("variance" if classes == 1 else "entropy")

    def passes_over(self, steps: int) -> int:
        """The epochs, of so many steps each."""
        return max(self.epochs, -(-self.min_steps // steps)) if self.epochs else 0

    @property
    def taught(self) -> bool:
        """Whether it needs a teacher."""
        return self.terms.imitates or self.gate == "module"

    @property
    def live(self) -> bool:
        """Whether the teacher runs on what each step makes of its batch."""
        return self.keep < 1 or self.mix is not None

    @property
    def runs(self) -> bool:
        """Whether a step needs the teacher's own modules, and not only what it said of the rows."""
        return self.live or self.gate == "module" or bool(self.terms.cross)

    @property
    def chooses(self) -> bool:
        """Whether the teacher is asked about some rows only, as they are."""
        return self.keep < 1 and self.mix is None

    @property
    def counts(self) -> bool:
        """Whether rows as they are count, or are chosen, by how unsure the student is of them."""
        return self.chooses or self.weighting != "none"

    @property
    def asks(self) -> bool:
        """Whether anything depends on how unsure the student is of a row."""
        return self.live or self.counts

    def having(self, fields: Fields[str, Any], at: tuple[str, ...]) -> Self:
        """This phase with other fields, which a recipe sets at `at`. A term that is set leaves the others as they are.

        Raises EdgekdError for a field there is not, or a value it does not take.
        """
        merged = {**self.model_dump(), **fields}
        if isinstance(terms := fields.get("terms", {}), Fields):
            merged["terms"] = {**self.terms.model_dump(), **terms}
        return validated(type(self), merged, {}, at)
