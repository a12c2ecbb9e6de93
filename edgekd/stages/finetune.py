"""Fine-tune a pretrained encoder on the task: the teacher."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from edgekd import hub
from edgekd.artifact import DICTIONARY, TOKENIZER
from edgekd.data_options import DataOptions
from edgekd.dictionary import Dictionary
from edgekd.dictionary_options import ReadDictionary
from edgekd.errors import EdgekdError
from edgekd.options import IsAside, IsPretrained
from edgekd.stage import Job, Stage
from edgekd.start import Start


class FineTune(Stage):
    """Fine-tunes any Hugging Face encoder with a new head on the recipe's data.

    The usual recipe of Devlin et al. 2019, appendix A.3: AdamW, a linear schedule with warm-up, the last epoch kept
    (no epoch is chosen by its dev score, which would flatter it).
    """

    makes: ClassVar[str] = "torch"
    version: ClassVar[int] = 2
    trains: ClassVar[bool] = True
    libraries: ClassVar[tuple[str, ...]] = ("torch", "transformers", "accelerate", "tokenizers")

    model: Annotated[str | Start, IsPretrained()] = Field(
        description="Pretrained encoder: a hub name, a folder, package:NAME; or {from: STEP}, an earlier step's model"
    )
    epochs: int = Field(3, ge=0, description="Passes over the train split")
    batch_size: int = Field(32, ge=1, description="Rows a step")
    learning_rate: float = Field(5e-5, gt=0, description="Peak learning rate of AdamW")
    warmup: float = Field(0.1, ge=0, le=1, description="Share of the steps in which the learning rate rises")
    weight_decay: float = Field(0.01, ge=0, description="AdamW's decay; none for biases and normalisation")
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="Matrix products; auto: bf16 where the machine has it"
    )
    dictionary: ReadDictionary | None = Field(
        None, description="For task tokens: a dictionary that the model reads, with a CRF over its tags"
    )
    head_rate: float | None = Field(
        None, gt=0, description="Learning rate of the head, in multiples; default: 20 with a dictionary, else 1"
    )
    checkpoint_s: Annotated[float, IsAside()] = Field(60.0, gt=0, description="Seconds between checkpoints")

    def check(self, data: DataOptions) -> None:
        if self.dictionary is not None and not data.kind.per_token:
            raise EdgekdError("a dictionary is of no use to this task", "Leave it out, or set data.task: tokens.")

    def key_options(self) -> dict[str, Any]:
        # What is not set leaves no trace: what was made before there were such fields stays what it is.
        unset = {name for name in ("dictionary", "head_rate") if getattr(self, name) is None}
        return {name: value for name, value in super().key_options().items() if name not in unset}

    def run(self, job: Job) -> Mapping[str, Any]:
        import torch

        from edgekd.kd import encoder
        from edgekd.kd.fitting import Reads, disturbance, fit, head, rows, save_tokenizer
        from edgekd.kd.objective import Learner
        from edgekd.kd.phase import Phase, Terms
        from edgekd.kd.student import shaped

        torch.manual_seed(job.seed)  # the new head's weights
        form, reads = head(job.data), None
        if self.dictionary is not None:
            source = self.dictionary.source
            entries = Dictionary(job.data.entities) if source is None else Dictionary.read(source)
            if not entries.entries:
                problem = (
                    f"{source or 'the train split'} has no entry for a dictionary: nothing would be learnt from it"
                )
                raise EdgekdError(problem, "Name a file with entries, or leave dictionary out of the step.")
            if self.dictionary.types is not None:
                entries = entries.of(self.dictionary.types)
            entries.write(job.out / DICTIONARY)
            reads = Reads(entries, entries.kinds, self.dictionary.longest, disturbance(self.dictionary, job.data))
            form["dictionary"] = (reads.kinds, reads.longest)
        if isinstance(self.model, Start):
            folder = job.sources[self.model.from_].path
            (job.out / TOKENIZER).write_bytes((folder / TOKENIZER).read_bytes())
            model = shaped(encoder.load_classifier(folder, **form), self.model)
        else:
            folder = hub.fetch(self.model)
            save_tokenizer(folder, job.out)
            model = encoder.load_classifier(folder, **form)
        shared = ("epochs", "batch_size", "learning_rate", "warmup", "weight_decay")
        rate = self.head_rate or (1.0 if reads is None else 20.0)
        given = {name: getattr(self, name) for name in shared}
        phase = Phase(name="finetune", terms=Terms(hard=1.0), head_rate=rate, **given)
        split = job.data.train
        longest = job.data.options.max_length
        learning = rows(split.texts, split.targets, job.out, longest, model, cut=job.data.task.words, reads=reads)
        return fit(Learner(model, {}, [phase]), [phase], [learning], job, self.precision, self.checkpoint_s)
