"""``sklearn:FILE.skops``: an estimator of scikit-learn from the format that runs no code."""

from __future__ import annotations

import warnings
import zipfile
from pathlib import Path
from typing import Any

from smoothcert.errors import ModelError
from smoothcert.extras import import_optional
from smoothcert.models.adapt import as_module
from smoothcert.models.guard import reason
from smoothcert.models.identity import file_sha256, package_versions
from smoothcert.models.loaded import LoadedModel
from smoothcert.models.weights import Weights

_LARGEST = 100  # times the file's size that its entries may unpack to


def load(target: str, *, name: str, weights: Weights | None) -> LoadedModel:
    """Load an estimator with ``predict_proba`` that ``skops.io.dump`` wrote; its scores are probabilities.

    ``sklearn:forest.skops?trust=sklearn.tree._tree.Tree`` takes types that skops does not know to be safe, separated by
    commas; that is for files of your own.

    Raises:
        ModelError: The file is absent, no skops file, holds types that are not known to be safe, or holds no fitted
            classifier.
        MissingDependencyError: skops is absent.
    """
    path, trusted = _split(target, name)
    if weights is not None:
        raise ModelError(f"model {name!r} holds its own weights; got {weights.path}")
    if not path.is_file():
        raise ModelError(f"file {path} {'is no regular file' if path.exists() else 'does not exist'} (model {name!r})")
    estimator = _read(path, trusted, name)
    if not hasattr(estimator, "predict_proba"):
        raise ModelError(
            f"model {name!r} must have predict_proba; it holds a {type(estimator).__name__}"
            f"{' that was fitted without it' if hasattr(type(estimator), 'predict_proba') else ''}"
        )
    classes = getattr(estimator, "classes_", None)
    if classes is None or getattr(classes, "ndim", 0) != 1:
        raise ModelError(f"model {name!r} must be fitted, to one target; it holds a {type(estimator).__name__}")
    features = getattr(estimator, "n_features_in_", None)
    return LoadedModel(
        module=as_module(estimator, name=f"model {name!r}").eval(),
        name=name,
        num_classes=len(classes),
        class_names=tuple(map(str, classes)),
        input_size=None if features is None else (int(features),),
        outputs="probabilities",
        weights_hash=file_sha256(path),
        identity={"class": f"{type(estimator).__module__}.{type(estimator).__qualname__}"}
        | package_versions("sklearn", "skops"),
    )


def _split(target: str, name: str) -> tuple[Path, list[str]]:
    """The file, and the types to trust behind the question mark."""
    if Path(target).expanduser().exists() or "?" not in target:
        return Path(target).expanduser(), []
    file, _, option = target.rpartition("?")
    key, _, types = option.partition("=")
    if key != "trust" or not types:
        raise ModelError(f"model {name!r} has the unknown option {option!r}; known is trust=TYPE,TYPE")
    return Path(file).expanduser(), types.split(",")


def _read(path: Path, trusted: list[str], name: str) -> Any:
    io = import_optional("skops.io", what=f"model {name!r}", extra="sklearn")
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
        if unpacked > _LARGEST * path.stat().st_size:
            raise ModelError(f"model {name!r} is refused: it unpacks to {unpacked:,} bytes")
        refused = sorted(set(io.get_untrusted_types(file=path)) - set(trusted))
        if refused:
            raise ModelError(
                f"model {name!r} is refused: it holds types that are not known to be safe "
                f"({', '.join(refused)}); if the file is your own: sklearn:{path}?trust={','.join(refused)}"
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # written by another version of scikit-learn
            return io.load(path, trusted=trusted)
    except ModelError:
        raise
    except Exception as error:  # the library's own kinds
        raise ModelError(f"model {name!r} is no skops file: {reason(error)}") from error
