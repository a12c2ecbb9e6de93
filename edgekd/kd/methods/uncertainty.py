"""Uncertainty-driven distillation: N teacher layers become one, and the student learns how far off it is.

CN114819148A, "Uncertainty-Driven Knowledge Distillation", of which a public text without tables was read, and the
project page of Huang et al., "Uncertainty-Driven Knowledge Distillation for Language Model Compression", IEEE/ACM TASLP
2023, which by title, topic and data is taken for the same work. The student starts as `model: {from: STEP, merge: N}`.

Source: in fine-tuning alone N consecutive layers become one; for N = 2 the attention of the odd layers is copied and
frozen, and the feed-forward outputs are held to those of the even layers by MSE (the term `hidden`); an uncertainty
estimation module beside the student guides how features are learnt (the term `uncertainty`), and is not needed after.

Reconstructed, each an option of the phase:
    the module's loss: `uncertainty_loss` laplace, with Jeffreys' prior (`uncertainty_prior: 1` leaves that out), after
        the same group's code for images (Ning et al., NeurIPS 2021), or gaussian
    its second step, the phase `weighted`, off by default: the module is frozen and weighs the differences
    `freeze`: embeddings too
    `terms` and `temperature`: cross-entropy 1, soft labels 1, uncertainty and MSE 0.1 each, T = 1
    for N > 2 the attention of the first of N layers and the feed-forward of the last
    hidden states are compared as they are (`projected: false`), rate, batch size, epochs
"""

from edgekd.kd.method import Method
from edgekd.kd.phase import Phase, Terms
from edgekd.start import Recurrent, Start


class Uncertainty(Method):
    source = "CN114819148A; Huang et al. 2023, project page; Ning et al. 2021, section 3 and code"

    @classmethod
    def phases(cls, regression: bool) -> tuple[Phase, ...]:
        estimating = Phase(
            name="uncertainty",
            terms=Terms(hard=1.0, soft=1.0, uncertainty=0.1, hidden=0.1),
            soft_loss="kl",
            projected=False,
            freeze=("embeddings", "attention"),
            epochs=5,
            learning_rate=2e-5,
        )
        return estimating, estimating.model_copy(
            update={"name": "weighted", "uncertainty_loss": "weighted", "epochs": 0}
        )

    @classmethod
    def doubt(cls, start: str | Start | Recurrent) -> str | None:
        if not isinstance(start, Start) or not (start.merge or start.attention):
            return "uncertainty freezes attention that is copied from the teacher: start from {from: TEACHER, merge: 2}"
        return None
