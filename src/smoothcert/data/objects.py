"""Data given as Python objects, or by ``python:FILE.py:FACTORY``."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from smoothcert.data.arrays import ArraySource, feature_source
from smoothcert.data.classes import ClassList
from smoothcert.data.columns import choose_columns
from smoothcert.data.dataset import Dataset, InputRange, Source, check_step
from smoothcert.data.media import Reader
from smoothcert.data.paths import user_path
from smoothcert.data.preprocess import Preprocess
from smoothcert.errors import DataError, SmoothcertError

_LOOKED_AT = 4  # items of a sequence, to see what they are
_READ_TWICE = 4  # items, to see whether they stay
_KINDS = (
    "a Dataset or Source of smoothcert, a torch.utils.data.Dataset or datasets.Dataset, a table, arrays (x, y) or x, "
    "or a list of inputs or of (input, label) pairs"
)


def as_dataset(
    data: Any,
    *,
    name: str | None = None,
    limit: int | None = None,
    stride: int = 1,
    classes: str | Path | Sequence[str] | Mapping[str, str | int] | ClassList | None = None,
    label_offset: int = 0,
    input_range: InputRange | str | None = None,
    lattice: float | None = None,
    preprocess: Preprocess | None = None,
    image_column: str | None = None,
    label_column: str | None = None,
) -> Dataset:
    """Return data of any usual form as a ``Dataset``.

    Args:
        data: A ``Dataset`` or ``Source``; a map-style ``torch.utils.data.Dataset`` or a sequence, whose items are
            inputs or ``(input, label)`` pairs, inputs being arrays, tensors or Pillow images; a ``datasets.Dataset`` of
            Hugging Face; a table of pandas or Arrow; an array or tensor of inputs, or a pair of those and their labels,
            as a tuple or under ``x`` and ``y``.
        name: What errors and runs call it; None for the name of its type.
        limit: The most inputs to keep, after the stride.
        stride: Keep every ``stride``-th input, beginning with the first.
        classes: Which class is which, where names do not tell; see ``ClassList.of``.
        label_offset: Added to every label, which then are compared by number.
        input_range: The lowest and the highest value an input may have, or ``"none"``.
        lattice: The step of all values, where the data do not know it: 1/255 for images made of 8 bits.
        preprocess: How Pillow images and encoded ones are scaled and cropped; arrays are taken as they are.
        image_column: Column of the inputs, where a table has several.
        label_column: Column of the labels, where a table leaves it open.

    Raises:
        DataError: It is none of these, is read only once (an iterator, a ``DataLoader``), or is empty.

    Example:
        >>> data = as_dataset((np.zeros((4, 3, 8, 8), np.uint8), [0, 1, 1, 0]), name="squares")
        >>> len(data), data.load(1).label, data.load(1).x.shape, data.lattice == 1 / 255
        (4, 1, (3, 8, 8), True)
    """
    if isinstance(data, Dataset):
        return data
    preprocess = preprocess or Preprocess()
    source = _source(
        data,
        name or f"python:{type(data).__name__}",
        preprocess=preprocess,
        lattice=lattice,
        image_column=image_column,
        label_column=label_column,
    )
    found = Dataset(
        source,
        limit=limit,
        stride=stride,
        classes=None if classes is None else ClassList.of(classes),
        label_offset=label_offset,
        input_range=input_range,
    )
    if found.lattice is None:
        found.lattice = check_step(lattice)
    return found


class ItemsSource:
    """A sequence of inputs, or of ``(input, label)`` pairs, read as they are asked for.

    Labels are read from its ``targets`` or ``labels`` where it has those, and else from its items, once.

    Args:
        items: What has a length and gives an item for each index from 0.
        name: What errors and runs call it.
        reader: Prepares Pillow images.
    """

    def __init__(self, items: Any, *, name: str, reader: Preprocess) -> None:
        self.name, self._items, self._reader = name, items, reader
        self.indices: Sequence[int] = range(len(items))
        names = getattr(items, "classes", None)
        self.class_names = tuple(map(str, names)) if isinstance(names, (list, tuple)) and names else None
        self.lattice: float | None = None
        self.input_range: InputRange | None = None
        self._labels: dict[int, Any] = {}
        if any(self._is_eight_bits(index) for index in self.indices[:_LOOKED_AT]):
            self.lattice, self.input_range = reader.lattice, reader.input_range
        known = next((getattr(items, key) for key in ("targets", "labels") if hasattr(items, key)), None)
        if known is not None and not callable(known) and len(known) == len(items):
            self._labels = dict(enumerate(_listed(known)))
        if isinstance(self._labels.get(0), str):
            self._name_classes()

    def id(self, index: int) -> str:
        """Return ``NAME:INDEX``."""
        return f"{self.name}:{index}"

    def label(self, index: int) -> Any:
        """Return the label of the item; None where it is an input alone."""
        if index not in self._labels:
            self._item(index)
        return self._labels[index]

    def read(self, index: int) -> npt.NDArray[np.float32]:
        """Return the item's input: images of 8 bits divided by 255, all else as it is."""
        x = self._item(index)[0]
        name = self.id(index)
        if _is_picture(x):
            return self._reader(x, name=name)
        array = _array(x, name)
        if (array.dtype == np.uint8) != (self.lattice is not None):
            raise DataError(f"input {name} holds {array.dtype} and the first one does not; all must be of one kind")
        return array.astype(np.float32) / np.float32(255) if array.dtype == np.uint8 else array.astype(np.float32)

    def _is_eight_bits(self, index: int) -> bool:
        """Whether an item that can be read is a picture or numbers of 8 bits."""
        try:
            x = self._item(index)[0]
            return _is_picture(x) or _array(x, "").dtype == np.uint8
        except DataError:  # reading it says why
            return False

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """A sentence if inputs do not stay what they are; some are read twice for it."""
        if not any(self._changes(index) for index in self.indices[:_READ_TWICE]):
            return ()
        return (
            "inputs are others each time they are read, as a random transformation makes them: what is certified is "
            "one draw of each, and the run cannot be continued",
        )

    def _changes(self, index: int) -> bool:
        """Whether an input that can be read is another the second time."""
        try:
            once, again = self.read(index), self.read(index)
        except DataError:  # reading it says why
            return False
        return not np.array_equal(once, again, equal_nan=True)

    def _name_classes(self) -> None:
        """Number labels that are names, in their order; for that, all are read."""
        found = [self.label(index) for index in self.indices]
        self.class_names = self.class_names or tuple(sorted({label for label in found if isinstance(label, str)}))
        numbers = {label: number for number, label in enumerate(self.class_names)}
        self._labels = {index: numbers.get(label) for index, label in enumerate(found)}

    def _item(self, index: int) -> tuple[Any, Any]:
        try:
            item = self._items[index]
        except SmoothcertError:
            raise
        except Exception as error:  # the user's own code
            raise DataError(f"input {self.id(index)} cannot be read: {type(error).__name__}: {error}") from error
        if isinstance(item, tuple) and len(item) > 2:
            raise DataError(f"items must be inputs or (input, label) pairs; {self.id(index)} is a tuple of {len(item)}")
        x, y = _pair(item)
        self._labels.setdefault(index, _listed(y))
        return x, y


def python_source(
    target: str, *, name: str, preprocess: Preprocess, image_column: str | None = None, label_column: str | None = None
) -> Source:
    """Call the factory ``path/to/file.py:factory`` or ``package.module:factory``; this runs the user's code.

    It takes no arguments and returns anything that ``as_dataset`` takes. Modules beside the code can be imported by it.

    Raises:
        DataError: The code cannot be imported, has no such factory, or fails, or returns something else.
    """
    source, _, attribute = target.rpartition(":")
    if not source or not attribute:
        raise DataError(f"data {name!r} must read python:path/to/file.py:factory or python:package.module:factory")
    module = _import(source, name)
    factory = getattr(module, attribute, None)
    if not callable(factory):
        raise DataError(f"{source} has no function {attribute!r} that returns the data (data {name!r})")
    try:
        made = factory()
    except Exception as error:
        raise DataError(f"{attribute}() of {source} failed with {type(error).__name__}: {error}") from error
    if isinstance(made, Dataset):
        raise DataError(f"{attribute}() of {source} must return all data; --limit and --stride choose from them")
    try:
        return _source(made, name, preprocess=preprocess, image_column=image_column, label_column=label_column)
    except DataError as error:
        raise DataError(f"{attribute}() of {source} returned what cannot be used: {error}") from error


def _source(
    data: Any,
    name: str,
    *,
    preprocess: Preprocess,
    lattice: float | None = None,
    image_column: str | None,
    label_column: str | None,
) -> Source:
    if _has_source_methods(data):
        found: Source = data
        return found
    kind = type(data)
    origin = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
    if hasattr(data, "features") and hasattr(data, "select_columns"):
        from smoothcert.data.hugging_face import from_rows

        if not hasattr(data, "__len__"):
            raise DataError(f"{origin} is read in order only; load it without streaming")
        return from_rows(
            data,
            name=name,
            readers=readers(preprocess),
            image_column=image_column,
            label_column=label_column,
        )
    if isinstance(data, str):
        raise DataError(f"data must be {_KINDS}; for the name {data!r} there is load_data")
    if hasattr(data, "itertuples") or hasattr(data, "to_pydict"):  # a table of pandas or Arrow
        import pyarrow as pa

        table = data if isinstance(data, pa.Table) else pa.Table.from_pandas(data, preserve_index=False)
        columns = choose_columns(table.schema, name=name, image=image_column, label=label_column, only_features=True)
        return feature_source([table], columns, name=name)
    if hasattr(data, "batch_sampler") or isinstance(data, Iterator) or not hasattr(data, "__getitem__"):
        raise DataError(
            f"data must be {_KINDS}; got a {origin}"
            + (": pass its dataset, as a loader's order can change" if hasattr(data, "batch_sampler") else "")
            + (": an iterator is read only once, so pass what it goes through" if isinstance(data, Iterator) else "")
        )
    if isinstance(data, Mapping):
        if "x" in data and set(data) <= {"x", "y", "class_names"}:
            return ArraySource(
                _array(data["x"], name),
                _listed(data.get("y")),
                name=name,
                class_names=data.get("class_names"),
                lattice=lattice,
            )
        raise DataError(
            f"data must be {_KINDS}; got a {kind.__name__} of {', '.join(map(str, list(data)[:6])) or 'nothing'}: "
            "choose one of them, or call them x and y"
        )
    if _is_array(data):
        return ArraySource(_array(data, name), name=name, lattice=lattice)
    if isinstance(data, tuple) and len(data) == 2 and _are_inputs_and_labels(*data):
        return ArraySource(_array(data[0], name), _listed(data[1]), name=name, lattice=lattice)
    if not hasattr(data, "__len__"):
        raise DataError(f"data must have a length; got a {origin}")
    return ItemsSource(data, name=name, reader=preprocess)


def readers(preprocess: Preprocess) -> dict[str, Any]:
    """What makes a reader of each kind of encoded input; a library is needed only where there is one."""

    def sound() -> Reader:
        from smoothcert.data.audio import ReadAudio

        return ReadAudio()  # its import is late, as it needs a library of its own

    return {"image": lambda: preprocess, "sound": sound}


def _has_source_methods(data: Any) -> bool:
    return all(callable(getattr(data, method, None)) for method in ("id", "label", "read")) and hasattr(data, "indices")


def _pair(item: Any) -> tuple[Any, Any]:
    """Input and label of an item, which may be the input alone."""
    if isinstance(item, (tuple, list)) and len(item) == 1:
        return item[0], None
    if isinstance(item, (tuple, list)) and len(item) == 2:
        second = _listed(item[1])
        if second is None or isinstance(second, (int, float, str)):
            return item[0], second
    if isinstance(item, Mapping):
        inputs = [key for key in ("x", "image", "img", "pixel_values", "audio", "input") if key in item]
        labels = [key for key in ("y", "label", "labels", "target") if key in item]
        if len(inputs) == 1 and len(labels) <= 1:
            return item[inputs[0]], item[labels[0]] if labels else None
    return item, None


def _listed(values: Any) -> Any:
    """Arrays and tensors as lists and numbers; all else as it is."""
    return values.tolist() if hasattr(values, "tolist") else values


def _is_picture(x: Any) -> bool:
    from PIL import Image

    return isinstance(x, Image.Image)


def _is_array(data: Any) -> bool:
    return hasattr(data, "shape") and hasattr(data, "dtype")


def _are_inputs_and_labels(inputs: Any, labels: Any) -> bool:
    """Whether a pair is of all inputs and all labels, and not of two inputs or two items."""
    if not _is_array(inputs) or len(inputs.shape) == 0:
        return False
    if _is_array(labels):
        return len(labels.shape) > 0 and (labels.shape[0] == inputs.shape[0] or len(labels.shape) < len(inputs.shape))
    return isinstance(labels, (list, tuple)) and len(labels) == len(inputs)


def _array(x: Any, name: str) -> npt.NDArray[Any]:
    if hasattr(x, "detach"):
        x = x.detach().cpu()
        x = x if x.element_size() > 2 or not x.is_floating_point() else x.float()  # NumPy has no bfloat16
    try:
        found = np.asarray(x)
    except Exception as error:  # of other libraries, or ragged lists
        raise DataError(f"input {name} is no array: {error}") from error
    if np.ma.is_masked(x):
        raise DataError(f"input {name} must have all its values; some of it is masked")
    if found.dtype.kind not in "fiub":
        raise DataError(f"input {name} must be an array of real numbers; it is a {type(x).__name__} of {found.dtype}")
    return found


def _import(source: str, name: str) -> ModuleType:
    is_file = source.endswith(".py")
    path = user_path(source)
    if is_file and not path.is_file():
        raise DataError(f"Python file {source} does not exist (data {name!r})")
    folder = str(path.resolve().parent if is_file else Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    arguments, sys.argv = sys.argv, [source]  # a script that reads them as it is imported is not to read ours
    try:
        if not is_file:
            return importlib.import_module(source)
        spec = importlib.util.spec_from_file_location(f"smoothcert_user_data_{path.stem}", path)
        if spec is None or spec.loader is None:
            raise ImportError(f"{source} is not a Python file")
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module  # dataclasses and pickle look a class's module up here
        spec.loader.exec_module(module)
    except SystemExit as error:
        raise DataError(
            f"importing {source} ended the program, as a script does that reads its command line; put what is not to "
            'run on import under if __name__ == "__main__"'
        ) from error
    except Exception as error:
        raise DataError(f"importing {source} failed with {type(error).__name__}: {error}") from error
    finally:
        sys.argv = arguments
    return module
