"""Whether phases can work with the models they are given: asked before anything is trained."""

from collections.abc import Mapping, Sequence
from typing import Any

from edgekd.errors import EdgekdError
from edgekd.kd import mappings
from edgekd.kd.encoder import depth, per_token, stack
from edgekd.kd.losses import CHAINS, logits
from edgekd.kd.losses.relations import check_heads
from edgekd.kd.phase import Phase
from edgekd.kd.tagger import Tagger


def check(student: Any, teachers: Mapping[str, Any], phases: Sequence[Phase]) -> list[str]:
    """Raises EdgekdError, before anything is trained, where a phase cannot work with these models.

    Returns doubts: terms that work, but not as their names say.
    """
    doubts = []
    estimated = False
    for phase in phases:
        if not phase.epochs or not phase.taught:
            continue
        if (teacher := teachers.get(phase.teacher)) is None:
            raise EdgekdError(
                f"phase '{phase.name}' learns from the {phase.teacher} teacher, and there is none",
                "Name the encoder that the teacher was tuned from: general: {model: NAME, corpus: FILE}.",
            )
        first = next(iter(teachers.values()))
        if phase.terms.insides and _sizes(teacher) != _sizes(first):
            raise EdgekdError(
                f"phase '{phase.name}': the {phase.teacher} teacher has {_sizes(teacher)}, the other {_sizes(first)}",
                "Name the encoder that the teacher was tuned from.",
            )
        if phase.terms.insides and not phase.projected and _width(student) != _width(teacher):
            raise EdgekdError(
                f"phase '{phase.name}' compares {_width(student)} neurons with {_width(teacher)}, without a projection",
                "Set projected: true.",
            )
        if phase.terms.uncertainty and phase.uncertainty_loss == "weighted" and not estimated:
            raise EdgekdError(
                f"phase '{phase.name}' weighs by an uncertainty that no earlier phase has estimated",
                "Set uncertainty_loss: laplace, here or in a phase before.",
            )
        estimated = estimated or bool(phase.terms.uncertainty)
        if phase.terms.cross:
            _check_crossing(phase, student, teacher)
        if phase.gate == "module":
            _check_kin(phase, student, teacher, "gate: module")
        if student.config.num_labels == 1:
            _check_values(phase)
        if phase.accumulate > 1 and (torn := by_batch(phase)):
            doubts.append(
                f"phase '{phase.name}': {torn} compares the rows of a batch, of which it sees 1/{phase.accumulate}"
            )
        if phase.terms.mapped:
            mappings.resolve(phase.mapping, depth(student), depth(teacher))
        if phase.terms.relations:
            _check_relations(phase, student, teacher)
        if per_token(student) and (phase.counts or phase.mix is not None):
            raise EdgekdError(
                f"phase '{phase.name}' weighs, chooses or mixes rows by how unsure of each the student is, and this "
                "student answers for every word",
                "Leave weighting, keep and mix out.",
            )
        if phase.terms.soft and phase.soft_loss in CHAINS:
            if not (isinstance(student, Tagger) and isinstance(teacher, Tagger)):
                raise EdgekdError(
                    f"phase '{phase.name}': {phase.soft_loss} compares the chains of two taggers with a dictionary",
                    "Give the teacher's step a dictionary, or set soft_loss: kl.",
                )
        elif phase.terms.soft and (why := logits.degenerate(phase.soft_loss, student.config.num_labels)):
            if student.config.num_labels == 1 or phase.soft_loss == "standardized":
                raise EdgekdError(f"phase '{phase.name}': {why}", "Set soft_loss: kl, or mse.")
            doubts.append(f"phase '{phase.name}': {why}")
    return doubts


def _sizes(model: Any) -> str:
    return f"{depth(model)} layers of {model.config.hidden_size}"


def _check_values(phase: Phase) -> None:
    """A regression's uncertainty is a variance, which is no share of anything."""
    if phase.weighting != "none":
        raise EdgekdError(
            f"phase '{phase.name}': rows of a regression have no share to count by", "Set weighting: none."
        )
    if phase.asks and phase.measure(1) != "variance":
        raise EdgekdError(
            f"phase '{phase.name}': {phase.measure(1)} is of classes, and this is a regression",
            "Leave out uncertain_by, or set variance.",
        )


def _check_crossing(phase: Phase, student: Any, teacher: Any) -> None:
    chosen = [layers for layers in mappings.resolve(phase.mapping, depth(student), depth(teacher)) if layers]
    if any(len(layers) > 1 for layers in chosen) or chosen != sorted(set(chosen)):
        raise EdgekdError(
            f"phase '{phase.name}': layers cross one with one, in their order, which mapping {phase.mapping} does not",
            "Set mapping: uniform.",
        )
    if phase.cross == "modules":
        _check_kin(phase, student, teacher, "cross: modules")
        if len(chosen) < depth(student):
            raise EdgekdError(
                f"phase '{phase.name}': cross: modules holds each student layer to the teacher's layers since the one "
                f"before, and mapping {phase.mapping} leaves layers out",
                "Set mapping: uniform.",
            )


def _check_kin(phase: Phase, student: Any, teacher: Any, what: str) -> None:
    """Layers that take each other's places read and write alike."""
    if student.config.model_type != teacher.config.model_type or _width(student) != _width(teacher):
        raise EdgekdError(
            f"phase '{phase.name}': layers of {teacher.config.model_type}, {_width(teacher)} wide, "
            f"do not fit among those of {student.config.model_type}, {_width(student)} wide",
            f"Start the student from the teacher's layers, or leave out {what}.",
        )
    stack(student)


def _width(model: Any) -> int:
    return int(model.config.hidden_size)


def by_batch(phase: Phase) -> str:
    """What is no mean over rows, if a phase has any such."""
    if phase.terms.contrastive:
        return "contrastive"
    if phase.terms.soft and phase.soft_loss in ("dist", "dist_columns"):
        return phase.soft_loss
    if phase.live:
        return "the choice of rows"
    return "emd" if phase.terms.mapped and phase.mapping == "emd" else ""


def _check_relations(phase: Phase, student: Any, teacher: Any) -> None:
    ours, theirs = student.config, teacher.config
    if (phase.relation_layer or 1) > depth(teacher):
        raise EdgekdError(
            f"phase '{phase.name}': the teacher has {depth(teacher)} layers, no layer {phase.relation_layer}",
            f"Set relation_layer to 1..{depth(teacher)}.",
        )
    if phase.relations == "minilmv2":
        check_heads(ours.hidden_size, theirs.hidden_size, phase.relation_heads or ours.num_attention_heads)
    elif ours.num_attention_heads != theirs.num_attention_heads:
        raise EdgekdError(
            f"phase '{phase.name}': minilm compares head with head, and the student has {ours.num_attention_heads}, "
            f"the teacher {theirs.num_attention_heads}",
            "Set relations: minilmv2.",
        )
