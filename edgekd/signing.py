"""What a folder is made of, as sha256sum writes it, and who says so: a signature that minisign made.

minisign's keys and signatures: https://jedisct1.github.io/minisign, by py-minisign.
"""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from edgekd.errors import EdgekdError

if TYPE_CHECKING:
    from types import ModuleType

SUMS, SIGNATURE = "SHA256SUMS", "SHA256SUMS.minisig"


def record(folder: Path) -> None:
    """Write SHA256SUMS, a line for every file in a folder: `sha256sum --check SHA256SUMS` reads it too."""
    lines = [f"{_sha256(folder / name)}  {name}\n" for name in sorted(_files(folder))]
    (folder / SUMS).write_text("".join(lines), encoding="utf-8")


def sign(folder: Path, key: Path, password: Callable[[], str], comment: str) -> None:
    """Sign a folder's SHA256SUMS with a secret key of minisign; `password` is asked for where the key has one, and
    `comment` is signed too.

    Raises EdgekdError where the file is no such key, or the password another.
    """
    minisign = _minisign()
    try:
        with minisign.SecretKey.from_file(key) as secret:
            if secret.is_encrypted():
                secret.decrypt(password())
            signature = secret.sign((folder / SUMS).read_bytes(), trusted_comment=comment)
    except OSError as error:
        raise EdgekdError(f"{key} cannot be read: {error.strerror}", _MAKE) from None
    except ValueError as error:  # minisign's own, and those of base64 and text
        raise EdgekdError(f"{key} does not sign: {error}", _MAKE) from None
    (folder / SIGNATURE).write_bytes(bytes(signature))


def check(folder: Path) -> int:
    """Compare every file of a folder with SHA256SUMS; returns how many. What Python would not import, names that begin
    with a dot and __pycache__, may be there besides.

    Raises EdgekdError where a file differs, is missing or is not listed.
    """
    again = "Get it again from whom you have it."
    try:
        told = (folder / SUMS).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        raise EdgekdError(f"{folder} has no {SUMS}", "It is no bundle, or one of an older edgekd.") from None
    listed = {name: digest for digest, _, name in (line.partition("  ") for line in told)}
    found = set(_files(folder))
    for name in sorted(found ^ set(listed)):
        state = "is missing" if name in listed else f"is not in {SUMS}"
        raise EdgekdError(f"{folder / name} {state}", again)
    for name in sorted(found):
        if _sha256(folder / name) != listed[name]:
            raise EdgekdError(f"{folder / name} is not the file that is in {SUMS}", again)
    return len(found)


def check_signature(folder: Path, key: str) -> str:
    """Whether SHA256SUMS was signed by a public key: minisign's file of it, or the key itself. Returns the comment.

    Raises EdgekdError where it was not, or has no signature.
    """
    minisign = _minisign()
    try:
        public = minisign.PublicKey.from_file(key) if Path(key).is_file() else minisign.PublicKey.from_base64(key)
    except (OSError, ValueError) as error:
        raise EdgekdError(
            f"{key} is no public key of minisign: {error}", "Name its file, such as minisign.pub."
        ) from None
    try:
        signature = minisign.Signature.from_file(folder / SIGNATURE)
        public.verify((folder / SUMS).read_bytes(), signature)
    except OSError:
        raise EdgekdError(f"{folder} is not signed: it has no {SIGNATURE}", "Ask whoever made it to sign it.") from None
    except ValueError as error:
        raise EdgekdError(f"{folder} was not signed by {key}: {error}", "Do not use it.") from None
    return str(signature.trusted_comment)


_MAKE = "Make a pair of keys with minisign -G, and name the file of the secret one."


def _minisign() -> "ModuleType":
    try:
        import minisign
    except ModuleNotFoundError:
        raise EdgekdError("py-minisign is not installed, which signs and checks", "pip install py-minisign") from None
    return minisign  # type: ignore[no-any-return]


def _files(folder: Path) -> Iterator[str]:
    for path in folder.rglob("*"):
        name = path.relative_to(folder)
        hidden = any(part.startswith(".") or part == "__pycache__" for part in name.parts)
        if path.is_file() and not hidden and name.as_posix() not in (SUMS, SIGNATURE):
            yield name.as_posix()


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
