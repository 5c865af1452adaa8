"""``cohen:DATASET/ARCHITECTURE``: the checkpoints published with Cohen et al. (2019), as they are.

A checkpoint is a dict ``{epoch, arch, state_dict, optimizer}``. The state dict is that of a Sequential of a
normalization layer, whose constants are only in the authors' code, and the network, so its keys begin with
``1.``, or with ``1.module.`` where the network was wrapped for several GPUs.

References:
    https://arxiv.org/abs/1902.02918
"""

from __future__ import annotations

from torch import Tensor, nn

from smoothcert.errors import ModelError
from smoothcert.extras import import_optional
from smoothcert.models.cifar import cifar_resnet, describe_cifar
from smoothcert.models.identity import package_versions
from smoothcert.models.loaded import LoadedModel
from smoothcert.models.normalize import normalized
from smoothcert.models.weights import Weights, fit_weights, strip_prefixes

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

_ARCHITECTURES = {
    "cifar10/resnet20": "cifar_resnet20",
    "cifar10/resnet110": "cifar_resnet110",
    "imagenet/resnet50": "resnet50",
}
_PREFIX = "1."


def load(target: str, *, name: str, weights: Weights | None) -> LoadedModel:
    """Load a published ``checkpoint.pth.tar``; its optimizer is left alone.

    Raises:
        ModelError: The name is unknown, there is no file, or it is not a checkpoint of this architecture;
            the message says what is missing or left over.
        MissingDependencyError: ImageNet's network is torchvision's, and torchvision is absent.
    """
    if target not in _ARCHITECTURES:
        known = ", ".join(f"cohen:{key}" for key in _ARCHITECTURES)
        raise ModelError(f"unknown model {name!r}; the published ones are {known}")
    if weights is None:
        raise ModelError(f"model {name!r} needs its published checkpoint.pth.tar (--weights FILE)")
    state = _network_state(weights, _ARCHITECTURES[target], name)
    source = f"checkpoint {weights.path}"
    if target.startswith("cifar10/"):
        depth = int(target.removeprefix("cifar10/resnet"))
        return describe_cifar(cifar_resnet(depth, state, source=source), name=name, weights=weights)
    models = import_optional("torchvision", what=f"model {name!r}", extra="torchvision").models
    network: nn.Module = models.resnet50(weights=None)
    fit_weights(network, state, source=source)
    return LoadedModel(
        module=normalized(network, IMAGENET_MEAN, IMAGENET_STD, name=f"model {name!r}"),
        name=name,
        num_classes=1000,
        class_names=tuple(models.get_model_weights("resnet50").DEFAULT.meta["categories"]),
        input_size=(3, 224, 224),
        resize=256,
        weights_hash=weights.sha256,
        identity={"class": "resnet50", "normalization": f"mean {IMAGENET_MEAN}, std {IMAGENET_STD}"}
        | package_versions("torchvision"),
    )


def _network_state(weights: Weights, architecture: str, name: str) -> dict[str, Tensor]:
    """Return the network's state dict, after checking that the file is a checkpoint of this architecture."""
    content, file = weights.content, f"checkpoint {weights.path}"
    missing = [entry for entry in ("arch", "state_dict") if entry not in content]
    if missing:
        raise ModelError(
            f"{file} must hold {{epoch, arch, state_dict, optimizer}}; it has no {' and no '.join(missing)}"
        )
    if content["arch"] != architecture:
        raise ModelError(f"{file} must be of {architecture!r} for model {name!r}; it says {content['arch']!r}")
    state = weights.state_dict()
    strangers = [key for key in state if not key.startswith(_PREFIX)]
    if strangers:
        raise ModelError(
            f"keys of {file} must begin with {_PREFIX!r}, the network behind its normalization; "
            f"{len(strangers)} of {len(state)} do not, such as {strangers[0]!r}"
        )
    return strip_prefixes({key.removeprefix(_PREFIX): tensor for key, tensor in state.items()})
