"""An S3 server for tests, in a process of its own: moto's, with what it holds on disk, so that it can be killed.

``python s3_server.py PORT FOLDER`` serves until it is killed. What a request changed is on disk before it is answered.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.s3.models import S3Backend, s3_backends
from werkzeug.serving import make_server

CHANGES = ("PUT", "POST", "DELETE")


def backend() -> S3Backend:
    return s3_backends["123456789012"]["aws"]


class Kept:
    """The application, with every bucket kept in a folder: one file an object."""

    def __init__(self, application: Any, folder: Path) -> None:
        self._application = application
        self._folder = folder
        self._there: dict[str, set[str]] = {}
        for bucket in folder.iterdir():
            backend().create_bucket(bucket.name, "us-east-1")
            self._there[bucket.name] = {unquote(file.name) for file in bucket.iterdir()}
            for key in self._there[bucket.name]:
                backend().put_object(bucket.name, key, (bucket / quote(key, safe="")).read_bytes())

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        held: list[Any] = []
        answer = list(self._application(environ, lambda *given: held.extend(given)))
        if environ["REQUEST_METHOD"] in CHANGES:
            self._keep(environ["PATH_INFO"])
        start(*held[:2])
        return answer

    def _keep(self, path: str) -> None:
        _, _, named = path.lstrip("/").partition("/")
        for name, bucket in backend().buckets.items():
            folder = self._folder / name
            folder.mkdir(exist_ok=True)
            keys = set(bucket.keys.keys())
            for gone in self._there.setdefault(name, set()) - keys:
                (folder / quote(gone, safe="")).unlink()
            for key in (keys - self._there[name]) | ({named} & keys):
                (folder / quote(key, safe="")).write_bytes(backend().get_object(name, key).value)
            self._there[name] = keys


def main() -> None:
    port, folder = int(sys.argv[1]), Path(sys.argv[2])
    application = DomainDispatcherApplication(create_backend_app)
    server = make_server("127.0.0.1", port, Kept(application, folder), threaded=True)
    print(json.dumps({"port": server.port}), flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
