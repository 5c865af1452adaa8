"""``hf:REPO_OR_FOLDER``: an image classifier of transformers behind its processor's normalization."""

from __future__ import annotations

from typing import Any

from PIL import Image
from torch import Tensor, nn

from smoothcert.errors import ModelError
from smoothcert.models.extras import import_extra
from smoothcert.models.loaded import LoadedModel
from smoothcert.models.normalize import normalized
from smoothcert.models.pretrained import fetch
from smoothcert.models.weights import Weights, fit_weights, state_dict_sha256

_CONVNEXT_WHOLE = 384
_LEVIT = 256 / 224  # in the code of its processor only


class Logits(nn.Module):
    """An image classifier of transformers that returns its logits alone."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits, shape ``(batch, num_classes)``, for normalized images."""
        logits: Tensor = self.network(pixel_values=x).logits
        return logits


def load(target: str, *, name: str, weights: Weights | None) -> LoadedModel:
    """Load a repository of the hub, downloaded on first use, or a folder; code in a repository is never run.

    The recommended sizes and filter are those of its image processor. Where that squashes an image that is not square,
    the centre is cropped instead.

    Raises:
        ModelError: It cannot be fetched, is no image classifier, or the weights file does not fit.
        MissingDependencyError: transformers is absent.
    """
    transformers = import_extra("transformers", name=name)
    auto = transformers.AutoModelForImageClassification
    if weights is None:
        network = fetch(lambda: auto.from_pretrained(target), name=name)
    else:
        network = fetch(lambda: auto.from_config(transformers.AutoConfig.from_pretrained(target)), name=name)
        fit_weights(network, weights.state_dict(), source=f"weights file {weights.path}")
    processor = fetch(lambda: transformers.AutoImageProcessor.from_pretrained(target).to_dict(), name=name)
    mean, std = _normalization(processor, name)
    input_size, resize = _sizes(processor)
    module = normalized(Logits(network), mean, std)
    labels = network.config.id2label
    return LoadedModel(
        module=module,
        name=name,
        num_classes=network.config.num_labels,
        class_names=tuple(labels[number] for number in sorted(labels)),
        input_size=input_size,
        resize=resize,
        interpolation=_filter(processor),
        weights_hash=weights.sha256 if weights else state_dict_sha256(module),
        metadata=weights.metadata if weights else {},
    )


def _normalization(processor: dict[str, Any], name: str) -> tuple[list[float], list[float]]:
    rescale = [processor.get(key) for key in ("do_rescale", "rescale_factor", "rescale_offset")]
    do_rescale, factor, offset = rescale
    if do_rescale is False or offset or (factor is not None and abs(255 * factor - 1) > 1e-6):
        raise ModelError(
            f"model {name!r} must take images scaled by 1/255; its processor has do_rescale, rescale_factor "
            f"and rescale_offset {rescale}"
        )
    if not processor.get("do_normalize", True):
        return [0.0] * 3, [1.0] * 3
    return list(processor["image_mean"]), list(processor["image_std"])


def _sizes(processor: dict[str, Any]) -> tuple[tuple[int, ...] | None, int | None]:
    """Return the input size and the shorter side before the crop, as far as the processor says."""
    size, crop = processor.get("size") or {}, processor.get("crop_size") or {}
    shorter, height, width = size.get("shortest_edge"), size.get("height"), size.get("width")
    if processor.get("do_center_crop") and crop.get("height"):
        return (3, crop["height"], crop["width"]), _enlarged(shorter, processor) if shorter else height
    if shorter:  # ConvNeXt's processor crops what it enlarged, and from 384 on does neither
        return (3, shorter, shorter), shorter if shorter >= _CONVNEXT_WHOLE else _enlarged(shorter, processor)
    return ((3, height, width) if height and width else None), None


def _enlarged(shorter: int, processor: dict[str, Any]) -> int:
    """The shorter side an image is scaled to, where the processor takes its size for the crop's."""
    if str(processor.get("image_processor_type")).startswith("Levit"):
        return int(shorter * _LEVIT)
    return int(shorter / (processor.get("crop_pct") or 1))


def _filter(processor: dict[str, Any]) -> str | None:
    """Name of the filter an image is scaled with, which the processor gives as Pillow's number."""
    number = processor.get("resample")
    return None if number is None else Image.Resampling(int(number)).name.lower()
