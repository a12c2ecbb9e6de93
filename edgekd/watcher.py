"""Who is told how a run goes."""

from typing import Protocol


class Watcher(Protocol):
    """Whoever wants to know."""

    def say(self, text: str) -> None: ...

    def progress(self, label: str, done: float, total: float) -> None: ...


class Silent:
    """A watcher that tells nobody."""

    def say(self, text: str) -> None:
        pass

    def progress(self, label: str, done: float, total: float) -> None:
        pass
