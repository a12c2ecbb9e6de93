"""Distillation of the logits alone, beside the labels.

Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", 2015, section 2. With `terms: {soft: 0}` it is
plain fine-tuning of the student. Teacher and student may have different tokenizers.

The phase `text`, off by default, is distillation on unlabelled text (Bucila, Caruana and Niculescu-Mizil, "Model
Compression", KDD 2006): the teacher's answers on the lines of `general.corpus` are learnt before the task's rows.
"""

from edgekd.kd.method import Method
from edgekd.kd.phase import Phase, Terms


class Logits(Method):
    source = "Hinton et al. 2015, section 2"

    @classmethod
    def phases(cls, regression: bool) -> tuple[Phase, ...]:
        prediction = Phase(
            name="prediction",
            terms=Terms(soft=1.0, hard=1.0),
            soft_loss="kl",
            epochs=3,
            learning_rate=5e-5,
        )
        text = {"name": "text", "data": "general", "terms": Terms(soft=1.0), "epochs": 0}
        return prediction.model_copy(update=text), prediction
