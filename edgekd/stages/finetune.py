"""Fine-tune a pretrained encoder on the task: the teacher."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from edgekd import hub
from edgekd.artifact import TOKENIZER
from edgekd.options import IsAside, IsPretrained
from edgekd.stage import Job, Stage
from edgekd.start import Start


class FineTune(Stage):
    """Fine-tunes any Hugging Face encoder with a new head on the recipe's data.

    The usual recipe of Devlin et al. 2019, appendix A.3: AdamW, a linear schedule with warm-up, the last epoch kept
    (no epoch is chosen by its dev score, which would flatter it).
    """

    makes: ClassVar[str] = "torch"
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
    checkpoint_s: Annotated[float, IsAside()] = Field(60.0, gt=0, description="Seconds between checkpoints")

    def run(self, job: Job) -> Mapping[str, Any]:
        import torch

        from edgekd.kd import encoder
        from edgekd.kd.fitting import fit, head, rows, save_tokenizer
        from edgekd.kd.objective import Learner
        from edgekd.kd.phase import Phase, Terms
        from edgekd.kd.student import shaped

        torch.manual_seed(job.seed)  # the new head's weights
        if isinstance(self.model, Start):
            folder = job.sources[self.model.from_].path
            (job.out / TOKENIZER).write_bytes((folder / TOKENIZER).read_bytes())
            model = shaped(encoder.load_classifier(folder, **head(job.data)), self.model)
        else:
            folder = hub.fetch(self.model)
            save_tokenizer(folder, job.out)
            model = encoder.load_classifier(folder, **head(job.data))
        shared = ("epochs", "batch_size", "learning_rate", "warmup", "weight_decay")
        phase = Phase(name="finetune", terms=Terms(hard=1.0), **{name: getattr(self, name) for name in shared})
        split = job.data.train
        longest = job.data.options.max_length
        learning = rows(split.texts, split.targets, job.out, longest, model, cut=job.data.task.words)
        return fit(Learner(model, {}, [phase]), [phase], [learning], job, self.precision, self.checkpoint_s)
