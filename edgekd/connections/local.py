"""This machine: commands run as its own processes, and files stay where they are."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from edgekd import cache, processes
from edgekd.connection import Connection, Link
from edgekd.errors import EdgekdError


class _Here(Link):
    here = True

    @property
    def home(self) -> str:
        return str(cache.folder())

    def run(
        self, argv: Sequence[str], env: Mapping[str, str], stdin: str = "", deadline: float = 60.0, hold: bool = False
    ) -> Iterator[str]:
        name = argv[-1] if "-m" in argv else Path(argv[0]).name
        return processes.lines(argv, {**processes.inherited(), **env}, stdin, deadline, name, hold)

    def push(self, path: Path) -> str:
        return str(path.resolve())

    def pull(self, there: str, here: Path, most: int) -> None:
        try:
            shutil.copyfile(there, here)
        except OSError as error:
            raise EdgekdError(f"{there}: {error.strerror}") from None


class Local(Connection):
    """This machine."""

    def open(self) -> Link:
        home = cache.folder()
        try:
            home.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EdgekdError(f"{home}: {error.strerror}", "Name a folder of your own: EDGEKD_CACHE=FOLDER.") from None
        return _Here()
