"""A run as a data set repository of the Hugging Face Hub, through the Hub's own client.

What is pushed is what :mod:`smoothcert.sharing.package` makes. A repository that holds anything else is left alone; one
that holds the same run is brought up to date in a single commit.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from smoothcert.errors import InvalidArgumentError, SmoothcertError
from smoothcert.extras import import_optional
from smoothcert.runs import Run
from smoothcert.runs.store import CONFIG, PARTS
from smoothcert.sharing.package import package

_KIND = "dataset"
_MADE_BY_THE_HUB = {".gitattributes"}
_CLIENTS = {"httpx", "httpx2", "httpcore", "httpcore2", "requests", "urllib3"}
"""Packages whose errors say that the network or the server failed."""


def push_to_hub(run: Run, repo: str, *, private: bool | None = None, **asked: Any) -> str:
    """Push a run with its evidence and a card, and return the address of the repository.

    Args:
        run: A run that sampled its inputs, all of them.
        repo: ``USER/NAME`` or ``NAME``, of a data set; it is made if it is not there.
        private: Whether only its members may see it, where it is made; None for what is usual for its owner.
        asked: ``radii``, ``thresholds``, ``bounds`` and ``alpha`` of the results, as
            :func:`smoothcert.verify.export_run` takes them.

    Raises:
        InvalidArgumentError: If ``repo`` is no name, or holds something else than this run.
        MissingDependencyError: If the Hub's client is not installed.
        SmoothcertError: If the Hub refuses, or cannot be reached.
        RunError: If the run cannot be packed; see :func:`smoothcert.sharing.package.package`.
    """
    hub = import_optional("huggingface_hub", what="push to the Hub", extra="hub")
    name = repo.removeprefix("hf://").removeprefix("datasets/").strip("/")
    api = hub.HfApi()
    if hub.get_token() is None:
        raise SmoothcertError("there is no token for the Hugging Face Hub: run 'hf auth login', or set HF_TOKEN")
    with _one_sentence(name, str(api.endpoint)):
        name, held = _held(api, name)
        if held is not None:
            _require_ours(api, name, held, run)
        files = package(run, repo=name, **asked)
        if held is None:
            api.create_repo(name, repo_type=_KIND, private=private)
        gone = [path for path in held or () if path.startswith(f"{PARTS}/") and path not in files]
        operations = [
            *(hub.CommitOperationAdd(path_in_repo=path, path_or_fileobj=content) for path, content in files.items()),
            *(hub.CommitOperationDelete(path_in_repo=path) for path in gone),
        ]
        api.create_commit(name, operations, commit_message=f"Run {run.config.fingerprint[:12]}", repo_type=_KIND)
    return f"{api.endpoint}/datasets/{name}"


def _held(api: Any, name: str) -> tuple[str, list[str] | None]:
    """The full name of the repository, and the files in it; None if there is no such repository."""
    from huggingface_hub.errors import RepositoryNotFoundError

    if "/" not in name:
        name = f"{api.whoami()['name']}/{name}"
    try:
        return name, list(api.list_repo_files(name, repo_type=_KIND))
    except RepositoryNotFoundError:
        return name, None


def _require_ours(api: Any, name: str, held: list[str], run: Run) -> None:
    """Raise unless the repository is empty or holds this run."""
    if CONFIG not in held:
        if others := sorted(set(held) - _MADE_BY_THE_HUB):
            raise InvalidArgumentError(
                f"the data set {name} is there already and holds no run but {', '.join(others[:3])}: take another name"
            )
        return
    with TemporaryDirectory() as folder:
        text = Path(api.hf_hub_download(name, CONFIG, repo_type=_KIND, local_dir=folder)).read_bytes()
    try:
        fingerprint = json.loads(text)["fingerprint"]
    except (ValueError, KeyError, TypeError, RecursionError):
        fingerprint = None
    if fingerprint != run.config.fingerprint:
        raise InvalidArgumentError(f"the data set {name} holds another run than {run.path}: take another name")


@contextmanager
def _one_sentence(name: str, endpoint: str) -> Iterator[None]:
    """Turn what the client raises into one sentence that says what to do."""
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        yield
    except SmoothcertError:
        raise
    except HFValidationError as error:
        raise InvalidArgumentError(f"--repo must be USER/NAME or NAME; got {name!r}") from error
    except Exception as error:
        cause: BaseException | None = error
        while cause is not None:  # an upload wraps what went wrong
            if isinstance(cause, HfHubHTTPError):
                status = getattr(cause.response, "status_code", None)
                raise SmoothcertError(_refusal(status, name, endpoint) + _said(cause)) from error
            if type(cause).__module__.partition(".")[0] in _CLIENTS or isinstance(cause, ConnectionError):
                why = str(cause) or type(cause).__name__
                raise SmoothcertError(f"the Hub at {endpoint} cannot be reached: {why}") from error
            cause = cause.__cause__
        raise


def _said(error: BaseException) -> str:
    words = " ".join(str(getattr(error, "server_message", None) or "").split())
    return f" ({words[:300]})" if words else ""


def _refusal(status: int | None, name: str, endpoint: str) -> str:
    if status == 401:
        return f"{endpoint} does not accept the token: run 'hf auth login' again, or set HF_TOKEN"
    if status == 403:
        return f"the token may not write the data set {name}: it needs write access there"
    if status in (404, 409):
        return f"{name} is there already as something else than a data set: take another name"
    return f"{endpoint} refused to store the data set {name} with code {status}"
