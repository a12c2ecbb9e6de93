"""Distillation of the softened logits, without the labels.

Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", 2015, section 2, with a transfer set that has
no labels. Say here what your method's source states, with its sections, and apart from that what is reconstructed.
"""

from edgekd.kd.method import Method
from edgekd.kd.phase import Phase, Terms


class Example(Method):
    source = "Hinton et al. 2015, section 2"

    @classmethod
    def phases(cls, regression: bool) -> tuple[Phase, ...]:
        # One after another, on the same student. A recipe can set every field of each: edgekd explain phase lists them.
        # A term of weight 0, as most are by default, is left out. A regression has no soft labels: `soft` is its MSE.
        soft = Phase(name="soft", terms=Terms(soft=1.0), soft_loss="kl", temperature=2.0, epochs=3, learning_rate=5e-5)
        return (soft,)
