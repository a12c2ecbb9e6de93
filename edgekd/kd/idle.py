"""Fields that a recipe gives a phase and that nothing reads, because of another field: told, since a reader of the
recipe would believe that they did something.
"""

from collections.abc import Iterable, Iterator

from edgekd.kd.phase import SAMPLED, Phase


def idle(phase: Phase, given: Iterable[str]) -> list[str]:
    """A doubt for each of the `given` fields without effect in this phase."""
    why = dict(_idle(phase)) if phase.epochs else {}
    return [f"phase '{phase.name}': {name} has no effect, as {why[name]}" for name in given if name in why]


# Fields of one term alone.
_OF_TERM = {
    "uncertainty_loss": "uncertainty",
    "estimator_rate": "uncertainty",
    "attention_loss": "attention",
    "soft_loss": "soft",
    "temperature": "soft",
    "relations": "relations",
    "relation_layer": "relations",
    "contrast_temperature": "contrastive",
    "cross": "cross",
}


def _idle(phase: Phase) -> Iterator[tuple[str, str]]:
    terms, sampled = phase.terms, phase.uncertain_by is None or phase.uncertain_by in SAMPLED
    yield from ((name, f"terms.{term} is 0") for name, term in _OF_TERM.items() if not getattr(terms, term))
    if not (terms.hidden or terms.embedding):
        yield "hidden_loss", "no hidden states are compared by it"
    if not terms.insides:
        yield "projected", "no term compares what is inside"
    if not (terms.insides and phase.projected):
        yield "projection_rate", "nothing is projected"
    if not (terms.uncertainty and phase.uncertainty_loss == "laplace"):
        yield "uncertainty_prior", "it is of terms.uncertainty by uncertainty_loss laplace"
    if not (terms.soft and phase.soft_loss in ("top_k", "top_wk")):
        yield "best", "it is of terms.soft by soft_loss top_k or top_wk"
    if not (terms.relations and phase.relations == "minilmv2"):
        yield "relation_heads", "it is of terms.relations by minilmv2"
    if not (terms.cross and phase.cross == "modules"):
        yield "cross_share", "it is of terms.cross by modules"
    if phase.gate == "none":
        yield from ((name, "gate is none") for name in ("gate_start", "gate_full"))
    if not phase.asks:
        yield "uncertain_by", "neither weighting, keep nor mix asks for it"
    if not (phase.asks and sampled):
        yield "passes", "no uncertainty is taken of passes with dropout"
