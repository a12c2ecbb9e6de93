"""The contract of a method of distillation: a published system as a tuple of phases."""

from abc import ABC, abstractmethod
from typing import ClassVar

from edgekd.kd.phase import Phase
from edgekd.registry import Registry
from edgekd.start import Recurrent, Start


class Method(ABC):
    """A method. `source` names the paper or patent, with the section its phases follow."""

    source: ClassVar[str]

    @classmethod
    @abstractmethod
    def phases(cls, regression: bool) -> tuple[Phase, ...]:
        """The phases as published, for a classification or a regression task."""

    @classmethod
    def doubt(cls, start: str | Start | Recurrent) -> str | None:
        """Why a student that starts so is not the method's, if it is not."""
        return None


METHODS: Registry[Method] = Registry("edgekd.kd.methods", Method, "method")  # type: ignore[type-abstract]
