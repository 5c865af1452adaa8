"""``hf:REPO_OR_FOLDER``: an image classifier of transformers behind the pixels its own image processor makes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from smoothcert.errors import ModelError
from smoothcert.extras import import_optional, is_repository
from smoothcert.models.adapt import Classifier, ClassScores
from smoothcert.models.guard import reason
from smoothcert.models.identity import package_versions
from smoothcert.models.loaded import LoadedModel
from smoothcert.models.normalize import Normalize
from smoothcert.models.weights import Weights, load_weights, state_dict_sha256
from smoothcert.models.zoos import fetch

_CONVNEXT_WHOLE = 384
_LEVIT = 256 / 224  # in the code of its processor only
_LARGEST = 4096  # side of an image a processor may ask for
_ROUNDING = 1.5 / 255  # its resampling works on whole numbers, so that pixels may differ by one level
_COLOURS = ((0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255), (200, 100, 50))


class OfPixels(nn.Module):
    """An image classifier of transformers, called with ``pixel_values``."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Any:
        """Return what the network returns, for pixels as its processor makes them."""
        return self.network(pixel_values=x)


class Flip(nn.Module):
    """Reorders the channels: some networks want blue first."""

    def __init__(self, order: Sequence[int]) -> None:
        super().__init__()
        self.order = list(order)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` with its channels in that order."""
        return x[:, self.order]


class Pixels(NamedTuple):
    """How a processor maps a pixel in ``[0, 1]``: the channel each of its own is read from, then a scale each."""

    order: tuple[int, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def stages(self) -> list[nn.Module]:
        """The modules that do the same."""
        flip = [] if self.order == tuple(range(len(self.order))) else [Flip(self.order)]
        return [Normalize(self.mean, self.std) if not flip else nn.Sequential(*flip, Normalize(self.mean, self.std))]


def load(target: str, *, name: str, weights: Weights | None) -> LoadedModel:
    """Load a repository of the hub, downloaded on first use, or a folder; code in a repository is never run.

    What its image processor does to pixels is measured, not read from its settings, and one image is compared. The
    recommended sizes and filter are those of the processor. Where that squashes an image that is not square, the centre
    is cropped instead.

    Raises:
        ModelError: It cannot be fetched, is no image classifier, lacks weights, has a processor whose images cannot be
            made here, or the weights file does not fit.
        MissingDependencyError: transformers is absent.
    """
    folder = Path(target).expanduser()
    if not folder.is_dir() and not is_repository(target):
        raise ModelError(f"model {name!r}: there is no folder {target}")
    transformers = import_optional("transformers", what=f"model {name!r}", extra="transformers")
    place = str(folder) if folder.is_dir() else target
    options: dict[str, Any] = {"trust_remote_code": False, "local_files_only": place != target or Path(place).is_dir()}
    auto = transformers.AutoModelForImageClassification
    config = fetch(lambda: transformers.AutoConfig.from_pretrained(place, **options), name=name)
    if Path(place).is_dir():
        _require_plausible(auto, config, Path(place), name, weights)
    if weights is None:
        with _quiet(transformers):
            network, report = fetch(
                lambda: auto.from_pretrained(place, config=config, output_loading_info=True, **options), name=name
            )
        if absent := sorted(report.get("missing_keys", ())):
            some = ", ".join(absent[:3]) + (f" and {len(absent) - 3} more" if len(absent) > 3 else "")
            raise ModelError(f"model {name!r} has no weights for {some}: it was not trained as an image classifier")
    else:
        network = fetch(lambda: auto.from_config(config, trust_remote_code=False), name=name)
        load_weights(network, weights)
    dtype = next((p.dtype for p in network.parameters() if p.is_floating_point()), torch.float32)
    outputs = _outputs(network.config, name)
    notes: tuple[str, ...] = ()
    if dtype != torch.float32:
        notes += (f"{name} was stored in {str(dtype)[6:]} and runs in float32",)
    if outputs == "labels":
        notes += (f"{name} has a multi-label head: its scores are sigmoids, and several labels may hold at once",)
    with _quiet(transformers):
        processor = fetch(lambda: transformers.AutoImageProcessor.from_pretrained(place, **options), name=name)
    input_size, resize, interpolation = _sizes(processor, name)
    pixels = _measured(processor, input_size, name)
    _compare(processor, pixels, input_size, resize, name)
    network = network.float().eval()
    labels = network.config.id2label
    return LoadedModel(
        module=Classifier(*pixels.stages(), OfPixels(network), ClassScores(), name=f"model {name!r}").eval(),
        name=name,
        num_classes=network.config.num_labels,
        class_names=tuple(str(labels[number]) for number in sorted(labels)),
        input_size=input_size,
        resize=resize,
        interpolation=interpolation,
        outputs=outputs,
        weights_hash=weights.sha256 if weights else state_dict_sha256(network),
        identity=_identity(network, pixels),
        metadata=weights.metadata if weights else {},
        notes=notes,
    )


@contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """No bars and no advice of the library's own; what matters of it is an error or a note here."""
    log = transformers.utils.logging
    level, bars = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity_error()
    log.disable_progress_bar()
    try:
        yield
    finally:
        log.set_verbosity(level)
        if bars:
            log.enable_progress_bar()


def _outputs(config: Any, name: str) -> str | None:
    """What the head returns, as far as the checkpoint says."""
    problem = getattr(config, "problem_type", None)
    if problem == "regression":
        raise ModelError(f"model {name!r} predicts numbers, not classes (problem_type regression)")
    return "labels" if problem == "multi_label_classification" else None


def _identity(network: Any, pixels: Pixels) -> dict[str, str]:
    settings = network.config.to_json_string(use_diff=False) if hasattr(network.config, "to_json_string") else ""
    return {
        "class": f"{type(network).__module__}.{type(network).__qualname__}",
        "config": hashlib.sha256(settings.encode()).hexdigest(),
        "pixels": f"channels {pixels.order}, mean {pixels.mean}, std {pixels.std}",
        **package_versions("transformers", *(["timm"] if "timm" in type(network).__module__ else [])),
    }


def _require_plausible(auto: Any, config: Any, folder: Path, name: str, weights: Weights | None) -> None:
    """Refuse a folder whose settings ask for far more parameters than its files hold, before memory is asked for."""
    held = sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
    held += weights.path.stat().st_size if weights is not None else 0
    try:
        with torch.device("meta"):
            network = auto.from_config(config, trust_remote_code=False)
    except Exception:  # some look at the values they draw; loading says what is wrong
        return
    asked = sum(parameter.numel() for parameter in network.parameters())
    if asked > 8 * held + (1 << 20):  # files of four-bit weights hold two parameters a byte
        raise ModelError(
            f"model {name!r} is refused: its settings ask for {asked:,} parameters, its files hold {held:,} bytes"
        )


def _processed(processor: Any, image: Image.Image, name: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    """What the processor makes of an image, shape ``(C, H, W)``."""
    try:
        made = processor(image, return_tensors="pt")["pixel_values"]
    except Exception as error:  # the library's own kinds
        raise ModelError(f"the image processor of model {name!r} failed on an image: {reason(error)}") from error
    images: np.ndarray[Any, np.dtype[np.float64]] = np.asarray(made, dtype=np.float64)
    if images.ndim != 4 or len(images) != 1:
        raise ModelError(
            f"the image processor of model {name!r} must make one image of an image; it made shape {images.shape}"
        )
    return np.asarray(images[0])


def _measured(processor: Any, input_size: tuple[int, ...], name: str) -> Pixels:
    """What the processor does to pixels, from what it makes of images of one colour.

    Raises:
        ModelError: It mixes channels, depends on the place, or maps no value to another.
    """
    height, width = input_size[1:]
    made = [
        _processed(processor, Image.new("RGB", (width, height), colour), name).reshape(input_size[0], -1)
        for colour in _COLOURS
    ]
    if max(float(np.ptp(one, axis=1).max()) for one in made) > 1e-4:
        raise ModelError(f"the image processor of model {name!r} makes no plain image of one colour (does it pad?)")
    black, *others = (one.mean(axis=1) for one in made)
    slopes = np.stack(others[:3], axis=1) - black[:, None]  # of channel by colour
    order = tuple(int(index) for index in np.abs(slopes).argmax(axis=1))
    slope = slopes[np.arange(len(order)), order]
    mixed = np.abs(slopes).sum(axis=1) - np.abs(slope)
    if np.any(slope <= 1e-6) or np.any(mixed > 1e-4 * slope):
        raise ModelError(f"the image processor of model {name!r} mixes the channels, which cannot be done here")
    std = 1.0 / slope
    mean = -black * std
    fourth = (np.array(_COLOURS[4])[list(order)] / 255 - mean) / std
    if float(np.abs(fourth - others[3]).max() * std.max()) > 1e-3:
        raise ModelError(f"the image processor of model {name!r} does not scale pixels linearly")
    # Settings have few digits, and what was measured went through float32.
    return Pixels(order, tuple(float(f"{v:.5f}") for v in mean), tuple(float(f"{v:.5f}") for v in std))


def _compare(processor: Any, pixels: Pixels, input_size: tuple[int, ...], resize: int | None, name: str) -> None:
    """Compare one image that needs no scaling, pixel by pixel, with its centre behind our stages.

    Raises:
        ModelError: They differ by more than rounding.
    """
    height, width = input_size[1:]
    tall, wide = (resize, resize) if resize is not None else (height, width)
    if tall < height or wide < width:
        tall, wide = height, width
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (tall, wide, 3), dtype=np.uint8)
    theirs = _processed(processor, Image.fromarray(image), name)
    mean, std = (np.array(values)[:, None, None] for values in (pixels.mean, pixels.std))

    def differs(top: int, left: int) -> bool:
        cropped = image[top : top + height, left : left + width].transpose(2, 0, 1) / 255
        ours = (cropped[list(pixels.order)] - mean) / std
        return theirs.shape != ours.shape or float((np.abs(theirs - ours) * std).max()) > _ROUNDING

    tops, lefts = ({(spare) // 2, (spare + 1) // 2} for spare in (tall - height, wide - width))  # libraries round half
    if all(differs(top, left) for top in tops for left in lefts):
        raise ModelError(
            f"the images that the processor of model {name!r} makes cannot be made here: of an image of {tall}x{wide} "
            f"it does not take the centre of {height}x{width}"
        )


def _sizes(processor: Any, name: str) -> tuple[tuple[int, ...], int | None, str | None]:
    """Shape of the images the processor makes, the shorter side before the crop, and the filter it scales with."""
    settings = processor.to_dict()
    timm = getattr(processor, "data_config", None)
    if isinstance(timm, dict):  # timm's own folders
        height, width = timm["input_size"][1:]
        resize: int | None
        filtered: str | None
        resize, filtered = int(min(height, width) / timm["crop_pct"]), timm["interpolation"]
    else:
        (height, width), resize, filtered = _recommended(settings)
    # Without any size it keeps that of the image: then a small one shows what it does.
    sides = [side for side in (height, width, resize) if side is not None]
    if any(not isinstance(side, int) or not 0 < side <= _LARGEST for side in sides):
        raise ModelError(f"the image processor of model {name!r} asks for sizes {sides}; up to {_LARGEST} is allowed")
    probe = Image.new("RGB", (width or 64, height or 64))
    shape = _processed(processor, probe, name).shape
    return tuple(int(side) for side in shape), resize, filtered


def _recommended(settings: dict[str, Any]) -> tuple[tuple[int | None, int | None], int | None, str | None]:
    """Height and width after the crop, the shorter side before it, and the filter, as far as the settings say."""
    size, crop = settings.get("size") or {}, settings.get("crop_size") or {}
    size = {"height": size, "width": size} if isinstance(size, int) else size
    crop = {"height": crop, "width": crop} if isinstance(crop, int) else crop
    filtered = _filter(settings)
    shorter, height, width = size.get("shortest_edge"), size.get("height"), size.get("width")
    if settings.get("do_center_crop") and crop.get("height"):
        before = (_enlarged(shorter, settings) if shorter else height) if settings.get("do_resize", True) else None
        return (crop["height"], crop["width"]), before, filtered
    if shorter:  # ConvNeXt's processor crops what it enlarged, and from 384 on does neither
        whole = shorter >= _CONVNEXT_WHOLE
        return (shorter, shorter), shorter if whole else _enlarged(shorter, settings), filtered
    return ((height, width) if height and width else (None, None)), None, filtered


def _enlarged(shorter: int, settings: dict[str, Any]) -> int:
    """The shorter side an image is scaled to, where the processor takes its size for the crop's."""
    if str(settings.get("image_processor_type")).startswith("Levit"):
        return int(shorter * _LEVIT)
    return int(shorter / (settings.get("crop_pct") or 1))


def _filter(settings: dict[str, Any]) -> str | None:
    """Name of the filter an image is scaled with, which the processor gives as Pillow's number."""
    number = settings.get("resample")
    return None if number is None else Image.Resampling(int(number)).name.lower()
