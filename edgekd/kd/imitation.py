"""What a phase's terms read of two encoders, and what they give: each term compares one kind of insides."""

from collections.abc import Callable
from functools import cached_property

from torch import Tensor, nn

from edgekd.kd import mappings
from edgekd.kd.layers import Attended, Fixed, Flow, Layers, Moved, States
from edgekd.kd.losses import CHAINS, crf, pooled, relations
from edgekd.kd.losses.attention import ATTENTION
from edgekd.kd.losses.hidden import ANY_WIDTH, HIDDEN
from edgekd.kd.losses.logits import LOGITS, NEEDS_TARGETS
from edgekd.kd.phase import Phase
from edgekd.kd.trace import Needs, Trace


def reads(phase: Phase, student: int, teacher: int) -> tuple[Needs, Needs]:
    """What a phase reads of a student and a teacher of so many layers."""
    terms = phase.terms
    learning: frozenset[int] = frozenset()
    taught: frozenset[int] = frozenset()
    if terms.mapped:
        chosen = mappings.resolve(phase.mapping, student, teacher)
        learning = frozenset(number for number, layers in enumerate(chosen, start=1) if layers)
        taught = frozenset(mappings.layers_read(phase.mapping, student, teacher))
    states = bool(terms.hidden or terms.cls or terms.pooled or terms.contrastive or phase.mapping == "attention")
    last = (student, phase.relation_layer or teacher) if terms.relations else (0, 0)

    def needs(layers: frozenset[int], relation: int) -> Needs:
        related = frozenset({relation} - {0})
        return Needs(
            (layers if states else frozenset()) | frozenset({0} if terms.embedding else ()),
            (layers if terms.attention else frozenset()) | (related if phase.relations == "minilm" else frozenset()),
            related,
        )

    return needs(learning, last[0]), needs(taught, last[1])


class Imitation:
    """One batch's comparison of a student with a teacher."""

    def __init__(
        self, phase: Phase, ours: Trace, theirs: Trace, projection: nn.Linear | None, flow: Flow | None, seed: int
    ) -> None:
        self._phase, self._ours, self._theirs = phase, ours, theirs
        self._projection, self._flow, self._seed = projection, flow, seed

    def terms(self, labels: Tensor | None) -> dict[str, Tensor]:
        """The weighted terms, scalars, by name."""
        made: dict[str, Callable[[], Tensor]] = {
            "embedding": self._embedding,
            "hidden": self._hidden,
            "attention": self._attention,
            "cls": lambda: self._vectors(lambda states: states[:, 0], pooled.pkd),
            "pooled": lambda: self._vectors(self._mean, pooled.pkd),
            "contrastive": lambda: self._vectors(self._mean, self._contrast),
            "relations": self._relations,
            "soft": lambda: self._soft(labels),
        }
        weights = self._phase.terms.model_dump()
        found = {name: weights[name] * term() for name, term in made.items() if weights[name]}
        if isinstance(layers := self.__dict__.get("_layers"), Moved):
            layers.settle()
        return found

    def _embedding(self) -> Tensor:
        return self._compared(self._states[0], self._theirs.hidden[0])

    def _hidden(self) -> Tensor:
        return self._layers.loss(self._states, self._theirs.hidden, self._compared)

    def _attention(self) -> Tensor:
        loss = ATTENTION[self._phase.attention_loss]
        return self._layers.loss(
            self._ours.scores, self._theirs.scores, lambda ours, theirs: loss(ours, theirs, self._ours.mask)
        )

    def _vectors(self, of: Callable[[Tensor], Tensor], loss: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """A loss between one vector a row, made of each layer's states."""
        return self._layers.loss(self._projected, self._theirs.hidden, lambda ours, theirs: loss(of(ours), of(theirs)))

    def _mean(self, states: Tensor) -> Tensor:
        return pooled.mean_pooled(states, self._ours.mask)

    def _contrast(self, ours: Tensor, theirs: Tensor) -> Tensor:
        return pooled.codir(ours, theirs, self._phase.contrast_temperature)

    def _relations(self) -> Tensor:
        ours, theirs = self._ours, self._theirs
        (mine,), (other,) = ours.values, theirs.values
        heads, mask = self._phase.relation_heads or ours.heads, ours.mask
        if self._phase.relations == "minilm":
            scores = ours.scores[mine], theirs.scores[other]
            return relations.minilm(*scores, ours.values[mine], theirs.values[other], ours.heads, mask)
        first = (ours.queries[mine], ours.keys[mine], ours.values[mine])
        second = (theirs.queries[other], theirs.keys[other], theirs.values[other])
        return relations.minilmv2(first, second, heads, mask)

    def _soft(self, labels: Tensor | None) -> Tensor:
        name = self._phase.soft_loss
        if name in CHAINS:
            ours, theirs, words = self._ours.chain, self._theirs.chain, self._ours.words
            assert ours is not None and theirs is not None and words is not None
            return crf.imitation(name, ours, theirs, words, self._phase.temperature, self._phase.best)
        more = {"targets": labels} if name in NEEDS_TARGETS else {}
        return LOGITS[name](self._ours.logits, self._theirs.logits, self._phase.temperature, **more)

    def _compared(self, ours: Tensor, theirs: Tensor) -> Tensor:
        return HIDDEN[self._phase.hidden_loss](ours, theirs, self._ours.mask)

    @property
    def _states(self) -> States:
        """The student's hidden states as `hidden_loss` takes them."""
        return self._ours.hidden if self._phase.hidden_loss in ANY_WIDTH else self._projected

    @cached_property
    def _projected(self) -> States:
        project = self._projection or nn.Identity()
        return {layer: project(states) for layer, states in self._ours.hidden.items()}

    @cached_property
    def _layers(self) -> Layers:
        match self._phase.mapping:
            case "emd":
                assert self._flow is not None
                return Moved(self._flow)
            case "attention":
                return Attended(self._projected, self._theirs.hidden)
            case mapping:
                return Fixed(mappings.resolve(mapping, self._ours.depth, self._theirs.depth, self._seed))
