"""What a phase's terms read of two encoders, and what they give: each term compares one kind of insides."""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

import torch
from torch import Tensor

from edgekd.kd import mappings
from edgekd.kd.beside import Beside
from edgekd.kd.layers import Attended, Fixed, Layers, Moved, States
from edgekd.kd.losses import CHAINS, crf, feature_maps, pooled, relations, uncertainty
from edgekd.kd.losses.attention import ATTENTION
from edgekd.kd.losses.hidden import ANY_WIDTH, HIDDEN
from edgekd.kd.losses.logits import LOGITS, NEEDS_TARGETS
from edgekd.kd.phase import Phase
from edgekd.kd.trace import Needs, Trace

Loss = Callable[..., Tensor]


def reads(phase: Phase, student: int, teacher: int) -> tuple[Needs, Needs]:
    """What a phase reads of a student and a teacher of so many layers."""
    terms = phase.terms
    learning: frozenset[int] = frozenset()
    taught: frozenset[int] = frozenset()
    if terms.mapped:
        chosen = mappings.resolve(phase.mapping, student, teacher)
        learning = frozenset(number for number, layers in enumerate(chosen, start=1) if layers)
        taught = frozenset(mappings.layers_read(phase.mapping, student, teacher))
    states = bool(terms.states or phase.mapping == "attention")
    attends = bool(terms.attention or (terms.cross and phase.cross == "attention"))
    last = (student, phase.relation_layer or teacher) if terms.relations else (0, 0)

    def needs(layers: frozenset[int], relation: int) -> Needs:
        related = frozenset({relation} - {0})
        return Needs(
            (layers if states else frozenset()) | frozenset({0} if terms.embedding else ()),
            (layers if attends else frozenset()) | (related if phase.relations == "minilm" else frozenset()),
            related,
        )

    ours, theirs = needs(learning, last[0]), needs(taught, last[1])
    if terms.cross:
        theirs |= Needs(hidden=taught)
    if terms.cross and phase.cross == "modules":
        ours |= Needs(hidden=frozenset(range(student + 1)))
        theirs |= Needs(hidden=frozenset({0}))
    return ours, theirs


class Imitation:
    """One batch's comparison of a student with a teacher."""

    def __init__(
        self,
        phase: Phase,
        ours: Trace,
        theirs: Trace,
        beside: Beside,
        seed: int,
        gates: Sequence[bool],
        unsure: Tensor | None = None,
    ) -> None:
        """A module counts where its gate is open, a row by how unsure (B,) the student is, where the phase says so."""
        self._phase, self._ours, self._theirs = phase, ours, theirs
        self._beside, self._seed = beside, seed
        self._gates = gates
        self._inner = unsure if phase.weighting == "objective" else None
        self._outer = 1 - unsure if unsure is not None and phase.weighting == "objective" else unsure

    def terms(self, labels: Tensor | None) -> dict[str, Tensor]:
        """The weighted terms, scalars, by name."""
        made: dict[str, Callable[[], Tensor]] = {
            "embedding": self._embedding,
            "hidden": lambda: self._summed(self._states, self._theirs.hidden, HIDDEN[self._phase.hidden_loss]),
            "uncertainty": self._uncertainty,
            "attention": lambda: self._summed(
                self._ours.scores, self._theirs.scores, ATTENTION[self._phase.attention_loss]
            ),
            "normalized": lambda: self._features(feature_maps.normalized),
            "means": lambda: self._features(feature_maps.means),
            "variances": lambda: self._features(feature_maps.variances),
            "cls": lambda: self._vectors(lambda states, mask: states[:, 0], pooled.pkd),
            "pooled": lambda: self._vectors(pooled.mean_pooled, pooled.pkd),
            "contrastive": lambda: self._vectors(pooled.mean_pooled, self._contrast),
            "relations": self._relations,
            "soft": lambda: self._soft(labels),
        }
        weights = self._phase.terms.model_dump()
        gates = {"embedding": self._gates[0], "soft": self._gates[-1]}
        found = {name: weights[name] * gates.get(name, True) * term() for name, term in made.items() if weights[name]}
        if isinstance(layers := self.__dict__.get("_layers"), Moved):
            layers.settle()
        return found

    def _embedding(self) -> Tensor:
        loss = HIDDEN[self._phase.hidden_loss]
        return _mean(loss, self._inner, self._states[0], self._theirs.hidden[0], self._ours.mask)

    def _features(self, loss: Loss) -> Tensor:
        return self._summed(self._projected, self._theirs.hidden, loss)

    def _summed(self, ours: States, theirs: States, loss: Loss) -> Tensor:
        """A loss of each layer, its teacher and the mask, summed."""

        def cost(layer: int, mine: Tensor, other: Tensor) -> Tensor:
            return _mean(loss, self._inner, mine, other, self._ours.mask)

        return opened(self._layers.losses(ours, theirs, cost), self._gates)

    def _uncertainty(self) -> Tensor:
        phase, estimators = self._phase, self._beside.estimators
        assert estimators is not None
        loss = uncertainty.of(phase.uncertainty_loss, phase.uncertainty_prior)
        scales = {layer: estimators[str(layer)](states) for layer, states in self._projected.items() if layer}

        def cost(layer: int, ours: Tensor, theirs: Tensor) -> Tensor:
            return _mean(loss, self._inner, ours, theirs, scales[layer], self._ours.mask)

        return opened(self._layers.losses(self._projected, self._theirs.hidden, cost), self._gates)

    def _vectors(self, of: Callable[[Tensor, Tensor], Tensor], loss: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """A loss between one vector a row, made of each layer's states."""
        return self._summed(
            self._projected,
            self._theirs.hidden,
            lambda ours, theirs, mask: loss(of(ours, mask), of(theirs, mask)),
        )

    def _contrast(self, ours: Tensor, theirs: Tensor) -> Tensor:
        return pooled.codir(ours, theirs, self._phase.contrast_temperature)

    def _relations(self) -> Tensor:
        ours, theirs = self._ours, self._theirs
        (mine,), (other,) = ours.values, theirs.values
        if self._phase.relations == "minilm":
            values = ours.values[mine], theirs.values[other]

            def minilm(a: Tensor, b: Tensor, c: Tensor, d: Tensor, mask: Tensor) -> Tensor:
                return relations.minilm(a, b, c, d, ours.heads, mask)

            return _mean(minilm, self._inner, ours.scores[mine], theirs.scores[other], *values, ours.mask)
        heads = self._phase.relation_heads or ours.heads

        def minilmv2(*given: Tensor) -> Tensor:
            return relations.minilmv2(given[:3], given[3:6], heads, given[6])

        first = (ours.queries[mine], ours.keys[mine], ours.values[mine])
        second = (theirs.queries[other], theirs.keys[other], theirs.values[other])
        return _mean(minilmv2, self._inner, *first, *second, ours.mask)

    def _soft(self, labels: Tensor | None) -> Tensor:
        name, temperature = self._phase.soft_loss, self._phase.temperature
        if name in CHAINS:
            chain, taught, words = self._ours.chain, self._theirs.chain, self._ours.words
            assert chain is not None and taught is not None and words is not None
            return crf.imitation(name, chain, taught, words, temperature, self._phase.best)
        targets = (labels,) if name in NEEDS_TARGETS and labels is not None else ()

        def loss(ours: Tensor, theirs: Tensor, *targets: Tensor) -> Tensor:
            return LOGITS[name](ours, theirs, temperature, *targets)

        return _mean(loss, self._outer, self._ours.logits, self._theirs.logits, *targets)

    @property
    def _states(self) -> States:
        """The student's hidden states as `hidden_loss` takes them."""
        return self._ours.hidden if self._phase.hidden_loss in ANY_WIDTH else self._projected

    @cached_property
    def _projected(self) -> States:
        project = self._beside.projection
        if project is None or not self._phase.projected:
            return self._ours.hidden
        return {layer: project(states) for layer, states in self._ours.hidden.items()}

    @cached_property
    def _layers(self) -> Layers:
        match self._phase.mapping:
            case "emd":
                assert self._beside.flow is not None
                return Moved(self._beside.flow)
            case "attention":
                return Attended(self._projected, self._theirs.hidden)
            case mapping:
                return Fixed(mappings.resolve(mapping, self._ours.depth, self._theirs.depth, self._seed))


def _mean(loss: Loss, weights: Tensor | None, *given: Tensor) -> Tensor:
    """A loss of tensors (B, ...); with weights (B,) the mean of each row's own, weighted."""
    if weights is None:
        return loss(*given)
    each = [loss(*(tensor[row : row + 1] for tensor in given)) for row in range(len(weights))]
    return (weights * torch.stack(each)).mean()


def opened(losses: Mapping[int, Tensor], gates: Sequence[bool]) -> Tensor:
    """The sum of layers' losses, by number, of those whose gate is open."""
    return torch.stack([loss * gates[layer] for layer, loss in losses.items()]).sum()
