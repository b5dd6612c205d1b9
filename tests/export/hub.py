"""A server that stands in for the Hub: what huggingface_hub asks of it in order to make a dataset and a commit.

Large files come as LFS objects, or by hf_xet into a store of its own that is a folder; the server knows those by hash.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

TOKEN = "hf_a-token-that-nobody-may-see"
#: What the Hub puts into a new repository.
ATTRIBUTES = {".gitattributes": b"*.png filter=lfs\n*.tar filter=lfs\n*.parquet filter=lfs\n"}
_LARGE = (".png", ".tar", ".parquet")


@dataclass(slots=True)
class Repository:
    """A dataset: its commits, each with all files, and whether others see it."""

    private: bool
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)

    def commit(self, branch: str, files: dict[str, bytes]) -> str:
        oid = hashlib.sha1(f"{branch} {len(self.commits)}".encode()).hexdigest()
        self.commits[oid] = dict(files)
        self.branches[branch] = oid
        return oid

    def files(self, revision: str = "main") -> dict[str, bytes] | None:
        return self.commits.get(self.branches.get(revision, revision))


@dataclass(slots=True)
class Asked:
    """One call of the server."""

    method: str
    path: str
    body: bytes
    headers: dict[str, str]


class Hub:
    """The server's memory. Tests look at it, and may have calls answered otherwise.

    Args:
        store: the folder that hf_xet puts large files into, where that is wanted.
    """

    def __init__(self, store: Path | None = None) -> None:
        self.url = ""
        self.store = store
        self.repositories: dict[str, Repository] = {}
        self.objects: dict[str, bytes] = {}  #: large files by their hash
        self.asked: list[Asked] = []
        #: Status and body for a call that is not to be answered as usual; None for one that is.
        self.interfere: Callable[[Asked], tuple[int, str] | None] = lambda _: None
        self._lock = threading.Lock()

    def made(self, name: str, files: dict[str, bytes] | None = None) -> Repository:
        """Make a repository as one is made on the site."""
        repository = self.repositories[name] = Repository(private=False)
        repository.commit("main", ATTRIBUTES | (files or {}))
        return repository

    def sent(self) -> list[str]:
        """Hashes of the large files that were sent, as often as they were."""
        return [_hash_in(asked.path) for asked in self.asked if asked.method == "PUT"]

    def answer(self, asked: Asked) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body."""
        with self._lock:
            self.asked.append(asked)
        if (other := self.interfere(asked)) is not None:
            return other[0], {}, other[1].encode()
        if asked.method == "PUT":  # to the object store, which knows no token: its link is signed
            if hashlib.sha256(asked.body).hexdigest() != _hash_in(asked.path):  # who sent it was killed
                return 400, {}, b""
            self.objects[_hash_in(asked.path)] = asked.body
            return 200, {}, b""
        if asked.headers.get("authorization") != f"Bearer {TOKEN}":
            return _failed(401, "", "Invalid credentials in Authorization header")
        with self._lock:
            return self._answer(asked.method, unquote(urlsplit(asked.path).path), asked)

    def _answer(self, method: str, path: str, asked: Asked) -> tuple[int, dict[str, str], bytes]:
        match path.strip("/").split("/"):
            case ["api", "repos", "create"]:
                told = json.loads(asked.body)
                name = f"{told['organization']}/{told['name']}"
                self.made(name).private = told["visibility"] == "private"
                return _told({"url": f"{self.url}/datasets/{name}", "id": name})
            case ["api", "validate-yaml"]:
                return _told({"errors": [], "warnings": []})
            case ["datasets", _, _, "info", "lfs", "objects", "batch"]:
                return _told({"objects": [self._upload(one) for one in json.loads(asked.body)["objects"]]})
            case ["datasets", owner, name, "resolve", revision, *parts]:
                return self._file(f"{owner}/{name}", revision, "/".join(parts))
            case ["api", "datasets", owner, name, *rest]:
                repository = self.repositories.get(f"{owner}/{name}")
                if repository is None:
                    return _failed(404, "RepoNotFound", "Repository not found")
                return self._of(repository, f"{owner}/{name}", rest, asked)
        return _failed(501, "", f"{method} {path} is not what a commit needs")

    def _file(self, name: str, revision: str, path: str) -> tuple[int, dict[str, str], bytes]:
        repository = self.repositories[name]
        files = repository.files(revision) or {}
        if path not in files:
            return _failed(404, "EntryNotFound", "Entry not found")
        commit = repository.branches.get(revision, revision)
        return 200, {"etag": f'"{hashlib.sha256(files[path]).hexdigest()}"', "x-repo-commit": commit}, files[path]

    def _upload(self, wanted: dict[str, Any]) -> dict[str, Any]:
        """What is to be done with a large file: nothing, if it is there."""
        if wanted["oid"] in self.objects:
            return wanted
        return wanted | {"actions": {"upload": {"href": f"{self.url}/store/{wanted['oid']}?signature=secret"}}}

    def _of(
        self, repository: Repository, name: str, rest: list[str], asked: Asked
    ) -> tuple[int, dict[str, str], bytes]:
        what, revision, *path = rest or ["revision", "main"]
        files = repository.files(revision)
        if files is None:
            return _failed(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        match what:
            case "revision":
                head = repository.branches.get(revision, revision)
                return _told({"id": name, "sha": head, "private": repository.private, "siblings": [], "tags": []})
            case "preupload":
                told = [one["path"] for one in json.loads(asked.body)["files"]]
                modes = ({"path": one, "uploadMode": _mode(one), "shouldIgnore": False} for one in told)
                return _told({"files": list(modes)})
            case "tree":
                deep = "recursive=true" in asked.path.lower()
                return _told([_entry(one, files.get(one)) for one in _under("/".join(path), files, deep=deep)])
            case "paths-info":
                wanted = parse_qs(asked.body.decode()).get("paths") or json.loads(asked.body)["paths"]
                return _told([_entry(one, files.get(one)) for one in wanted if one in files or _under(one, files)])
            case "xet-write-token":
                return _told({"accessToken": "a", "exp": 2**40, "casUrl": f"local://{self.store}"})
            case "commit":
                return self._commit(repository, revision, asked.body)
        return _failed(501, "", f"{what} is not what a commit needs")

    def _commit(self, repository: Repository, branch: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        files = dict(repository.files(branch) or {})
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            match line["key"]:
                case "header" if value["parentCommit"] != repository.branches[branch]:
                    return _failed(412, "", "A commit has happened since. Please refresh and try again.")
                case "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                case "lfsFile":
                    files[value["path"]] = self.objects[value["oid"]] if self.store is None else pointer(value["oid"])
        oid = repository.commit(branch, files)
        return _told({"commitUrl": f"{self.url}/datasets/a/b/commit/{oid}", "commitOid": oid})


@contextlib.contextmanager
def serving(store: Path | None = None) -> Iterator[Hub]:
    """A Hub on a free port of this machine."""
    hub = Hub(store)

    class Answers(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, more, told = hub.answer(Asked(self.command, self.path, body, headers))
            self.send_response(status)
            for name, value in (more | {"content-length": str(len(told))}).items():
                self.send_header(name, value)
            self.end_headers()
            with contextlib.suppress(OSError):  # who asked may be gone
                self.wfile.write(b"" if self.command == "HEAD" else told)

        do_GET = do_HEAD = do_POST = do_PUT = _answer

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        hub.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), name="hub")
        thread.start()
        try:
            yield hub
        finally:
            server.shutdown()
            thread.join()


def pointer(oid: str) -> bytes:
    """What stands for a file whose bytes are in the store of hf_xet."""
    return f"sha256:{oid}".encode()


def _hash_in(link: str) -> str:
    return urlsplit(link).path.rpartition("/")[2]


def _mode(path: str) -> str:
    return "lfs" if path.endswith(_LARGE) else "regular"


def _under(folder: str, files: dict[str, bytes], *, deep: bool = True) -> list[str]:
    """Files and folders in a folder, or anywhere below it."""
    start = f"{folder}/" if folder else ""
    below = [name.removeprefix(start).split("/") for name in files if name.startswith(start)]
    ends = {"/".join(parts[:n]) for parts in below for n in range(1, (len(parts) if deep else 1) + 1)}
    return sorted(start + end for end in ends)


def _entry(path: str, content: bytes | None) -> dict[str, Any]:
    if content is None:
        return {"type": "directory", "path": path, "oid": "0" * 40, "size": 0}
    oid = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    entry = {"type": "file", "path": path, "oid": oid, "size": len(content)}
    if _mode(path) == "regular":
        return entry
    sha256 = hashlib.sha256(content).hexdigest()
    return entry | {"oid": "1" * 40, "lfs": {"oid": sha256, "size": len(content), "pointerSize": 130}}


def _told(answer: object) -> tuple[int, dict[str, str], bytes]:
    return 200, {"content-type": "application/json"}, json.dumps(answer).encode()


def _failed(status: int, code: str, message: str) -> tuple[int, dict[str, str], bytes]:
    headers = {"x-error-code": code, "x-error-message": message} if code else {"x-error-message": message}
    return status, headers | {"content-type": "application/json"}, json.dumps({"error": message}).encode()
