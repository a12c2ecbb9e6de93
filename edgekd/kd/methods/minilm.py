"""MiniLM: the last layer's self-attention relations, then the task.

Wang et al., "MiniLMv2: Multi-Head Self-Attention Relation Distillation", Findings of ACL 2021, section 3: relations of
queries, keys and values of one layer. The paper distils on general text and then fine-tunes; here the relations are
learnt on the task's rows (`data: general` of the first phase is the paper's way), the task from labels and logits.
"""

from edgekd.kd.method import Method
from edgekd.kd.phase import Phase, Terms


class MiniLm(Method):
    source = "Wang et al. 2021, section 3"

    @classmethod
    def phases(cls, regression: bool) -> tuple[Phase, ...]:
        relations = Phase(name="relations", terms=Terms(relations=1.0), data="augmented", epochs=10, learning_rate=2e-4)
        prediction = Phase(name="prediction", terms=Terms(soft=1.0, hard=1.0), soft_loss="kl", epochs=3)
        return relations, prediction
