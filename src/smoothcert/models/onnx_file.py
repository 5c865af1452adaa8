"""``onnx:FILE``: a classifier that another library exported, in ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import numpy as np
import torch
from torch import Tensor, nn

from smoothcert.errors import ModelError
from smoothcert.extras import import_optional
from smoothcert.models.adapt import Classifier, ClassScores, FixedBatch
from smoothcert.models.guard import reason
from smoothcert.models.identity import file_sha256, package_versions
from smoothcert.models.loaded import LoadedModel
from smoothcert.models.normalize import Normalize
from smoothcert.models.weights import Weights

OPTIONS = ("input", "output", "layout", "range", "mean", "std")
_FLOATS = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(float16)": np.float16}
_CHANNELS = (1, 3, 4)
_RANGES = {"NominalRange_0_255": (0.0, 255.0), "Normalized_0_1": (0.0, 1.0), "Normalized_1_1": (-1.0, 1.0)}


def load(target: str, *, name: str, weights: Weights | None) -> LoadedModel:
    """Load an ONNX file. What the file does not say can be said after a question mark, as in a URL.

    ``onnx:net.onnx?output=logits&layout=NHWC&range=0,255&mean=0.5,0.5,0.5&std=0.25,0.25,0.25`` names the output that
    holds the class scores, the layout of images, the range the file takes values of ``[0, 1]`` in, and a normalization
    before all that. ``input=`` names the input where a file has several. Without these, the layout and the sizes are
    read from the file's shapes, the range from its metadata.

    Raises:
        ModelError: The file is no ONNX model, has no such input or output, or takes or returns something else.
        MissingDependencyError: ONNX Runtime or onnx is absent.
    """
    if weights is not None:
        raise ModelError(f"model {name!r} holds its own weights; got {weights.path}")
    path, options = _split(target, name)
    files = _files(path, name)
    session = Session(path, name)
    given = session.choose_input(options.get("input"))
    shape: list[Any] = list(given.shape)
    nhwc = _is_nhwc(shape, options.get("layout"), name)
    image = _image_size(shape, nhwc=nhwc)
    output, kind = session.choose_output(options.get("output"))
    fixed = shape[0] if shape and isinstance(shape[0], int) else None
    graph: nn.Module = Graph(session, given, output, nhwc=nhwc, zipped=kind == "maps")
    stages = [graph if fixed in (None, -1) else FixedBatch(graph, fixed), ClassScores()]
    low, high = _range(session, options, name)
    if "mean" in options or "std" in options:
        channels = image[0] if image is not None and image[0] is not None else 3
        mean, std = (_numbers(options.get(key, default), key, name) for key, default in (("mean", "0"), ("std", "1")))
        mean, std = (values * channels if len(values) == 1 else values for values in (mean, std))
        if len(mean) != len(std) or min(std) <= 0:
            raise ModelError(f"model {name!r}: mean and std must have one value per channel, std above 0")
        stages.insert(0, Normalize(mean, std))
    elif (low, high) != (0.0, 1.0):
        stages.insert(0, Rescale(low, high))
    columns = output.shape[1] if len(output.shape) == 2 and isinstance(output.shape[1], int) else None
    return LoadedModel(
        module=Classifier(*stages, name=f"model {name!r}").eval(),
        name=name,
        num_classes=columns,
        input_size=_known(image) if image is not None else _features(shape),
        channels=image[0] if image is not None else None,
        outputs="probabilities" if kind in ("probabilities", "maps") else None,
        weights_hash=files[path.name],
        identity={f"file {file}": digest for file, digest in files.items()} | package_versions("onnxruntime"),
    )


@dataclass(frozen=True)
class Slot:
    """An input or output of a graph: its name, shape and type, as ONNX Runtime gives them."""

    name: str
    shape: tuple[Any, ...]
    type: str


class Session:
    """An ONNX file in ONNX Runtime; on a GPU where the batch is on one and the runtime has it.

    Args:
        path: The file.
        name: The model's name, for errors.
    """

    def __init__(self, path: Path, name: str) -> None:
        self.path, self.name = path, name
        self._sessions: dict[str, Any] = {}
        session = self.on("cpu")
        self.inputs = [Slot(one.name, tuple(one.shape), one.type) for one in session.get_inputs()]
        self.outputs = [Slot(one.name, tuple(one.shape), one.type) for one in session.get_outputs()]
        self.metadata: Mapping[str, str] = dict(session.get_modelmeta().custom_metadata_map)

    def __getstate__(self) -> dict[str, Any]:
        """Everything but the open sessions, so that it can be copied and sent."""
        return {**vars(self), "_sessions": {}}

    def on(self, device: str) -> Any:
        """The open session for a type of device.

        Raises:
            ModelError: The file is no ONNX model.
        """
        runtime = import_optional("onnxruntime", what=f"model {self.name!r}", extra="onnx")
        gpu = device == "cuda" and "CUDAExecutionProvider" in runtime.get_available_providers()
        place = "CUDAExecutionProvider" if gpu else "CPUExecutionProvider"
        if place not in self._sessions:
            options = runtime.SessionOptions()
            options.log_severity_level = 3
            options.intra_op_num_threads = torch.get_num_threads()
            options.inter_op_num_threads = 1
            # Between batches the noise is drawn: threads that spin meanwhile take the cores from it.
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
            try:
                opened = runtime.InferenceSession(str(self.path), options, providers=[place])
            except Exception as error:  # the runtime's own kinds, one a status code
                raise ModelError(f"model {self.name!r} cannot be opened by ONNX Runtime: {reason(error)}") from error
            self._sessions[place] = opened
        return self._sessions[place]

    def choose_input(self, name: str | None) -> Slot:
        """The input called ``name``, or the only one.

        Raises:
            ModelError: There is none, or several, or it takes no floating-point numbers.
        """
        chosen = [one for one in self.inputs if name in (None, one.name)]
        if len(chosen) != 1 or len(self.inputs) != 1:
            known = ", ".join(f"{one.name} {one.type} {list(one.shape)}" for one in self.inputs)
            raise ModelError(f"model {self.name!r} must take one input (?input=NAME); it takes {known}")
        if chosen[0].type not in _FLOATS:
            raise ModelError(
                f"model {self.name!r} must take floating-point numbers, to which noise can be added; its input "
                f"{chosen[0].name} takes {chosen[0].type}"
            )
        return chosen[0]

    def choose_output(self, name: str | None) -> tuple[Slot, str]:
        """The output called ``name`` or the one that holds class scores, and what it is: by its name and type.

        Raises:
            ModelError: There is none, or several and none is named like class scores.
        """
        kinds = {one.name: kind for one in self.outputs if (kind := _kind(one)) is not None}
        known = ", ".join(f"{one.name} {one.type} {list(one.shape)}" for one in self.outputs)
        if name is not None:
            if name not in kinds:
                raise ModelError(f"model {self.name!r} has no output {name!r} of class scores; its outputs are {known}")
            kinds = {name: kinds[name]}
        named = [one for one in kinds if any(part in one.lower() for part in ("logit", "prob"))]
        chosen = named if len(kinds) > 1 and named else list(kinds)
        if len(chosen) != 1:
            problem = "has several outputs that may be class scores" if chosen else "has no output of class scores"
            raise ModelError(f"model {self.name!r} {problem} (?output=NAME); its outputs are {known}")
        [slot] = [one for one in self.outputs if one.name == chosen[0]]
        return slot, kinds[slot.name]


def _kind(slot: Slot) -> str | None:
    if slot.type in _FLOATS:
        return "probabilities" if "prob" in slot.name.lower() else "scores"
    if slot.type.startswith("seq(map(") and slot.type.endswith("tensor(float)))"):
        return "maps"  # a dict from class to probability for each row, as converters of scikit-learn write them
    return None


class Graph(nn.Module):
    """The graph from a batch to one of its outputs.

    Args:
        session: Of the file.
        given: Its input.
        output: Its output.
        nhwc: Whether it takes images with their channels last.
        zipped: Whether the output is a list of dicts from class to probability.
    """

    def __init__(self, session: Session, given: Slot, output: Slot, *, nhwc: bool, zipped: bool) -> None:
        super().__init__()
        self.session = session
        self.given, self.output = given, output
        self.nhwc, self.zipped = nhwc, zipped

    def forward(self, x: Tensor) -> Tensor:
        """Return the output, shape ``(batch, num_classes)`` for class scores.

        Raises:
            MemoryError: The runtime cannot allocate what it needs.
            ModelError: The input has other channels or sizes than the graph takes.
        """
        values = x.detach().cpu()
        if len(self.given.shape) == 2:
            values = values.flatten(1)
        elif self.nhwc:
            values = values.permute(0, 2, 3, 1)
        self._require_shape(values)
        array = values.contiguous().numpy().astype(_FLOATS[self.given.type], copy=False)
        try:
            [returned] = self.session.on(x.device.type).run([self.output.name], {self.given.name: array})
        except Exception as error:  # the runtime's own kinds
            if "alloc" in str(error).lower():
                raise MemoryError(f"out of memory in ONNX Runtime: {error}") from error
            raise
        if self.zipped:
            returned = np.array([[row[key] for key in sorted(row)] for row in returned], dtype=np.float32)
        return torch.from_numpy(np.ascontiguousarray(returned)).to(x.device)

    def _require_shape(self, values: Tensor) -> None:
        wanted, came = self.given.shape, values.shape
        fits = [not isinstance(one, int) or one <= 0 or one == other for one, other in zip(wanted, came, strict=False)]
        if len(wanted) == len(came) and all(fits[1:]):
            return
        flag = ""
        if len(wanted) == len(came) == 4:
            channel = 3 if self.nhwc else 1
            flag = f"; --channels {wanted[channel]}" if not fits[channel] else f"; --image-size {wanted[2]}"
        raise ModelError(f"model {self.session.name!r} takes batches of shape {list(wanted)}; got {list(came)}{flag}")


class Rescale(nn.Module):
    """Maps ``[0, 1]`` to another range."""

    def __init__(self, low: float, high: float) -> None:
        super().__init__()
        self.low, self.high = low, high

    def forward(self, x: Tensor) -> Tensor:
        """Return ``low + (high - low) x``."""
        return x * (self.high - self.low) + self.low


def _split(target: str, name: str) -> tuple[Path, dict[str, str]]:
    """The file, and the options behind the question mark."""
    path, options = Path(target).expanduser(), {}
    if not path.exists() and "?" in target:
        before, _, after = target.rpartition("?")
        path, options = Path(before).expanduser(), dict(parse_qsl(after, keep_blank_values=True))
    if not path.is_file():
        raise ModelError(
            f"ONNX file {path} {'is no regular file' if path.exists() else 'does not exist'} (model {name!r})"
        )
    if unknown := sorted(set(options) - set(OPTIONS)):
        raise ModelError(f"model {name!r} has unknown options {', '.join(unknown)}; known are {', '.join(OPTIONS)}")
    return path, options


def _files(path: Path, name: str) -> dict[str, str]:
    """Hashes of the file and of those beside it that hold its weights.

    Raises:
        ModelError: It is no ONNX file, or names a file outside of its folder.
    """
    onnx = import_optional("onnx", what=f"model {name!r}", extra="onnx")
    try:
        model = onnx.load(str(path), load_external_data=False)
        tensors = list(onnx.external_data_helper._get_all_tensors(model))
        located = {entry.value for tensor in tensors for entry in tensor.external_data if entry.key == "location"}
    except Exception as error:  # protobuf's own kinds
        raise ModelError(f"model {name!r} is no ONNX file: {reason(error)}") from error
    folder = path.resolve().parent
    found = {path.name: file_sha256(path)}
    for location in sorted(located):
        file = (folder / location).resolve()
        if not file.is_relative_to(folder) or not file.is_file():
            raise ModelError(f"model {name!r} keeps weights in {location!r}, which is no file in its folder")
        found[location] = file_sha256(file)
    return found


def _is_nhwc(shape: list[Any], layout: str | None, name: str) -> bool:
    if layout is not None:
        if layout.upper() not in ("NCHW", "NHWC"):
            raise ModelError(f"model {name!r}: layout must be NCHW or NHWC; got {layout!r}")
        return layout.upper() == "NHWC"
    return len(shape) == 4 and shape[3] in _CHANNELS and shape[1] not in _CHANNELS


def _image_size(shape: list[Any], *, nhwc: bool) -> tuple[int | None, int | None, int | None] | None:
    """Channels, height and width as far as the file says; None where it takes no images."""
    if len(shape) != 4:
        return None
    sizes = [size if isinstance(size, int) and size > 0 else None for size in shape]
    _, first, second, third = sizes
    return (third, first, second) if nhwc else (first, second, third)


def _known(image: tuple[int | None, int | None, int | None]) -> tuple[int, ...] | None:
    return None if None in image else tuple(size for size in image if size is not None)


def _features(shape: list[Any]) -> tuple[int, ...] | None:
    """Shape of one input that is no image, where the file gives all of it."""
    known = [size for size in shape[1:] if isinstance(size, int) and size > 0]
    return tuple(known) if known and len(known) == len(shape) - 1 else None


def _range(session: Session, options: Mapping[str, str], name: str) -> tuple[float, float]:
    if "range" not in options:
        return _RANGES.get(session.metadata.get("Image.NominalPixelRange", ""), (0.0, 1.0))
    values = _numbers(options["range"], "range", name)
    if len(values) != 2 or not values[0] < values[1]:
        raise ModelError(f"model {name!r}: range must be LO,HI, such as 0,255; got {options['range']!r}")
    return values[0], values[1]


def _numbers(text: str, key: str, name: str) -> list[float]:
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError as error:
        raise ModelError(f"model {name!r}: {key} must be numbers with commas; got {text!r}") from error
    if not np.all(np.isfinite(values)):
        raise ModelError(f"model {name!r}: {key} must be finite; got {text!r}")
    return values
