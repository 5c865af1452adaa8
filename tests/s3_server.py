"""An S3 server for tests, in a process of its own: moto's, with what it holds on disk, so that it can be killed.

``python s3_server.py PORT FOLDER`` serves until it is killed. What a request changed is on disk before it is answered.
Whoever signs as ``reader`` may only read. ``/-/requests`` gives what was asked since it was last read.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import quote, unquote

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.s3.models import S3Backend, s3_backends
from werkzeug.serving import WSGIRequestHandler, make_server

CHANGES = ("PUT", "POST", "DELETE")
DENIED = b"<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"


def backend() -> S3Backend:
    return s3_backends["123456789012"]["aws"]


class Kept:
    """The application, with every bucket kept in a folder: one file per object."""

    def __init__(self, application: Any, folder: Path) -> None:
        self._application = application
        self._folder = folder
        self._asked: list[str] = []
        self._keeping = Lock()
        self._there: dict[str, set[str]] = {}
        for bucket in folder.iterdir():
            backend().create_bucket(bucket.name, "us-east-1")
            self._there[bucket.name] = {unquote(file.name) for file in bucket.iterdir()}
            for key in self._there[bucket.name]:
                backend().put_object(bucket.name, key, (bucket / quote(key, safe="")).read_bytes())

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        if path == "/-/requests":
            asked, self._asked = self._asked, []
            start("200 OK", [("Content-Type", "application/json")])
            return [json.dumps(asked).encode()]
        self._asked.append(f"{method} {path}")
        if method in CHANGES and "Credential=reader/" in environ.get("HTTP_AUTHORIZATION", ""):
            start("403 Forbidden", [("Content-Type", "application/xml")])
            return [DENIED]
        held: list[Any] = []
        answer = list(self._application(environ, lambda *given: held.extend(given)))
        if method in CHANGES:
            with self._keeping:
                self._keep(path)
        start(*held[:2])
        return answer

    def _keep(self, path: str) -> None:
        _, _, named = path.lstrip("/").partition("/")
        for name, bucket in backend().buckets.items():
            folder = self._folder / name
            folder.mkdir(exist_ok=True)
            keys = set(bucket.keys.keys())
            for gone in self._there.setdefault(name, set()) - keys:
                (folder / quote(gone, safe="")).unlink(missing_ok=True)
            for key in (keys - self._there[name]) | ({named} & keys):
                (folder / quote(key, safe="")).write_bytes(backend().get_object(name, key).value)
            self._there[name] = keys


class Quiet(WSGIRequestHandler):
    def log(self, *_: Any) -> None:
        """Say nothing."""


def main() -> None:
    port, folder = int(sys.argv[1]), Path(sys.argv[2])
    application = DomainDispatcherApplication(create_backend_app)
    server = make_server("127.0.0.1", port, Kept(application, folder), threaded=True, request_handler=Quiet)
    print(json.dumps({"port": server.port}), flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
