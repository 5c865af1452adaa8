"""Certified confidence for any classifier, by randomized smoothing.

One input or a few: :class:`SmoothedClassifier` samples and returns a :class:`Certificate`, or :class:`Certificates`,
which :class:`Samples` can also be made into later. A data set: :func:`certify_run` samples what a :class:`RunSpec`
describes into a folder, :class:`Run` reads it, and :func:`write_report` makes a page of it::

    spec = RunSpec.of(model="digits", data="digits", limit=20, sigma=0.25, n0=500, n=9_500)
    run = certify_run(spec, out="RUN", progress=True)
    run.to_pandas()
    write_report(run, "report.html")

Models and data are named, as :func:`load_model` and :func:`load_data` take them, or are objects of one's own, given as
``model=`` and ``data=`` to :func:`certify_run`; what is certified beside the class is a :class:`Measure`.

Names are loaded when first used, so that reading a stored run does not import torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from smoothcert._version import __version__

if TYPE_CHECKING:
    from smoothcert._allocator import keep_freed_memory
    from smoothcert.bounds import ScoreCertificate
    from smoothcert.certificate import Certificate, Certificates
    from smoothcert.certify import certify_run
    from smoothcert.data import load_data
    from smoothcert.errors import SmoothcertError
    from smoothcert.histogram import ScoreHistogram
    from smoothcert.models import load_model
    from smoothcert.report import write_report
    from smoothcert.runs import Run
    from smoothcert.samples import Samples
    from smoothcert.scores import Measure
    from smoothcert.smoothing import ABSTAIN, SmoothedClassifier
    from smoothcert.spec import RunSpec
    from smoothcert.training import Recipe, train

_HOME = {
    "ABSTAIN": "smoothing",
    "Certificate": "certificate",
    "Certificates": "certificate",
    "Measure": "scores",
    "Recipe": "training",
    "Run": "runs",
    "RunSpec": "spec",
    "Samples": "samples",
    "ScoreCertificate": "bounds",
    "ScoreHistogram": "histogram",
    "SmoothcertError": "errors",
    "SmoothedClassifier": "smoothing",
    "certify_run": "certify",
    "keep_freed_memory": "_allocator",
    "load_data": "data",
    "load_model": "models",
    "train": "training",
    "write_report": "report",
}

__all__ = [
    "ABSTAIN",
    "Certificate",
    "Certificates",
    "Measure",
    "Recipe",
    "Run",
    "RunSpec",
    "Samples",
    "ScoreCertificate",
    "ScoreHistogram",
    "SmoothcertError",
    "SmoothedClassifier",
    "__version__",
    "certify_run",
    "keep_freed_memory",
    "load_data",
    "load_model",
    "train",
    "write_report",
]


def __getattr__(name: str) -> Any:
    """Import the home of a public name when it is first used."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)
