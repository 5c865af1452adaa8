"""``torchvision:NAME``: a classifier of torchvision behind the normalization of its default weights."""

from __future__ import annotations

from torch import nn

from smoothcert.errors import ModelError
from smoothcert.models.extras import import_extra
from smoothcert.models.loaded import LoadedModel
from smoothcert.models.normalize import normalized
from smoothcert.models.pretrained import build_for, fetch
from smoothcert.models.weights import Weights, state_dict_sha256


def load(target: str, *, name: str, weights: Weights | None) -> LoadedModel:
    """Load torchvision's default weights, downloaded on first use, or those in a file.

    Raises:
        ModelError: torchvision has no such classifier, its weights cannot be fetched, or the file does not
            fit.
        MissingDependencyError: torchvision is absent.
    """
    models = import_extra("torchvision", name=name).models
    if target not in models.list_models(module=models):
        raise ModelError(
            f"torchvision has no image classifier {target!r} (model {name!r}); its names are like resnet50"
        )
    default = models.get_model_weights(target).DEFAULT
    categories = tuple(default.meta["categories"])
    transforms = default.transforms()

    def build(num_classes: int) -> nn.Module:
        network: nn.Module = models.get_model(target, weights=None, num_classes=num_classes)
        return network

    if weights is None:
        network = fetch(lambda: models.get_model(target, weights=default), name=name)
        num_classes = len(categories)
    else:
        network, num_classes = build_for(weights, build, default=len(categories), name=name)
    module = normalized(network, transforms.mean, transforms.std)
    return LoadedModel(
        module=module,
        name=name,
        num_classes=num_classes,
        class_names=categories if num_classes == len(categories) else None,
        input_size=(3, transforms.crop_size[0], transforms.crop_size[0]),
        resize=transforms.resize_size[0],
        interpolation=transforms.interpolation.value,
        weights_hash=weights.sha256 if weights else state_dict_sha256(module),
        metadata=weights.metadata if weights else {},
    )
