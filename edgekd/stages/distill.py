"""Distill a fine-tuned teacher into a smaller student by a published method."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from edgekd import hub
from edgekd.artifact import TOKENIZER
from edgekd.data_options import DataOptions
from edgekd.errors import EdgekdError, nearest
from edgekd.options import FromStep, IsAside, IsPretrained, Source
from edgekd.stage import Job, Stage, Tolerance
from edgekd.validation import validated

if TYPE_CHECKING:
    from edgekd.kd.phase import Phase


class LayersOf(FromStep):
    """A student that starts as some layers of an earlier step's model, with its embeddings and head.

    With `width` their weights are projected to a narrower hidden space, by principal directions.
    """

    layers: int | tuple[int, ...] = Field(description="How many layers, evenly spaced, or their numbers from 1")
    width: int | None = Field(
        None, gt=0, description="Hidden size, a multiple of the heads; default: as wide as they are"
    )
    inner: int | None = Field(None, gt=0, description="Inner size of the feed-forward layers; default: in proportion")

    @model_serializer(mode="wrap")
    def _set(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """What is not set leaves no trace in a cache key."""
        return {name: value for name, value in serialize(self).items() if value is not None}


class Distill(Stage):
    """Distills a teacher into a student: a method gives the phases, and every field of a phase can be set.

    `phases: {intermediate: {epochs: 10, terms: {attention: 2}}}` changes two values of one phase of the method.
    """

    accepts: ClassVar[frozenset[str]] = frozenset({"torch"})
    makes: ClassVar[str] = "torch"
    libraries: ClassVar[tuple[str, ...]] = ("torch", "transformers", "accelerate", "tokenizers")

    teacher: Source = Field(description="The step that made the teacher; default: the step before")
    model: Annotated[str | LayersOf, IsPretrained()] = Field(
        description="The student's start: a pretrained encoder, or {layers: N, from: STEP}"
    )
    method: str = Field("tinybert", description="The method of distillation")
    phases: dict[str, dict[str, Any]] = Field({}, description="Fields of the method's phases to set, by phase name")
    epochs: int | None = Field(
        None, ge=0, description="Epochs of every phase, instead of the method's own (for a quick look)"
    )
    min_kept: Annotated[float | None, IsAside()] = Field(
        None, ge=0, description="Least share of the teacher's score to keep, or the run fails"
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="Matrix products; auto: bf16 where the machine has it"
    )
    checkpoint_s: Annotated[float, IsAside()] = Field(60.0, gt=0, description="Seconds between checkpoints")

    def tolerance(self) -> Tolerance:
        return Tolerance(min_kept=self.min_kept)

    def check(self, data: DataOptions) -> None:
        self.schedule(data)

    def schedule(self, data: DataOptions) -> "tuple[Phase, ...]":
        """The method's phases with what the recipe sets. Raises EdgekdError for a phase or field there is not."""
        from edgekd.kd.method import METHODS

        phases = METHODS.get(self.method).phases(regression=data.task == "regression")
        known = [phase.name for phase in phases]
        for name in self.phases:
            if name not in known:
                raise EdgekdError(f"method {self.method} has no phase '{name}'", nearest(name, known))
        return tuple(_overridden(phase, self.phases.get(phase.name, {}), self.epochs) for phase in phases)

    def run(self, job: Job) -> Mapping[str, Any]:
        import torch

        from edgekd.kd import encoder
        from edgekd.kd.fitting import fit, head, save_tokenizer
        from edgekd.kd.narrowing import narrowed
        from edgekd.kd.objective import Learner, check

        assert job.source is not None
        phases = self.schedule(job.data.options)
        teacher = encoder.load_classifier(job.source.path)
        torch.manual_seed(job.seed)  # a new head's weights
        if isinstance(self.model, LayersOf):
            giver = job.sources[self.model.from_]
            (job.out / TOKENIZER).write_bytes((giver.path / TOKENIZER).read_bytes())
            model = teacher if giver is job.source else encoder.load_classifier(giver.path)
            student = encoder.chosen_layers(model, _numbers(self.model.layers, encoder.depth(model)))
            if self.model.width or self.model.inner:
                student = narrowed(student, self.model.width or student.config.hidden_size, self.model.inner)
        else:
            folder = hub.fetch(self.model)
            save_tokenizer(folder, job.out)
            student = encoder.load_classifier(folder, **head(job.data))
        _same_vocabulary(job)
        check(student, teacher, phases)
        facts = fit(Learner(student, teacher, phases), phases, job, self.precision, self.checkpoint_s)
        return {**facts, "phases": [phase.model_dump(mode="json") for phase in phases]}


def _overridden(phase: "Phase", fields: Mapping[str, Any], epochs: int | None) -> "Phase":
    """A phase with other fields. A term that is set leaves the method's other terms as they are."""
    merged = {**phase.model_dump(), **({} if epochs is None else {"epochs": epochs}), **fields}
    if isinstance(terms := fields.get("terms", {}), Mapping):
        merged["terms"] = {**phase.terms.model_dump(), **terms}
    return validated(type(phase), merged, {}, ("phases", phase.name))


def _numbers(layers: int | tuple[int, ...], depth: int) -> list[int]:
    """Layer numbers from 1: as given, or evenly spaced and ending with the last, as the uniform mapping pairs them."""
    if isinstance(layers, int):
        layers = tuple(number * depth // layers for number in range(1, layers + 1)) if 0 < layers <= depth else (0,)
    if not layers or not all(1 <= number <= depth for number in layers):
        raise EdgekdError(f"the student cannot take these layers of {depth}", f"Set model.layers to 1..{depth}.")
    return list(layers)


def _same_vocabulary(job: Job) -> None:
    """Both must see the same tokens: the losses compare them position by position."""
    import json

    assert job.source is not None
    ours, theirs = (json.loads((path / TOKENIZER).read_text())["model"]["vocab"] for path in (job.out, job.source.path))
    if ours != theirs:
        raise EdgekdError(
            f"student and teacher have different vocabularies ({len(ours)} and {len(theirs)} tokens)",
            "Start the student from a model with the teacher's tokenizer, or from {layers: N, from: STEP}.",
        )
