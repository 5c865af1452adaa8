"""Everything smoothcert raises on purpose: one tree, so that one ``except`` catches it."""

from __future__ import annotations


class SmoothcertError(ValueError):
    """Base of every error raised on purpose. Its message is one sentence a user can act on."""


class InvalidArgumentError(SmoothcertError):
    """An argument is outside its domain; the message names it, what was expected and what came."""


class ModelError(SmoothcertError):
    """A base classifier cannot be loaded, or returned something that is not class scores."""


class DataError(SmoothcertError):
    """A data set or one of its inputs cannot be used; the message names which."""


class RunError(SmoothcertError):
    """A run folder cannot be written, resumed or read."""


class MissingDependencyError(SmoothcertError, ImportError):
    """An optional package is needed; the message says which extra installs it."""
