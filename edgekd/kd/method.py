"""The contract of a method of distillation: a published system as a tuple of phases."""

from abc import ABC, abstractmethod
from typing import ClassVar

from edgekd.kd.phase import Phase
from edgekd.registry import Registry


class Method(ABC):
    """A method. `source` names the paper or patent, with the section its phases follow."""

    source: ClassVar[str]

    @classmethod
    @abstractmethod
    def phases(cls, regression: bool) -> tuple[Phase, ...]:
        """The phases as published, for a classification or a regression task."""


METHODS: Registry[Method] = Registry("edgekd.kd.methods", Method, "method")  # type: ignore[type-abstract]
