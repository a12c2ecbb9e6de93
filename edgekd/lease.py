"""Who makes a step, on storage that machines share and that has no locks: a lease, kept by beats."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from edgekd.objects import Objects

_OVER = "over"


@dataclass
class Lease:
    """Files in one folder, each a term of one holder's: the last governs, and no two can create the same.

    A holder writes a new beat every `beat_s` seconds. Who waits takes a term over whose beat did not change for
    `patience` beats of the waiter's own clock: no two clocks are compared. A holder that was only paused goes on
    beside the new one, and what both publish is published once.
    """

    objects: Objects
    folder: str
    beat_s: float = 10.0
    patience: int = 6
    _holder: str = field(default_factory=lambda: uuid4().hex)

    @contextmanager
    def __call__(self, waiting: Callable[[], None], needless: Callable[[], bool]) -> Iterator[bool]:
        """Hold it, or find that it has become needless (False): asked before each try. `waiting` is called once."""
        term = self._take(waiting, needless)
        if term is None:
            yield False
            return
        stop = threading.Event()
        beating = threading.Thread(target=self._beat, args=(term, stop), daemon=True)
        beating.start()
        try:
            yield True
        finally:
            stop.set()
            beating.join()
            self.objects.write(self._name(term), _OVER.encode())

    def _take(self, waiting: Callable[[], None], needless: Callable[[], bool]) -> int | None:
        """The term that is ours now."""
        seen: Any = None
        since, told = time.monotonic(), False
        while not needless():
            term = max((int(name) for name in self.objects.names(self.folder)), default=0)
            beat = self.objects.read(self._name(term)) if term else _OVER.encode()
            if (term, beat) != seen:
                seen, since = (term, beat), time.monotonic()
            ended = beat is None or beat == _OVER.encode()
            if ended or time.monotonic() - since > self.beat_s * self.patience:
                if self.objects.create(self._name(term + 1), self._holder.encode()):
                    return term + 1
                continue
            if not told:
                waiting()
                told = True
            time.sleep(self.beat_s / 2)
        return None

    def _beat(self, term: int, stop: threading.Event) -> None:
        count = 0
        while not stop.wait(self.beat_s):
            count += 1
            # Storage that cannot be reached now may be at the next beat; the work is not lost by it.
            self.objects.attempt(self._name(term), f"{self._holder} {count}".encode())

    def _name(self, term: int) -> str:
        return f"{self.folder}/{term:06d}"
