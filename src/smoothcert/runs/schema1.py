"""Configurations of the first layout of a run folder, read as those of the present one.

Nothing is lost: what the first layout left to be understood (score and margin were counted, noise was rounded to
float32) is said. Such a run is read as before but not continued, since its noise is no longer drawn.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from smoothcert.errors import InvalidArgumentError
from smoothcert.spec import RunSpec

_INFORMATION = ("data", "split", "class_names", "weights", "inputs", "notes", "versions", "created")
_UNLESS_NONE = ("interpolation", "question", "backend")  # later fields, which earlier runs lack
_OF_DATA = ("limit", "stride", "split", "image_size", "resize", "interpolation")
_OF_SAMPLING = ("sigma", "n0", "alpha", "seed")
_KEPT = (
    *("kind", "model", "weights_hash", "data", "data_fingerprint", "num_classes", "device"),
    *("inputs", "class_names", "notes", "versions", "created", "schema"),
)
_REQUIRED = ("model", "data", "sigma", "n0", "n", "alpha", "num_classes")
_FIELDS = {*_KEPT, *_OF_DATA, *_OF_SAMPLING, "n", "question", "levels", "precision", "backend", "outputs", "weights"}
_DEFAULTS = {
    "kind": "sampled",
    "stride": 1,
    "seed": 0,
    "levels": 10_000,
    "precision": "float32",
    "outputs": "logits",
    "device": "cpu",
}


def fingerprint(values: dict[str, Any]) -> str:
    """The fingerprint that the first layout gave these fields."""
    defining = {name: values.get(name, _DEFAULTS.get(name)) for name in _FIELDS if name not in _INFORMATION}
    defining = {name: value for name, value in defining.items() if value is not None or name not in _UNLESS_NONE}
    return hashlib.sha256(json.dumps(defining, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def migrated(values: dict[str, Any]) -> dict[str, Any]:
    """Fields of the present layout.

    Raises:
        InvalidArgumentError: If a field is unknown, missing or outside its domain.
    """
    if unknown := sorted(values.keys() - _FIELDS):
        raise InvalidArgumentError(f"it has fields this smoothcert does not know: {', '.join(unknown)}")
    if missing := [name for name in _REQUIRED if values.get(name) is None]:
        raise InvalidArgumentError(f"it lacks fields: {', '.join(missing)}")
    at = _DEFAULTS | values
    options = {name: at.get(name) for name in (*_OF_DATA, *_OF_SAMPLING)} | {
        "model": at["model"],
        "data": at["data"],
        "weights": at.get("weights"),
        "decide": at.get("question"),
        "n" if at.get("question") is None else "max_n": at["n"],
        "measure": ("score", "margin"),
        "noise": "float",
    }
    if at["kind"] != "imported":  # the others hold no such things
        options |= {name: at[name] for name in ("levels", "precision", "outputs")}
        options |= {"backend": at.get("backend") or "torch", "device": at["device"]}
    return {name: at[name] for name in _KEPT if name in at} | {"spec": RunSpec.of(**options)}
