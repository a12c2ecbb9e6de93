"""The contract of a provider: where a device's Python comes from, with numpy and the runtimes in it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from edgekd.connection import Link
from edgekd.options import Options
from edgekd.registry import Registry


@dataclass(frozen=True)
class Python:
    """How a device's Python is started: the words before its own arguments, and the environment over the device's."""

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)


class Provider(Options, ABC):
    """What a device file says of its Python."""

    @classmethod
    def kind(cls) -> str:
        """Its file's name, by which device files name it."""
        return cls.__module__.rpartition(".")[2]

    @abstractmethod
    def prepare(self, link: Link, packages: Sequence[str], say: Callable[[str], None]) -> Python:
        """The device's Python, made there at first use where that is the provider's way.

        `packages`: what its runtimes need, as pip names them with versions, for a provider that installs. `say` is
        told of what takes minutes. Raises EdgekdError, with what to do, where there is none.
        """


PROVIDERS: Registry[Provider] = Registry("edgekd.providers", Provider, "provider")  # type: ignore[type-abstract]
