"""Named objects on storage that fsspec reaches: S3 and what speaks like it, and others that can create exclusively."""

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from edgekd.errors import EdgekdError


class Objects:
    """A URL such as s3://BUCKET/FOLDER. Everything raises EdgekdError where it cannot be reached."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    def exists(self, name: str) -> bool:
        with self._reached():
            return bool(self._files.exists(self._at(name)))

    def size(self, name: str) -> int | None:
        """In bytes; None where there is none."""
        with self._reached(), contextlib.suppress(FileNotFoundError):
            return int(self._files.info(self._at(name))["size"])
        return None

    def names(self, folder: str) -> list[str]:
        """What lies in a folder, by its last name."""
        with self._reached(), contextlib.suppress(FileNotFoundError):
            found = self._files.ls(self._at(folder), detail=False)
            return [path.rpartition("/")[2] for path in found if path.rpartition("/")[2]]
        return []

    def read(self, name: str) -> bytes | None:
        """None where there is none."""
        with self._reached(), contextlib.suppress(FileNotFoundError):
            return bytes(self._files.cat_file(self._at(name)))
        return None

    def write(self, name: str, content: bytes) -> None:
        with self._written():
            self._files.pipe_file(self._at(name), content)

    def attempt(self, name: str, content: bytes) -> None:
        """Write, or let it be."""
        with contextlib.suppress(EdgekdError):
            self.write(name, content)

    def create(self, name: str, content: bytes) -> bool:
        """Write what is not there; False where it is. Of two that do it at once, one is told so."""
        with self._written():
            try:
                self._files.pipe_file(self._at(name), content, mode="create")
            except FileExistsError:
                return False
            except Exception as error:
                # S3 has an answer of its own, which s3fs passes on as it is.
                if _code(error) not in ("PreconditionFailed", "ConditionalRequestConflict"):
                    raise
                return False
        return True

    def put(self, file: Path, name: str) -> None:
        """Send a file; what is there under the name with the same size is the same."""
        if self.size(name) != file.stat().st_size:
            with self._written():
                self._files.put_file(str(file), self._at(name))

    def get(self, name: str, file: Path) -> None:
        """Fetch a file. Raises EdgekdError where there is none."""
        try:
            with self._reached():
                self._files.get_file(self._at(name), str(file))
        except FileNotFoundError:
            raise EdgekdError(f"store {self.url} has lost {name}", "Restore it, or remove what names it.") from None

    def remove(self, folder: str) -> None:
        """What lies in a folder, if there is one."""
        with self._reached(), contextlib.suppress(FileNotFoundError):
            self._files.rm(self._at(folder), recursive=True)

    def _at(self, name: str) -> str:
        return f"{self._base}/{name}"

    @cached_property
    def _files(self) -> Any:
        import fsspec

        scheme = self.url.partition("://")[0]
        if scheme in ("file", "local"):
            raise EdgekdError(f"store {self.url}: a folder is no URL", f"Name it: {self.url.partition('://')[2]}")
        try:
            # Others write too: what a listing said a moment ago may be wrong by now.
            return fsspec.filesystem(scheme, use_listings_cache=False, skip_instance_cache=True)
        except (ImportError, ValueError) as error:
            hint = "pip install 'edgekd[s3]'" if scheme == "s3" else "Name a folder, or s3://BUCKET/FOLDER."
            raise EdgekdError(f"store {self.url}: {error}", hint) from None

    @cached_property
    def _base(self) -> str:
        return str(self._files._strip_protocol(self.url)).rstrip("/")

    @contextmanager
    def _reached(self) -> Iterator[None]:
        try:
            yield
        except (EdgekdError, FileNotFoundError):
            raise
        except Exception as error:  # each storage has its own
            raise self._failed(error) from error

    @contextmanager
    def _written(self) -> Iterator[None]:
        try:
            with self._reached():
                yield
        except FileNotFoundError as error:  # no name is missing where one is written: the bucket is
            raise self._failed(error) from error

    def _failed(self, error: Exception) -> EdgekdError:
        return EdgekdError(
            f"store {self.url}: {type(error).__name__}: {error}",
            "Is its address right (AWS_ENDPOINT_URL), is there such a bucket, and may you write there?",
        )


def _code(error: BaseException) -> str:
    """What an S3 server called it."""
    cause: Any = error
    while cause is not None:
        if isinstance(response := getattr(cause, "response", None), dict):
            return str(response.get("Error", {}).get("Code", ""))
        cause = cause.__cause__
    return ""
