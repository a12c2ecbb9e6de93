"""Distillation of a tagger that reads a dictionary, chain to chain.

CN112699678A (distillation with dynamic vocabulary enhancement). The abstract, which is all that was at hand, says that
dictionary features are combined with the language model's, that the model so tuned is the teacher, that its predictions
are what a student is trained on, and that the dictionary lets a much smaller model keep the accuracy. Everything else
is reconstructed: what is compared is the chains' posteriors, at the temperature of Wang et al., "Structure-Level
Knowledge Distillation For Multilingual Sequence Labeling" (ACL 2020, section 3.2), with that paper's teacher annealing:
the teacher's weight falls to 0 at two thirds of the training, and that of the labels rises. `soft_loss: top_k` and
`top_wk` are the paper's other losses (section 3.1); with kl, emissions are compared. The phase `text`, off by default,
learns from the teacher alone on unlabelled text, `general.corpus`, before the rows that have tags.
"""

from edgekd.kd.method import Method
from edgekd.kd.phase import Phase, Terms


class DictionaryChains(Method):
    source = "CN112699678A, abstract; Wang et al. 2020, section 3"

    @classmethod
    def phases(cls, regression: bool) -> tuple[Phase, ...]:
        chain = Phase(
            name="chain",
            terms=Terms(soft=1.0, hard=1.0),
            soft_loss="posterior",
            temperature=2.25,
            anneal=2 / 3,
            epochs=30,
            learning_rate=5e-5,
            head_rate=20.0,
        )
        text = {"name": "text", "data": "general", "terms": Terms(soft=1.0), "anneal": None, "epochs": 0}
        return chain.model_copy(update=text), chain
