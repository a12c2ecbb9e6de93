"""Distill a pretrained encoder into a smaller one on plain text, before any task: TinyBERT's general distillation."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from edgekd import hub
from edgekd.artifact import TOKENIZER
from edgekd.corpus import lines
from edgekd.data_options import DataOptions
from edgekd.errors import EdgekdError
from edgekd.options import IsAside, IsFile, IsPretrained
from edgekd.stage import Job, Stage
from edgekd.start import Shape

if TYPE_CHECKING:
    from edgekd.kd.phase import Phase


class DistillGeneral(Stage):
    """Distills a pretrained encoder on plain text, by its insides alone: embeddings, hidden states and attention
    (Jiao et al. 2020, section 3.2).

    The result knows no task, so that it is not scored; `distill` and `finetune` start from it by model: {from: STEP}.
    It depends on no recipe's data: every recipe with this step shares it.
    """

    makes: ClassVar[str] = "encoder"
    version: ClassVar[int] = 2
    trains: ClassVar[bool] = True
    libraries: ClassVar[tuple[str, ...]] = ("torch", "transformers", "accelerate", "tokenizers")
    reads_data: ClassVar[bool] = False

    model: Annotated[str, IsPretrained()] = Field(description="The pretrained encoder that teaches")
    student: Annotated[str | Shape, IsPretrained()] = Field(
        description="The student's start: {layers: N, width: D} of the teacher's weights, or a pretrained encoder"
    )
    corpus: Annotated[str, IsFile()] = Field(description="A text file, one text a line")
    rows: int | None = Field(None, ge=1, description="Use the first so many lines; default: all")
    max_length: int = Field(128, ge=8, description="Tokens at which a text is cut")
    phase: dict[str, Any] = Field({}, description="Fields of the phase to set, such as epochs or terms")
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="Matrix products; auto: bf16 where the machine has it"
    )
    checkpoint_s: Annotated[float, IsAside()] = Field(60.0, gt=0, description="Seconds between checkpoints")
    teacher_cache_gb: float = Field(
        4.0, ge=0, description="Disk for the teacher's outputs, computed once if they fit; else at every step"
    )

    def check(self, data: DataOptions) -> None:
        if fixed := {"name", "data", "teacher"} & self.phase.keys():
            raise EdgekdError(
                f"phase.{min(fixed)} cannot be set: this stage has one teacher and one text", "Leave it out."
            )
        self.schedule()

    def needs(self) -> tuple[str, ...]:
        return (*self.libraries, *(("scipy",) if self.phase.get("mapping") == "emd" else ()))

    def schedule(self) -> "Phase":
        from edgekd.kd.phase import Phase, Terms

        usual = Phase(
            name="general",
            terms=Terms(embedding=1.0, hidden=1.0, attention=1.0),
            teacher="pretrained",
            data="general",
            epochs=3,
            batch_size=256,
            learning_rate=3e-4,
        )
        return usual.having(self.phase, ("phase",))

    def run(self, job: Job) -> Mapping[str, Any]:
        import torch

        from edgekd.kd import encoder
        from edgekd.kd.checks import check
        from edgekd.kd.fitting import fit, rows, same_as_pretrained, save_tokenizer
        from edgekd.kd.idle import idle
        from edgekd.kd.objective import Learner
        from edgekd.kd.student import shaped

        torch.manual_seed(job.seed)
        folder = hub.fetch(self.model)
        teacher = encoder.load_classifier(folder)
        start = hub.fetch(self.student) if isinstance(self.student, str) else folder
        save_tokenizer(start, job.out)
        student = encoder.load_classifier(start) if isinstance(self.student, str) else shaped(teacher, self.student)
        phase = self.schedule()
        doubts = [*check(student, {"pretrained": teacher}, [phase]), *idle(phase, self.phase)]
        same_as_pretrained(job.out / TOKENIZER, folder, [phase])
        texts = [(line,) for line in lines(Path(self.corpus))[: self.rows]]
        learning = [rows(texts, None, job.out, self.max_length, student, teachers=[teacher])]
        learner = Learner(student, {"pretrained": teacher}, [phase])
        facts = fit(learner, [phase], learning, job, self.precision, self.checkpoint_s, self.teacher_cache_gb)
        doubts += facts.get("doubts", [])
        return {**facts, "rows": len(texts), "doubts": doubts, "phases": [phase.model_dump(mode="json")]}
