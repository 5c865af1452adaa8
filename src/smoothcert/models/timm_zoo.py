"""``timm:NAME``: an image classifier of timm behind the normalization of its pretrained configuration."""

from __future__ import annotations

from typing import Any

from torch import nn

from smoothcert.models.extras import import_extra
from smoothcert.models.loaded import LoadedModel
from smoothcert.models.normalize import normalized
from smoothcert.models.pretrained import build_for, fetch
from smoothcert.models.weights import Weights, state_dict_sha256


def load(target: str, *, name: str, weights: Weights | None) -> LoadedModel:
    """Load timm's pretrained weights, downloaded on first use, or those in a file.

    The recommended sizes and filter are those of timm's evaluation. Where that squashes or pads an image that is not
    square (``crop_mode`` other than ``"center"``), its centre is cropped instead.

    Raises:
        ModelError: timm has no such model, its weights cannot be fetched, or the file does not fit.
        MissingDependencyError: timm is absent.
    """
    timm = import_extra("timm", name=name)

    def build(num_classes: int) -> nn.Module:
        network: nn.Module = timm.create_model(target, pretrained=False, num_classes=num_classes)
        return network

    if weights is None:
        network = fetch(lambda: timm.create_model(target, pretrained=True), name=name)
    else:
        network, _ = build_for(weights, build, default=1000, name=name)
    config = timm.data.resolve_model_data_config(network)
    channels, height, width = config["input_size"]
    module = normalized(network, config["mean"], config["std"])
    return LoadedModel(
        module=module,
        name=name,
        num_classes=network.num_classes,
        class_names=_class_names(timm, network),
        input_size=(channels, height, width),
        resize=int(min(height, width) / config["crop_pct"]),
        interpolation=config["interpolation"],
        weights_hash=weights.sha256 if weights else state_dict_sha256(module),
        metadata=weights.metadata if weights else {},
    )


def _class_names(timm: Any, network: Any) -> tuple[str, ...] | None:
    if network.num_classes != network.pretrained_cfg.get("num_classes"):
        return None  # the head was replaced, and with it the classes
    subset = timm.data.infer_imagenet_subset(network)
    return tuple(timm.data.ImageNetInfo(subset).label_descriptions()) if subset else None
