"""A small Hub on this machine: the endpoints its client uses to make a data set repository, fill it and read it.

It does what the real one does about what is tested: it checks tokens and who may write where, the YAML of a card, that
large files were uploaded before a commit names them and have the hash they are said to have, and it commits all or
nothing. Binary files are large ones, as ``.gitattributes`` of a data set has it. Nothing is stored outside memory.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml

WRITER, READER = "hf_writer", "hf_reader"
USER = "me"
_LARGE = (".parquet", ".safetensors", ".bin")


@dataclass
class Repository:
    private: bool = False
    files: dict[str, bytes] = field(default_factory=lambda: {".gitattributes": b"*.parquet filter=lfs\n"})
    commits: list[str] = field(default_factory=lambda: ["0" * 40])


@dataclass
class Hub:
    """What the server holds.

    Args:
        repositories: By kind and name, such as ``"datasets/me/run"``.
        objects: Large files by their SHA-256.
        requests: What was asked, in order.
        shared_names: Whether a name stands for one kind of repository only.
    """

    repositories: dict[str, Repository] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    shared_names: bool = False
    url: str = ""


class Refusal(Exception):
    def __init__(self, status: int, message: str, code: str = "") -> None:
        self.status, self.message, self.code = status, message, code


@contextmanager
def serve() -> Iterator[Hub]:
    """A Hub that answers at ``hub.url`` until the block ends."""
    hub = Hub()

    class Handler(_Handler):
        state = hub

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    state: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._answer()

    do_HEAD = do_POST = do_PUT = do_GET

    def _answer(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.path_only = unquote(urlsplit(self.path).path)
        self.state.requests.append(f"{self.command} {self.path_only}")
        try:
            for method, pattern, answer in _ROUTES:
                found = re.fullmatch(pattern, self.path_only)
                if found and self.command in method:
                    answer(self, *found.groups())
                    return
            raise Refusal(404, f"there is nothing at {self.path_only}", "EntryNotFound")
        except Refusal as refusal:
            self._send(
                json.dumps({"error": refusal.message}).encode(),
                status=refusal.status,
                headers={"X-Error-Message": refusal.message, "X-Error-Code": refusal.code},
            )

    def _send(self, content: bytes, *, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            if value:
                self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def json(self, value: Any) -> None:
        self._send(json.dumps(value).encode(), headers={"Content-Type": "application/json"})

    def _token(self) -> str:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if token and token not in (WRITER, READER):
            raise Refusal(401, "Invalid credentials in Authorization header")
        return token

    def _may_write(self, name: str) -> None:
        if self._token() != WRITER or name.partition("/")[0] != USER:
            raise Refusal(403, "you may not write there")

    def _repository(self, name: str) -> Repository:
        found = self.state.repositories.get(f"datasets/{name}")
        if found is None or (found.private and not self._token()):
            raise Refusal(404 if self._token() else 401, "Repository not found", "RepoNotFound")
        return found

    # --- what the client asks

    def whoami(self) -> None:
        if not self._token():
            raise Refusal(401, "Invalid credentials in Authorization header")
        self.json({"type": "user", "name": USER, "orgs": []})

    def create(self) -> None:
        asked = json.loads(self.body)
        name = f"{asked.get('organization') or USER}/{asked['name']}"
        self._may_write(name)
        key = f"{asked.get('type', 'model')}s/{name}"
        taken = [other for other in self.state.repositories if other.partition("/")[2] == name]
        if key in taken or (self.state.shared_names and taken):
            raise Refusal(409, "You already created this repo")
        private = asked.get("visibility") == "private" or bool(asked.get("private"))
        self.state.repositories[key] = Repository(private=private)
        self.json({"url": f"{self.state.url}/{key}", "name": name})

    def validate_yaml(self) -> None:
        content = json.loads(self.body)["content"]
        found = re.match(r"---\n(.*?)\n---\n", content, re.DOTALL)
        try:
            head = yaml.safe_load(found[1]) if found else None
        except yaml.YAMLError as error:
            head, problem = None, str(error)
        else:
            problem = "" if isinstance(head, dict) else "empty or missing yaml metadata in repo card"
        if problem or not isinstance(head, dict):
            self._send(json.dumps({"errors": [{"message": problem}], "warnings": []}).encode(), status=400)
        else:
            self.json({"errors": [], "warnings": []})

    def info(self, name: str) -> None:
        repository = self._repository(name)
        self.json({"id": name, "sha": repository.commits[-1], "private": repository.private, "siblings": []})

    def tree(self, name: str, _: str, folder: str | None) -> None:
        repository, start = self._repository(name), f"{folder}/" if folder else ""
        recursive = "recursive=True" in self.path or "recursive=true" in self.path
        listed, folders = [], set()
        for path, content in sorted(repository.files.items()):
            if path.startswith(start):
                inner = path[len(start) :]
                folders |= {start + inner.partition("/")[0]} if "/" in inner else set()
                if recursive or "/" not in inner:
                    listed.append(_entry(path, content))
        if folder and not listed and not folders:
            raise Refusal(404, f"{folder} is not there", "EntryNotFound")
        self.json([*({"type": "directory", "path": one, "oid": "0" * 40} for one in sorted(folders)), *listed])

    def paths_info(self, name: str, _: str) -> None:
        repository, asked = self._repository(name), json.loads(self.body)["paths"]
        found: list[dict[str, Any]] = []
        for path in asked:
            if path in repository.files:
                found.append(_entry(path, repository.files[path]))
            elif any(held.startswith(f"{path}/") for held in repository.files):
                found.append({"type": "directory", "path": path, "oid": "0" * 40})
        self.json(found)

    def preupload(self, name: str, _: str) -> None:
        self._may_write(name)
        self._repository(name)
        modes = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["path"].endswith(_LARGE) else "regular",
                "shouldIgnore": False,
            }
            for file in json.loads(self.body)["files"]
        ]
        self.json({"files": modes})

    def lfs_batch(self, name: str) -> None:
        self._may_write(name)
        objects = []
        for one in json.loads(self.body)["objects"]:
            upload = {"upload": {"href": f"{self.state.url}/lfs/{one['oid']}"}}
            known = one["oid"] in self.state.objects
            objects.append({"oid": one["oid"], "size": one["size"], **({} if known else {"actions": upload})})
        self._send(json.dumps({"objects": objects}).encode(), headers={"Content-Type": "application/vnd.git-lfs+json"})

    def lfs_put(self, oid: str) -> None:
        if hashlib.sha256(self.body).hexdigest() != oid:
            raise Refusal(400, "the content does not have its hash")
        self.state.objects[oid] = self.body
        self._send(b"")

    def commit(self, name: str, _: str) -> None:
        self._may_write(name)
        repository = self._repository(name)
        files = dict(repository.files)
        for line in self.body.splitlines():
            item = json.loads(line)
            value = item["value"]
            if item["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif item["key"] == "lfsFile":
                if value["oid"] not in self.state.objects:
                    raise Refusal(400, f"{value['path']} was not uploaded")
                files[value["path"]] = self.state.objects[value["oid"]]
            elif item["key"] == "deletedFile":
                del files[value["path"]]
        repository.files = files
        repository.commits.append(hashlib.sha1(self.body).hexdigest())
        self.json({"commitUrl": f"{self.state.url}/datasets/{name}/commit/main", "commitOid": repository.commits[-1]})

    def resolve(self, name: str, _: str, path: str) -> None:
        repository = self._repository(name)
        if path not in repository.files:
            raise Refusal(404, f"{path} is not there", "EntryNotFound")
        content, status, part = repository.files[path], 200, {}
        headers = {"ETag": f'"{_git_oid(content)}"', "X-Repo-Commit": repository.commits[-1], "Accept-Ranges": "bytes"}
        if found := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
            start, end = int(found[1]), min(int(found[2] or len(content) - 1), len(content) - 1)
            part = {"Content-Range": f"bytes {start}-{end}/{len(content)}"}
            content, status = content[start : end + 1], 206
        self._send(content, status=status, headers=headers | part)


def _entry(path: str, content: bytes) -> dict[str, Any]:
    found: dict[str, Any] = {"type": "file", "path": path, "size": len(content), "oid": _git_oid(content)}
    if path.endswith(_LARGE):
        sha = hashlib.sha256(content).hexdigest()
        found["lfs"] = {"oid": sha, "sha256": sha, "size": len(content), "pointerSize": 134}
    return found


def _git_oid(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


_NAME, _REVISION = r"([\w.-]+/[\w.-]+)", r"([^/]+)"
_ROUTES = (
    ("GET", r"/api/whoami-v2", _Handler.whoami),
    ("POST", r"/api/repos/create", _Handler.create),
    ("POST", r"/api/validate-yaml", _Handler.validate_yaml),
    ("GET", rf"/api/datasets/{_NAME}(?:/revision/[^/]+)?", _Handler.info),
    ("GET", rf"/api/datasets/{_NAME}/tree/{_REVISION}(?:/(.+))?", _Handler.tree),
    ("POST", rf"/api/datasets/{_NAME}/paths-info/{_REVISION}", _Handler.paths_info),
    ("POST", rf"/api/datasets/{_NAME}/preupload/{_REVISION}", _Handler.preupload),
    ("POST", rf"/datasets/{_NAME}\.git/info/lfs/objects/batch", _Handler.lfs_batch),
    ("PUT", r"/lfs/([0-9a-f]{64})", _Handler.lfs_put),
    ("POST", rf"/api/datasets/{_NAME}/commit/{_REVISION}", _Handler.commit),
    ("GET HEAD", rf"/datasets/{_NAME}/resolve/{_REVISION}/(.+)", _Handler.resolve),
)
