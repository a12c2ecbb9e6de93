"""Progressive transfer: feature maps and crossed attention, module after module at random, then the student alone.

US11341326B2, of which claims 2 to 5 were read; claims 1 and 6 and the description were not at hand. The platform's
three phases (claim 5) are fine-tuning of the teacher (the stage `finetune`), distillation (`transfer`) and fine-tuning
of the student (`finetune`).

Source: feature maps between normalised layers, with the differences of their means and variances (claim 2; the terms
`normalized`, `means` and `variances`); the relative entropy of attention distributions (claim 3; `attention` with
`attention_loss: kl`) in a self-attention-cross objective (`cross`); an initial transition probability of 0.1 to 0.3
(claim 4; `gate_start`).

By analogy: the weights 100, 5000, 5 and 1 of those terms are MobileBERT's, whose loss has the same form.

Reconstructed, each an option of the phase:
    `cross`: attention (distributions are exchanged, values are not, with a chance that falls to 0), or modules (each
        layer on the other's input)
    `gate`: loss (each module's terms count where its gate is open), or module, BERT-of-Theseus's way, where the
        teacher's modules run in place of the student's and only labels teach: terms: {hard: 1} and 0 else
    `gate_full`: every gate is open after two thirds of the steps
    soft labels beside the others, gated as the last module; weight 1 each of cross, soft and hard labels
    the last phase learns labels alone (`terms: {soft: 1}` adds the teacher's), rates, batch sizes and epochs
"""

from edgekd.kd.method import Method
from edgekd.kd.phase import Phase, Terms


class Progressive(Method):
    source = "US11341326B2, claims 2 to 5; Sun et al. 2020, section 3.3; Xu et al. 2020, section 3.3"

    @classmethod
    def phases(cls, regression: bool) -> tuple[Phase, ...]:
        transfer = Phase(
            name="transfer",
            terms=Terms(normalized=100.0, means=5000.0, variances=5.0, attention=1.0, cross=1.0, soft=1.0, hard=1.0),
            attention_loss="kl",
            soft_loss="kl",
            gate="loss",
            epochs=10,
            learning_rate=5e-5,
        )
        return transfer, Phase(name="finetune", terms=Terms(hard=1.0), soft_loss="kl", epochs=3, learning_rate=3e-5)
