"""TinyBERT's task-specific distillation in its two phases.

Jiao et al., "TinyBERT: Distilling BERT for Natural Language Understanding", Findings of EMNLP 2020, section 3.2:
first the embedding, hidden-state and attention-score losses (equations 7 to 9) at a constant rate, then the prediction
loss alone (equation 10). The paper's code regresses on gold values where the task is a regression, and on the rows as
they are, whose values an augmented copy would not have.
"""

from edgekd.kd.method import Method
from edgekd.kd.phase import Phase, Terms


class TinyBert(Method):
    source = "Jiao et al. 2020, sections 3.1 and 3.2"

    @classmethod
    def phases(cls, regression: bool) -> tuple[Phase, ...]:
        intermediate = Phase(
            name="intermediate",
            terms=Terms(embedding=1.0, hidden=1.0, attention=1.0),
            data="augmented",
            epochs=20,
            learning_rate=5e-5,
            schedule="constant",
            warmup=0.0,
        )
        prediction = Phase(
            name="prediction",
            terms=Terms(hard=1.0) if regression else Terms(soft=1.0),
            data="task" if regression else "augmented",
            epochs=3,
            learning_rate=3e-5,
            warmup=0.1,
        )
        return intermediate, prediction
