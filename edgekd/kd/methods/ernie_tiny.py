"""ERNIE-Tiny's four stages: from general to task data, from the pretrained to the fine-tuned teacher, one at a time.

Su et al., "ERNIE-Tiny: A Progressive Distillation Framework for Pretrained Transformer Compression", arXiv 2106.02241,
whose abstract gives the stages, their order and what changes from each to the next:

    gd   general distillation            pretrained teacher   general text   latent loss
    ged  general-enhanced distillation   fine-tuned teacher   general text   latent loss
    tad  task-adaptive distillation      fine-tuned teacher   task data      latent loss
    tsd  task-specific distillation      fine-tuned teacher   task data      latent, soft-label and hard-label loss

Reconstructed, since the abstract does not give them: the latent loss (TinyBERT's embedding, hidden-state and attention
losses), epochs, rates and batch sizes; and that the
last stage, which has hard labels, learns from the rows as they are, since an augmented copy's label is not sure. The
projection is kept from stage to stage.
"""

from edgekd.kd.method import Method
from edgekd.kd.phase import Phase, Terms

_LATENT = Terms(embedding=1.0, hidden=1.0, attention=1.0)


class ErnieTiny(Method):
    source = "Su et al. 2021, abstract; the rest is reconstructed"

    @classmethod
    def phases(cls, regression: bool) -> tuple[Phase, ...]:
        gd = Phase(
            name="gd", terms=_LATENT, teacher="pretrained", data="general", epochs=3, batch_size=256, learning_rate=3e-4
        )
        ged = Phase(name="ged", terms=_LATENT, data="general", epochs=1, batch_size=256, learning_rate=5e-5)
        tad = Phase(
            name="tad",
            terms=_LATENT,
            data="augmented",
            epochs=20,
            learning_rate=5e-5,
            schedule="constant",
            warmup=0.0,
        )
        tsd = Phase(
            name="tsd",
            terms=_LATENT.model_copy(update={"soft": 1.0, "hard": 1.0}),
            soft_loss="kl",
            epochs=5,
            learning_rate=3e-5,
        )
        return gd, ged, tad, tsd
