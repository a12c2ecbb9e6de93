"""Fields of a phase that nothing reads are told, and none that something reads."""

import pytest

from edgekd.kd.idle import idle
from edgekd.kd.method import METHODS
from edgekd.kd.phase import Phase, Terms

# What trains and how long, and what a phase refuses where it has no effect.
ALWAYS = {
    *("name", "terms", "teacher", "data", "epochs", "min_steps", "batch_size", "accumulate", "learning_rate"),
    *("schedule", "warmup", "weight_decay", "freeze", "mapping", "anneal", "gate", "weighting", "keep", "mix"),
    "head_rate",
}
READ: dict[str, dict[str, object]] = {
    "hidden_loss": {"terms": Terms(embedding=1)},
    "projected": {"terms": Terms(hidden=1)},
    "projection_rate": {"terms": Terms(attention=1)},
    "uncertainty_loss": {"terms": Terms(uncertainty=1)},
    "uncertainty_prior": {"terms": Terms(uncertainty=1)},
    "estimator_rate": {"terms": Terms(uncertainty=1)},
    "attention_loss": {"terms": Terms(attention=1)},
    "soft_loss": {"terms": Terms(soft=1)},
    "temperature": {"terms": Terms(soft=1)},
    "best": {"terms": Terms(soft=1), "soft_loss": "top_wk"},
    "relations": {"terms": Terms(relations=1)},
    "relation_layer": {"terms": Terms(relations=1)},
    "relation_heads": {"terms": Terms(relations=1)},
    "contrast_temperature": {"terms": Terms(contrastive=1)},
    "cross": {"terms": Terms(cross=1)},
    "cross_share": {"terms": Terms(cross=1), "cross": "modules"},
    "gate_start": {"terms": Terms(soft=1), "gate": "loss"},
    "gate_full": {"terms": Terms(soft=1), "gate": "module"},
    "uncertain_by": {"terms": Terms(soft=1), "weighting": "soft"},
    "passes": {"terms": Terms(soft=1), "keep": 0.5, "uncertain_by": "bald"},
}


def test_every_field_is_decided() -> None:
    assert ALWAYS.isdisjoint(READ) and ALWAYS | READ.keys() == Phase.model_fields.keys()
    plain = Phase(name="plain")
    assert idle(plain, ALWAYS) == [] and len(idle(plain, READ)) == len(READ)
    assert idle(Phase(name="plain", epochs=0), READ) == []


@pytest.mark.parametrize("name", READ)
def test_a_field_that_is_read(name: str) -> None:
    assert idle(Phase.model_validate({"name": "x", **READ[name]}), [name]) == []


@pytest.mark.parametrize(
    ("field", "given", "why"),
    [
        ("cross_share", {"terms": Terms(cross=1)}, "it is of terms.cross by modules"),
        ("uncertainty_prior", {"terms": Terms(uncertainty=1), "uncertainty_loss": "gaussian"}, "uncertainty_loss"),
        ("best", {"terms": Terms(soft=1), "soft_loss": "posterior"}, "soft_loss top_k or top_wk"),
        ("relation_heads", {"terms": Terms(relations=1), "relations": "minilm"}, "by minilmv2"),
        ("passes", {"terms": Terms(soft=1), "weighting": "soft", "uncertain_by": "entropy"}, "passes with dropout"),
    ],
)
def test_a_field_that_another_shuts_off(field: str, given: dict[str, object], why: str) -> None:
    [told] = idle(Phase.model_validate({"name": "x", **given}), ["epochs", field])
    assert told.startswith(f"phase 'x': {field} has no effect, as ") and why in told


def test_what_published_methods_set_is_read() -> None:
    """But for how logits are compared, which some say of a phase whose weight of them is 0 unless a recipe sets it."""
    usual = Phase(name="usual").model_dump()
    for name in METHODS.names:
        for regression in (False, True):
            for phase in METHODS.get(name).phases(regression):
                given = {field for field, value in phase.model_dump().items() if value != usual[field]}
                assert idle(phase, given - {"soft_loss", "temperature"}) == [], name
