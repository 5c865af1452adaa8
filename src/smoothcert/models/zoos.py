"""``torchvision:NAME`` and ``timm:NAME``: pretrained image classifiers behind the normalization of their training."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from smoothcert.errors import ModelError, SmoothcertError
from smoothcert.extras import import_optional
from smoothcert.models.guard import reason
from smoothcert.models.identity import package_versions
from smoothcert.models.loaded import LoadedModel
from smoothcert.models.normalize import normalized
from smoothcert.models.weights import Weights, fit_weights, require_fitting, state_dict_sha256

T = TypeVar("T")
_WITH_AUXILIARY = ("inception_v3", "googlenet")


def load_torchvision(target: str, *, name: str, weights: Weights | None) -> LoadedModel:
    """Load torchvision's default weights, downloaded on first use, or those in a file.

    Raises:
        ModelError: torchvision has no such classifier, its weights cannot be fetched, or the file does not
            fit.
        MissingDependencyError: torchvision is absent.
    """
    models = import_optional("torchvision", what=f"model {name!r}", extra="torchvision").models
    if target not in models.list_models(module=models):
        raise ModelError(
            f"torchvision has no image classifier {target!r} (model {name!r}); its names are like resnet50"
        )
    default = models.get_model_weights(target).DEFAULT
    categories = tuple(default.meta["categories"])
    transforms = default.transforms()

    notes: tuple[str, ...] = ()
    settled: dict[str, bool] = {}
    if weights is not None and target in _WITH_AUXILIARY:
        settled = {"init_weights": False, "aux_logits": weights.names("aux")}

    def build(num_classes: int) -> nn.Module:
        if target in _WITH_AUXILIARY:  # torchvision sets this for its own weights, and no file tells
            settled["transform_input"] = num_classes == len(categories)
        network: nn.Module = models.get_model(target, weights=None, num_classes=num_classes, **settled)
        return network

    if weights is None:
        network = fetch(lambda: models.get_model(target, weights=default), name=name)
        num_classes = len(categories)
    else:
        if target.startswith("densenet"):
            weights = replace(weights, content=_joined(weights.content))
        network, num_classes = build_for(weights, build, default=len(categories), name=name)
        if target in _WITH_AUXILIARY and num_classes != len(categories):
            notes = (f"{name} was built without transform_input, as for training from scratch",)
    mean, std = list(transforms.mean), list(transforms.std)
    return LoadedModel(
        module=normalized(network, mean, std, name=f"model {name!r}"),
        name=name,
        num_classes=num_classes,
        class_names=categories if num_classes == len(categories) else None,
        input_size=(3, transforms.crop_size[0], transforms.crop_size[0]),
        resize=transforms.resize_size[0],
        interpolation=transforms.interpolation.value,
        weights_hash=weights.sha256 if weights else state_dict_sha256(network),
        identity=_identity(network, mean, std, "torchvision"),
        metadata=weights.metadata if weights else {},
        notes=notes,
    )


def _joined(content: Mapping[Any, Any]) -> dict[Any, Any]:
    """The names of DenseNet's layers as they are today; torchvision's own files have a dot before the number."""
    old = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12]\.)")
    return {old.sub(r"\1\2", key) if isinstance(key, str) else key: value for key, value in content.items()}


def load_timm(target: str, *, name: str, weights: Weights | None) -> LoadedModel:
    """Load timm's pretrained weights, downloaded on first use, or those in a file.

    The recommended sizes and filter are those of timm's evaluation. Where that squashes or pads an image that is not
    square (``crop_mode`` other than ``"center"``), its centre is cropped instead.

    Raises:
        ModelError: timm has no such model, its weights cannot be fetched, or the file does not fit.
        MissingDependencyError: timm is absent.
    """
    timm = import_optional("timm", what=f"model {name!r}", extra="timm")

    def build(num_classes: int) -> nn.Module:
        network: nn.Module = timm.create_model(target, pretrained=False, num_classes=num_classes)
        return network

    if weights is None:
        network = fetch(lambda: timm.create_model(target, pretrained=True), name=name)
    else:
        network, _ = build_for(weights, build, default=1000, name=name)
    config = timm.data.resolve_model_data_config(network)
    channels, height, width = config["input_size"]
    mean, std = list(config["mean"]), list(config["std"])
    return LoadedModel(
        module=normalized(network, mean, std, name=f"model {name!r}"),
        name=name,
        num_classes=network.num_classes,
        class_names=_timm_classes(timm, network),
        input_size=(channels, height, width),
        resize=int(min(height, width) / config["crop_pct"]),
        interpolation=config["interpolation"],
        weights_hash=weights.sha256 if weights else state_dict_sha256(network),
        identity=_identity(network, mean, std, "timm"),
        metadata=weights.metadata if weights else {},
    )


def _identity(network: nn.Module, mean: list[float], std: list[float], package: str) -> Mapping[str, str]:
    kind = type(network)
    return {
        "class": f"{kind.__module__}.{kind.__qualname__}",
        "normalization": f"mean {mean}, std {std}",
        **package_versions(package),
    }


def _timm_classes(timm: Any, network: Any) -> tuple[str, ...] | None:
    if network.num_classes != network.pretrained_cfg.get("num_classes"):
        return None  # the head was replaced, and with it the classes
    subset = timm.data.infer_imagenet_subset(network)
    return tuple(timm.data.ImageNetInfo(subset).label_descriptions()) if subset else None


def fetch(load: Callable[[], T], *, name: str) -> T:
    """Call ``load``, which may download, and turn whatever it raises into one sentence.

    Raises:
        ModelError: The call failed.
    """
    try:
        return load()
    except SmoothcertError:
        raise
    except Exception as error:  # hubs, networks and builders raise many kinds
        said = reason(error).removeprefix(f"{type(error).__name__}: ")
        raise ModelError(
            f"model {name!r} cannot be loaded: {said}; without a network, pass its weights (--weights FILE)"
        ) from error


def build_for(weights: Weights, build: Callable[[int], nn.Module], *, default: int, name: str) -> tuple[nn.Module, int]:
    """Build a network with as many classes as a weights file has, and load the file; return both.

    Memory for a head of the file's size is asked for only after every shape was seen to fit.

    Args:
        weights: The file.
        build: From a number of classes to the network, without weights.
        default: Number of classes where the file does not tell; then fitting says what is wrong with it.
        name: The model's name, for errors.

    Raises:
        ModelError: The network cannot be built, or the file does not fit it.
    """
    two, three = fetch(lambda: (_shapes(build, 2), _shapes(build, 3)), name=name)
    state = weights.state_dict(two)
    head = [key for key in two if two[key].shape != three[key].shape]
    counts = {state[key].shape[0] for key in head if key in state and state[key].shape[1:] == two[key].shape[1:]}
    num_classes = counts.pop() if len(counts) == 1 else default
    source = f"weights file {weights.path}"
    sized = {key: _resized(value, num_classes) if key in head else value for key, value in two.items()}
    require_fitting(sized, state, source=source)
    network = fetch(lambda: build(num_classes), name=name)
    fit_weights(network, state, source=source)
    return network, num_classes


def _resized(tensor: Tensor, rows: int) -> Tensor:
    return torch.empty((rows, *tensor.shape[1:]), dtype=tensor.dtype, device="meta")


def _shapes(build: Callable[[int], nn.Module], num_classes: int) -> dict[str, Tensor]:
    """The state dict of a network without memory for it, where it can be built so."""
    try:
        with torch.device("meta"):
            return build(num_classes).state_dict()
    except (RuntimeError, NotImplementedError):  # some look at the values they draw
        return build(num_classes).state_dict()
