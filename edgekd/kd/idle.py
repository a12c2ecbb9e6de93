"""Fields that a recipe gives a phase and that nothing reads, because of another field: told, since a reader of the
recipe would believe that they did something.
"""

from collections.abc import Iterable, Iterator, Mapping

from edgekd.kd.phase import SAMPLED, Phase


def idle(phase: Phase, given: Iterable[str]) -> list[str]:
    """A doubt for each of the `given` fields without effect in this phase."""
    why = dict(_idle(phase)) if phase.epochs else {}
    return [f"phase '{phase.name}': {name} has no effect, as {why[name]}" for name in given if name in why]


def _idle(phase: Phase) -> Iterator[tuple[str, str]]:
    terms = phase.terms
    needs: Mapping[str, tuple[str, bool]] = {
        "hidden_loss": ("no hidden states are compared by it", bool(terms.hidden or terms.embedding)),
        "projected": ("no term compares what is inside", terms.insides),
        "projection_rate": ("nothing is projected", terms.insides and phase.projected),
        "uncertainty_loss": ("terms.uncertainty is 0", bool(terms.uncertainty)),
        "uncertainty_prior": (
            "it is of terms.uncertainty by uncertainty_loss laplace",
            bool(terms.uncertainty) and phase.uncertainty_loss == "laplace",
        ),
        "estimator_rate": ("terms.uncertainty is 0", bool(terms.uncertainty)),
        "attention_loss": ("terms.attention is 0", bool(terms.attention)),
        "soft_loss": ("terms.soft is 0", bool(terms.soft)),
        "temperature": ("terms.soft is 0", bool(terms.soft)),
        "best": (
            "it is of terms.soft by soft_loss top_k or top_wk",
            bool(terms.soft) and phase.soft_loss in ("top_k", "top_wk"),
        ),
        "relations": ("terms.relations is 0", bool(terms.relations)),
        "relation_layer": ("terms.relations is 0", bool(terms.relations)),
        "relation_heads": (
            "it is of terms.relations by minilmv2",
            bool(terms.relations) and phase.relations == "minilmv2",
        ),
        "contrast_temperature": ("terms.contrastive is 0", bool(terms.contrastive)),
        "cross": ("terms.cross is 0", bool(terms.cross)),
        "cross_share": ("it is of terms.cross by modules", bool(terms.cross) and phase.cross == "modules"),
        "gate_start": ("gate is none", phase.gate != "none"),
        "gate_full": ("gate is none", phase.gate != "none"),
        "uncertain_by": ("neither weighting, keep nor mix asks for it", phase.asks),
        "passes": (
            "no uncertainty is taken of passes with dropout",
            phase.asks and (phase.uncertain_by is None or phase.uncertain_by in SAMPLED),
        ),
    }
    yield from ((name, why) for name, (why, read) in needs.items() if not read)
