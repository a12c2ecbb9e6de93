"""Distill a fine-tuned teacher into a smaller student by a published method."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from edgekd import hub
from edgekd.artifact import DICTIONARY, TOKENIZER
from edgekd.augmentation_options import Augmentation
from edgekd.corpus import lines
from edgekd.data_options import DataOptions
from edgekd.dictionary import Dictionary
from edgekd.dictionary_options import Disturbed
from edgekd.errors import EdgekdError, nearest
from edgekd.options import IsAside, IsFile, IsPretrained, Options, Source
from edgekd.stage import Job, Stage, Tolerance
from edgekd.start import Recurrent, Start
from edgekd.task import TASKS

if TYPE_CHECKING:
    from edgekd.kd.fitting import Reads
    from edgekd.kd.phase import Phase
    from edgekd.kd.rows import Rows


class General(Options):
    """What phases on general text learn from."""

    corpus: Annotated[str, IsFile()] = Field(
        description="A text file, one text a line; for a task of two texts, both, with a tab between"
    )
    model: Annotated[str | None, IsPretrained()] = Field(
        None, description="The pretrained encoder that the teacher was tuned from, for phases with teacher: pretrained"
    )
    rows: int | None = Field(None, ge=1, description="Use the first so many lines; default: all")


def general_rows(general: General, texts: int) -> list[tuple[str, ...]]:
    """Its lines as rows; of a task of two texts, cut at the tab that may stand between them."""
    return [tuple(line.split("\t", texts - 1)) for line in lines(Path(general.corpus))[: general.rows]]


class Distill(Stage):
    """Distills a teacher into a student: a method gives the phases, and every field of a phase can be set.

    `phases: {intermediate: {epochs: 10, terms: {attention: 2}}}` changes two values of one phase of the method.
    """

    accepts: ClassVar[frozenset[str]] = frozenset({"torch"})
    makes: ClassVar[str] = "torch"
    version: ClassVar[int] = 5
    trains: ClassVar[bool] = True
    libraries: ClassVar[tuple[str, ...]] = ("torch", "transformers", "accelerate", "tokenizers")

    teacher: Source = Field(description="The step that made the teacher; default: the step before")
    model: Annotated[str | Start | Recurrent, IsPretrained()] = Field(
        description="The student's start: a pretrained encoder, {layers: N, from: STEP}, or {lstm: N} of a tagger"
    )
    method: str = Field("tinybert", description="The method of distillation")
    phases: dict[str, dict[str, Any]] = Field({}, description="Fields of the method's phases to set, by phase name")
    epochs: int | None = Field(
        None, ge=0, description="Epochs of every phase that has any, whatever else is set (for a quick look)"
    )
    augment: Augmentation | None = Field(None, description="Copies of the train split with words replaced")
    general: General | None = Field(None, description="Plain text, for phases that learn from it")
    dictionary: Disturbed | None = Field(
        None, description="How the dictionary of a teacher that reads one changes for the student; default: as usual"
    )
    min_kept: Annotated[float | None, IsAside()] = Field(
        None, ge=0, description="Least share of the teacher's score to keep, or the run fails"
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="Matrix products; auto: bf16 where the machine has it"
    )
    checkpoint_s: Annotated[float, IsAside()] = Field(60.0, gt=0, description="Seconds between checkpoints")
    teacher_cache_gb: float = Field(
        4.0, ge=0, description="Disk for the teacher's outputs, computed once if they fit; else at every step"
    )

    def tolerance(self) -> Tolerance:
        return Tolerance(min_kept=self.min_kept)

    def key_options(self) -> dict[str, Any]:
        # What is not set leaves no trace: what was made before there was such a field stays what it is.
        options = super().key_options()
        return options if self.dictionary else {name: options[name] for name in options if name != "dictionary"}

    def needs(self) -> tuple[str, ...]:
        solves = any(fields.get("mapping") == "emd" for fields in self.phases.values())
        reads = self.augment is not None and self.augment.stop_words is not None
        return (*self.libraries, *(("scipy",) if solves else ()), *(("scikit-learn",) if reads else ()))

    def check(self, data: DataOptions) -> None:
        phases = [phase for phase in self.schedule(data) if phase.epochs]
        if self.augment is not None and data.kind.per_token:
            raise EdgekdError("a copy with other words has no tags of its own", "Leave augment out for task: tokens.")
        if self.augment is not None and all(phase.data != "augmented" for phase in phases):
            raise EdgekdError(
                "augment has no effect: no phase learns from augmented copies",
                f"Leave it out, or set phases: {{{phases[0].name}: {{data: augmented}}}}."
                if phases
                else "Leave it out.",
            )
        if self.general is not None and all(phase.data != "general" and phase.teacher == "tuned" for phase in phases):
            raise EdgekdError("general has no effect: no phase learns from general text", "Leave it out.")
        for phase in phases:
            if phase.teacher == "pretrained" and self.general is not None and self.general.model is None:
                raise EdgekdError(
                    f"phase '{phase.name}' learns from the pretrained teacher, and general names none",
                    "Add general.model, the encoder that the teacher was tuned from.",
                )
            if phase.data == "general" and self.general is None:
                raise EdgekdError(
                    f"phase '{phase.name}' learns from general text, and the step names none",
                    "Add general: {corpus: FILE, model: PRETRAINED}, "
                    f"or skip it: phases: {{{phase.name}: {{epochs: 0}}}}.",
                )

    def schedule(self, data: DataOptions) -> "tuple[Phase, ...]":
        """The method's phases with what the recipe sets. Raises EdgekdError for a phase or field there is not."""
        from edgekd.kd.method import METHODS

        phases = METHODS.get(self.method).phases(regression=TASKS.get(data.task).continuous())
        known = [phase.name for phase in phases]
        for name in self.phases:
            if name not in known:
                raise EdgekdError(f"method {self.method} has no phase '{name}'", nearest(name, known))
        found = [phase.having(self.phases.get(phase.name, {}), ("phases", phase.name)) for phase in phases]
        if self.epochs is None:
            return tuple(found)
        quick = {"epochs": self.epochs, "min_steps": 0}
        return tuple(phase.having(quick, ("epochs",)) if phase.epochs else phase for phase in found)

    def run(self, job: Job) -> Mapping[str, Any]:
        import torch

        from edgekd.kd import encoder
        from edgekd.kd.checks import check
        from edgekd.kd.fitting import fit, head, same_as_pretrained, save_tokenizer
        from edgekd.kd.idle import idle
        from edgekd.kd.method import METHODS
        from edgekd.kd.objective import Learner
        from edgekd.kd.student import recurrent, shaped

        assert job.source is not None
        phases = [phase for phase in self.schedule(job.data.options) if phase.epochs]
        teachers = {"tuned": encoder.load_classifier(job.source.path)}
        form, reads = head(job.data), self._reads(job, teachers["tuned"])
        if reads is not None:
            form["dictionary"] = (reads.kinds, reads.longest)
        torch.manual_seed(job.seed)  # a new head's weights
        if isinstance(self.model, Start):
            giver = job.sources[self.model.from_]
            (job.out / TOKENIZER).write_bytes((giver.path / TOKENIZER).read_bytes())
            model = teachers["tuned"] if giver is job.source else encoder.load_classifier(giver.path, **form)
            student = shaped(model, self.model)
        elif isinstance(self.model, Recurrent):
            (job.out / TOKENIZER).write_bytes((job.source.path / TOKENIZER).read_bytes())
            student = recurrent(teachers["tuned"], self.model)
        else:
            folder = hub.fetch(self.model)
            save_tokenizer(folder, job.out)
            student = encoder.load_classifier(folder, **form)
        if self.general is not None and self.general.model and any(phase.teacher == "pretrained" for phase in phases):
            pretrained = hub.fetch(self.general.model)
            teachers["pretrained"] = encoder.load_classifier(pretrained)
            same_as_pretrained(job.out / TOKENIZER, pretrained, phases)
        doubt = METHODS.get(self.method).doubt(self.model)
        doubts = [*([doubt] if doubt else []), *check(student, teachers, phases)]
        rows, told = self._rows(job, student, teachers, phases, reads)
        facts = fit(
            Learner(student, teachers, phases),
            phases,
            rows,
            job,
            self.precision,
            self.checkpoint_s,
            self.teacher_cache_gb,
        )
        doubts += [told for phase in phases for told in idle(phase, self.phases.get(phase.name, {}))]
        doubts += facts.get("doubts", [])
        return {**facts, **told, "doubts": doubts, "phases": [phase.model_dump(mode="json") for phase in phases]}

    def _reads(self, job: Job, teacher: Any) -> "Reads | None":
        """The dictionary that the teacher reads, if it does; the student gets it too."""
        from edgekd.kd.fitting import Reads, disturbance
        from edgekd.kd.tagger import Tagger

        assert job.source is not None
        if not isinstance(teacher, Tagger):
            return None
        entries = Dictionary.read(job.source.path / DICTIONARY)
        entries.write(job.out / DICTIONARY)
        return Reads(entries, teacher.kinds, teacher.longest, disturbance(self.dictionary or Disturbed(), job.data))

    def _rows(
        self, job: Job, student: Any, teachers: "dict[str, Any]", phases: "list[Phase]", reads: "Reads | None"
    ) -> "tuple[list[Rows], dict[str, Any]]":
        """Each phase's rows, and what is to be told of them."""
        from edgekd.kd.augmentation import augmented
        from edgekd.kd.fitting import rows, same_vocabulary

        assert job.source is not None
        alike = same_vocabulary(job.out / TOKENIZER, job.source.path / TOKENIZER, phases)
        theirs = None if alike else (job.source.path / TOKENIZER, teachers["tuned"])
        kinds = ["task" if phase.data == "augmented" and self.augment is None else phase.data for phase in phases]
        found: dict[str, Rows] = {}
        told = {}
        for kind in dict.fromkeys(kinds):
            split = job.data.train
            texts: Any = split.texts
            targets: Any = split.targets
            if kind == "augmented":
                assert self.augment is not None
                copied, told["augmentation"] = augmented(split, self.augment, job.source.path, job.seed, job.progress)
                texts, targets = copied.texts, copied.targets
            elif kind == "general":
                assert self.general is not None
                texts, targets = general_rows(self.general, len(job.data.options.text)), None
            found[kind] = rows(
                texts,
                targets,
                job.out,
                job.data.options.max_length,
                student,
                theirs,
                teachers.values() if alike else (),
                job.data.task.words,
                reads,
            )
        return [found[kind] for kind in kinds], told
