"""Base classifiers by name: images in ``[0, 1]`` to logits. Importing this folder needs no torch."""

from smoothcert.models.loaded import LoadedModel
from smoothcert.models.names import MODEL_NAMES, code_warning, load_model, resolve_model

__all__ = ["MODEL_NAMES", "LoadedModel", "code_warning", "load_model", "resolve_model"]
