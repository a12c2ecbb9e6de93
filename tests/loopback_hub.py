"""The Hugging Face hub's HTTP interface, served from a folder on the loopback: what its client asks for, and no more.

Layout: FOLDER/models/OWNER/NAME/... and FOLDER/datasets/OWNER/NAME/...; every revision is the one commit, but a full
commit, which is itself. Who has TOKEN may make repositories of OWNER and commit to them; large files go by git's LFS,
not by the hub's own Xet.
"""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import yaml

COMMIT = "0123456789abcdef0123456789abcdef01234567"
_PINNED = re.compile(r"[0-9a-f]{40}")
TOKEN, OWNER = "hf_loopback", "me"
_LARGE = 10_000  # bytes from which a file is sent by LFS
_WRITES = ("/repos/create", "/validate-yaml", "/preupload/main", "/commit/main", "/info/lfs/objects/batch")


class Hub(ThreadingHTTPServer):
    """A hub on a free port of the loopback; `asked` remembers the requests."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder = folder
        self.asked: list[str] = []
        self.private: dict[str, bool] = {}
        self.objects: dict[str, bytes] = {}  # LFS, by sha256

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


@contextmanager
def serve(folder: Path) -> Iterator[Hub]:
    hub = Hub(folder)
    thread = threading.Thread(target=hub.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None: ...

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        self._answer(body=True, posted=self.rfile.read(length))

    def do_PUT(self) -> None:
        """An object of LFS, at the address that the batch gave; it has to be what it is called."""
        content = self.rfile.read(int(self.headers["Content-Length"]))
        oid = self.path.rpartition("/")[2]
        self.server.asked.append(f"{self.command} {self.path}")
        if hashlib.sha256(content).hexdigest() != oid:
            return self._refuse(400, "not the object that was announced")
        self.server.objects[oid] = content
        return self._send(b"", body=True)

    @property
    def _revision(self) -> str:
        parts = unquote(urlparse(self.path).path).split("/")
        return next(filter(_PINNED.fullmatch, parts), COMMIT)

    def _answer(self, body: bool, posted: bytes = b"") -> None:
        path = unquote(urlparse(self.path).path)
        self.server.asked.append(f"{self.command} {path}")
        parts = path.strip("/").split("/")
        if self.command == "POST" and path.endswith(_WRITES):
            return self._write(parts, posted)
        if parts == [""]:
            return self._send(b"hub", body)
        if parts[0] == "api" and len(parts) >= 4:
            return self._api(parts[1], "/".join(parts[2:4]), parts[4:], posted, body)
        kind = "datasets" if parts[0] == "datasets" else "models"
        parts = parts[1:] if kind == "datasets" else parts
        if len(parts) > 4 and parts[2] == "resolve":
            file = self.server.folder / kind / parts[0] / parts[1] / "/".join(parts[4:])
            if file.is_file():
                return self._send(file.read_bytes(), body)
            return self._missing("EntryNotFound")
        return self._missing("RepoNotFound")

    def _api(self, kind: str, repository: str, rest: list[str], posted: bytes, body: bool) -> None:
        folder = self.server.folder / kind / repository
        if not folder.is_dir():
            return self._missing("RepoNotFound")
        files = sorted(file for file in folder.rglob("*") if file.is_file())
        if not rest or rest[0] == "revision":
            siblings = [{"rfilename": file.relative_to(folder).as_posix()} for file in files]
            private = self.server.private.get(repository, False)
            return self._json(
                {"id": repository, "sha": self._revision, "siblings": siblings, "private": private, "tags": []}, body
            )
        if rest[0] == "tree":
            under = folder.joinpath(*rest[2:])
            if not under.is_dir():
                return self._missing("EntryNotFound")
            deep = "recursive=true" in self.path.lower()
            found = list(under.rglob("*") if deep else under.iterdir())
            return self._json([_entry(folder, entry) for entry in sorted(found)], body)
        if rest[0] == "paths-info":
            wanted = json.loads(posted)["paths"] if posted.startswith(b"{") else _form(posted)
            found = [folder / path for path in wanted if (folder / path).exists()]
            return self._json([_entry(folder, entry) for entry in found], body)
        return self._missing("EntryNotFound")

    def _write(self, parts: list[str], posted: bytes) -> None:
        if parts == ["api", "validate-yaml"]:
            found = yaml.safe_load(json.loads(posted)["content"].split("---")[1])
            errors = [] if isinstance(found, dict) else [{"message": "the card's head is no mapping"}]
            return self._json({"errors": errors, "warnings": []}, body=True)
        if (known := self.headers.get("Authorization")) != f"Bearer {TOKEN}":
            return self._refuse(401 if known else 403, "Invalid credentials in Authorization header")
        asked: Any = [json.loads(line) for line in posted.splitlines()]
        if parts == ["api", "repos", "create"]:
            return self._create(asked[0])
        owner, name = parts[2:4] if parts[0] == "api" else (parts[0], parts[1].removesuffix(".git"))
        folder = self.server.folder / "models" / owner / name
        if owner != OWNER:
            return self._refuse(403, "not yours")
        match parts[4] if parts[0] == "api" else "batch":
            case "preupload":
                modes = {True: "lfs", False: "regular"}
                files = [
                    {"path": file["path"], "uploadMode": modes[file["size"] >= _LARGE], "shouldIgnore": False}
                    for file in asked[0]["files"]
                ]
                return self._json({"files": files}, body=True)
            case "batch":
                objects = [
                    {**entry, "actions": {"upload": {"href": f"{self.server.url}/lfs/{entry['oid']}"}}}
                    for entry in asked[0]["objects"]
                ]
                return self._json({"transfer": "basic", "objects": objects}, body=True)
        for line in asked:
            self._commit(folder, line["key"], line["value"])
        url = f"{self.server.url}/{owner}/{name}/commit/{COMMIT}"
        return self._json({"success": True, "commitOid": COMMIT, "commitUrl": url, "hookOutput": ""}, body=True)

    def _create(self, asked: dict[str, Any]) -> None:
        owner = asked.get("organization") or OWNER
        if owner != OWNER:
            return self._refuse(403, f"You don't have the rights to create a model under the namespace {owner}")
        repository = f"{owner}/{asked['name']}"
        folder = self.server.folder / "models" / repository
        url = f"{self.server.url}/{repository}"
        if folder.is_dir():
            return self._refuse(409, "You already created this model repo", url=url)
        folder.mkdir(parents=True)
        self.server.private[repository] = asked.get("private", asked.get("visibility") == "private")
        return self._json({"url": url}, body=True)

    def _commit(self, folder: Path, key: str, value: dict[str, Any]) -> None:
        match key:
            case "file":
                content = base64.b64decode(value["content"])
            case "lfsFile":
                content = self.server.objects[value["oid"]]
            case "deletedFile":
                return (folder / value["path"]).unlink()
            case _:
                return None
        (folder / value["path"]).parent.mkdir(parents=True, exist_ok=True)
        (folder / value["path"]).write_bytes(content)
        return None

    def _refuse(self, status: int, told: str, **more: str) -> None:
        content = json.dumps({"error": told, **more}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("X-Error-Message", told)
        self.end_headers()
        self.wfile.write(content)

    def _json(self, value: Any, body: bool) -> None:
        self._send(json.dumps(value).encode(), body, "application/json")

    def _send(self, content: bytes, body: bool, kind: str = "application/octet-stream") -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{hashlib.sha1(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", self._revision)
        self.end_headers()
        if body:
            self.wfile.write(content)

    def _missing(self, code: str) -> None:
        self.send_response(404)
        self.send_header("X-Error-Code", code)
        self.send_header("X-Repo-Commit", self._revision)
        self.send_header("Content-Length", "0")
        self.end_headers()


def _entry(folder: Path, entry: Path) -> dict[str, Any]:
    path = entry.relative_to(folder).as_posix()
    if entry.is_dir():
        return {"type": "directory", "path": path, "oid": "0" * 40, "size": 0}
    content = entry.read_bytes()
    return {"type": "file", "path": path, "oid": hashlib.sha1(content).hexdigest(), "size": len(content)}


def _form(posted: bytes) -> list[str]:
    from urllib.parse import parse_qs

    return parse_qs(posted.decode()).get("paths", [])
