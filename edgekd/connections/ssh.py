"""A board over plain OpenSSH: the user's own configuration, agent and jump hosts apply."""

import re
import shlex
import subprocess
from contextlib import ExitStack
from pathlib import Path

from pydantic import Field

from edgekd import temporary
from edgekd.connection import Connection, Link
from edgekd.errors import EdgekdError
from edgekd.options import Word
from edgekd.paths import expanded
from edgekd.processes import EndedError
from edgekd.shell import Shell

# What ssh says, and what to do: its exit status is 255 for every one of them, and for a killed remote process too.
_FAULTS = (
    (
        r"REMOTE HOST IDENTIFICATION HAS CHANGED",
        "the host key of {host} is not the one that is known",
        "If the board was set up anew: ssh-keygen -R {key_name}, then log in once by hand. If not, beware.",
    ),
    (
        r"Host key verification failed",
        "the host key of {host} is not known",
        "Log in once by hand and compare its fingerprint: {login}",
    ),
    (
        r"Permission denied|Too many authentication failures",
        "{host} does not take this key",
        "Put the key there: ssh-copy-id {copy}. Passwords are never asked for.",
    ),
    (r"Connection refused", "{host} has no sshd at this port", "On a Pi: sudo systemctl enable --now ssh"),
    (
        r"Could not resolve hostname",
        "the name {host} is not known in this network",
        "Try its address, such as 192.168.1.20.",
    ),
    (
        r"timed out|No route to host|Network is unreachable",
        "{host} does not answer",
        "Is it on, and in this network? Try: ping {host}",
    ),
    (r"[Ii]dentity file .* not accessible|UNPROTECTED PRIVATE KEY", "the key cannot be used", "{told}"),
    (
        r"[Cc]onnection (closed|reset)|[Bb]roken pipe|client_loop|mux_client",
        "the connection to {host} broke",
        "Run it again. A board that goes away under load may lack power: a Pi 5 takes 5 A at 5 V.",
    ),
)


class Ssh(Connection):
    """A board that has an sshd and a POSIX shell."""

    host: Word = Field(min_length=1, description="Its name or address, or a Host of ~/.ssh/config")
    port: int | None = Field(
        None, ge=1, le=65535, description="Port of its sshd; default: as ~/.ssh/config says, or 22"
    )
    user: Word = Field("", description="User name there; default: as ~/.ssh/config says, or yours")
    identity: Word = Field("", description="Private key's file; default: your agent's, or ssh's own choice")
    known_hosts: Word = Field("", description="File of known host keys; default: your own")
    workdir: Word = Field(
        ".edgekd", min_length=1, description="edgekd's folder there; a relative one is under the user's home"
    )

    def open(self) -> Link:
        return _Session(self)

    def options(self) -> list[str]:
        given = [("Port", self.port), ("User", self.user), ("IdentityFile", _home(self.identity))]
        given += [("IdentitiesOnly", "yes" if self.identity else ""), ("UserKnownHostsFile", _home(self.known_hosts))]
        return [word for name, value in given if value for word in ("-o", f"{name}={value}")]


class _Session(Shell):
    """All commands share one authenticated connection (ControlMaster)."""

    def __init__(self, options: Ssh) -> None:
        self._options = options
        # A short path: the kernel takes about a hundred characters for a socket's.
        self._kept = ExitStack()
        place = Path("/tmp")
        self._sockets = self._kept.enter_context(temporary.folder("ekd-", place if place.is_dir() else None))
        self._ssh = ["ssh", *options.options()]
        for option in (
            "BatchMode=yes",  # never asks: a pipeline has nobody to answer
            "StrictHostKeyChecking=yes",
            "ConnectTimeout=15",
            "ServerAliveInterval=15",
            "ControlMaster=auto",
            f"ControlPath={self._sockets}/%C",
            "ControlPersist=120",
            "LogLevel=ERROR",
        ):
            self._ssh += ["-o", option]
        try:
            super().__init__(options.workdir)
        except BaseException:
            self.close()
            raise

    def wrapped(self, command: str) -> list[str]:
        return [*self._ssh, self._options.host, "--", command]

    def send(self, file: Path, there: str) -> None:
        argv = self.wrapped(f"cat > {shlex.quote(there)}")
        with file.open("rb") as stream:
            done = subprocess.run(argv, stdin=stream, stderr=subprocess.PIPE, text=True)
        if done.returncode:
            ended = EndedError(f"a copy ended with status {done.returncode}", done.stderr.strip())
            ended.status = done.returncode
            raise self.failure(ended)

    def failure(self, error: EndedError) -> EdgekdError:
        if error.status != 255:
            return error
        host, user, port = self._options.host, self._options.user, self._options.port
        target = f"{user}@{host}" if user else host
        words = {
            "host": shlex.quote(host),
            "key_name": shlex.quote(f"[{host}]:{port}" if port else host),
            "login": f"ssh {f'-p {port} ' if port else ''}{shlex.quote(target)}",
            "copy": f"{f'-p {port} ' if port else ''}{shlex.quote(target)}",
            "told": error.hint,
        }
        for pattern, problem, hint in _FAULTS:
            if re.search(pattern, error.hint):
                return EdgekdError(problem.format(**words), hint.format(**words))
        told = error.hint or "ssh said nothing: the command there was killed, or the connection ended."
        return EdgekdError(f"{error.problem} over ssh to {host}", told)

    def close(self) -> None:
        if self._sockets.is_dir() and any(self._sockets.iterdir()):
            subprocess.run([*self._ssh, "-O", "exit", self._options.host], capture_output=True)
        self._kept.close()


def _home(path: str) -> str:
    return str(expanded(path)) if path else ""
