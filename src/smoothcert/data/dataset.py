"""A data set: a source of inputs, which of them were chosen, and the classes their labels stand for."""

from __future__ import annotations

import copy
import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from smoothcert._check import check_count
from smoothcert.data.classes import ClassList, class_numbers
from smoothcert.errors import DataError, InvalidArgumentError, SmoothcertError

UNLABELLED = -1
"""The label by which many data sets say that they have none; so do a missing one and NaN."""


_MOST_NUMBERED = 2**20  # labels above are no numbers of classes
InputRange = tuple[float, float]


@dataclass(frozen=True, eq=False)
class Example:
    """One input.

    Args:
        index: Its position in the source, which no selection changes.
        id: Its stable name: a path inside the source, or ``source:index``.
        label: Its class; None where the source has no label for it.
        x: The input, float32 of any shape; an image is ``(C, H, W)`` in ``[0, 1]``.
    """

    index: int
    id: str
    label: int | None
    x: npt.NDArray[np.float32]


def parse_input_range(text: str | Sequence[float]) -> InputRange | None:
    """Return ``LOW,HIGH`` or a pair as numbers, and ``"none"``, for any finite value, as None.

    Raises:
        InvalidArgumentError: It is neither, or not the lower number first.

    Example:
        >>> parse_input_range("-1, 1"), parse_input_range("none")
        ((-1.0, 1.0), None)
    """
    if isinstance(text, str) and text.strip().lower() == "none":
        return None
    try:
        low, high = (float(end) for end in (text.split(",") if isinstance(text, str) else text))
    except (TypeError, ValueError) as error:
        raise InvalidArgumentError(f"input_range must be LOW,HIGH or none; got {text!r}") from error
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise InvalidArgumentError(f"input_range must be two finite numbers, the lower one first; got {text!r}")
    return low, high


def check_step(step: float | None) -> float | None:
    """Return a step of a lattice as a positive finite float, or None for none; else raise ``InvalidArgumentError``."""
    if step is None:
        return None
    if isinstance(step, (bool, str)) or not (math.isfinite(step) and step > 0):
        raise InvalidArgumentError(f"lattice must be a positive step, such as 1/255; got {step!r}")
    return float(step)


@runtime_checkable
class Source(Protocol):
    """Where inputs come from: three methods, each given an ``index``, one of ``indices``.

    Any object with these can be certified: ``Dataset(source)`` in Python, ``python:FILE.py:FACTORY`` by name. A source
    may also have the following attributes, which are None or empty where it has not:

    - ``class_names``: the class that each number stands for, a sequence of strings.
    - ``lattice``: the step h, if every value of every input is a multiple of it, such as 1/255 for 8-bit images.
    - ``input_range``: ``(low, high)``, if every value of every input lies between the two.
    - ``notes``: sentences, without their full stops, that a reader of the results should know.
    - ``fingerprint``: identifies the source as a whole, whichever of its inputs are chosen.
    - ``digest(index)``: a hash of the stored input *and* of how ``read`` prepares it, where that is cheaper than
      reading.
    """

    @property
    def name(self) -> str:
        """What errors and runs call the data."""

    @property
    def indices(self) -> Sequence[int]:
        """All inputs there are, in order."""

    def id(self, index: int) -> str:
        """Return the stable name of an input, known without reading it."""

    def label(self, index: int) -> int | None:
        """Return the class of an input, known without reading it; None, -1 or NaN where it has none."""

    def read(self, index: int) -> npt.NDArray[np.float32]:
        """Read an input: a float32 array of any shape; a ``DataError`` names one that fails."""


class Dataset:
    """Inputs of a source, every ``stride``-th and at most ``limit`` of them.

    Args:
        source: Where the inputs come from.
        limit: The most inputs to keep, after the stride; None keeps all.
        stride: Keep every ``stride``-th input, beginning with the first, as the papers do.
        classes: What the classes are called, or which class each label stands for; see ``ClassList``.
        label_offset: Added to every label. Labels are then numbers, whatever they are called.
        input_range: The lowest and the highest value an input may have, ``"none"`` for any finite value; None for
            what the source says.

    Attributes:
        class_names: What the labels stand for; None where that is not known.
        num_classes: How many classes there are; None where that is not known.
        lattice: The step h, if every value of every input is a multiple of it; None where that is not known.
        input_range: The lowest and the highest value an input may have; None for any finite value.
        source_fingerprint: Identifies the source, whichever of its inputs were chosen.

    Raises:
        InvalidArgumentError: ``limit`` or ``stride`` is not a positive integer, or ``label_offset`` is no integer.
        DataError: There is no input in the source, or a label is outside the source's classes.
    """

    def __init__(
        self,
        source: Source,
        *,
        limit: int | None = None,
        stride: int = 1,
        classes: ClassList | None = None,
        label_offset: int = 0,
        input_range: InputRange | str | None = None,
    ) -> None:
        check_count("stride", stride)
        if limit is not None:
            check_count("limit", limit)
        if isinstance(label_offset, bool) or not isinstance(label_offset, (int, np.integer)):
            raise InvalidArgumentError(f"label_offset must be an integer; got {label_offset!r}")
        self._source = source
        self.name = str(getattr(source, "name", type(source).__name__))
        self.indices: list[int] = list(source.indices)[::stride][:limit]
        if not self.indices:
            raise DataError(f"data set {self.name} is empty")
        self._classes = classes
        self._label_offset = int(label_offset)
        self._numbers: tuple[int, ...] | None = None  # of the model's class that each class of the data is
        self._digests: dict[int, str] = {}  # of the inputs that were looked at; shared by copies with other classes
        names = getattr(source, "class_names", None)
        if isinstance(names, str):
            raise DataError(f"class_names of {self.name} must be a sequence of names; got {names!r}")
        self.class_names: tuple[str, ...] | None = None if names is None else tuple(str(name) for name in names)
        self.num_classes = None if self.class_names is None else len(self.class_names)
        self.lattice: float | None = check_step(getattr(source, "lattice", None))
        if input_range is None:
            input_range = getattr(source, "input_range", None)
        self.input_range: InputRange | None = None if input_range is None else parse_input_range(input_range)
        if self._label_offset:
            self.class_names = self.num_classes = None
        if self.num_classes is not None:
            self.check_labels(self.num_classes)

    def __len__(self) -> int:
        return len(self.indices)

    def __repr__(self) -> str:
        return f"Dataset({self.name!r}, {len(self):,} inputs, {self.num_classes or 'unknown'} classes)"

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences, without full stops, on what was left out or converted; may read every input once."""
        _ = self._content  # what is done to an input is known once it was looked at
        notes = getattr(self._source, "notes", ())
        return (notes,) if isinstance(notes, str) else tuple(notes)

    @property
    def source_fingerprint(self) -> str:
        """Identifies the source, whichever of its inputs were chosen, as far as it can tell without reading them."""
        found = getattr(self._source, "fingerprint", None)
        return self.fingerprint if found is None else str(found)

    @property
    def fingerprint(self) -> str:
        """Identifies what is certified: which inputs, their content, how they are prepared, and their labels.

        Where the data lie and what files are called does not matter. Computed when it is first asked for, which reads
        every chosen input once. One that cannot be read counts as such: mending it makes other data of them.
        """
        return self._fingerprint(range(len(self)))

    def fingerprint_of(self, indices: Sequence[int]) -> str | None:
        """What :attr:`fingerprint` would be if these of its inputs alone had been chosen; no input is read again.

        Args:
            indices: Positions in the source, in its order.

        Returns:
            None if one of them was not chosen.
        """
        positions = {index: position for position, index in enumerate(self.indices)}
        chosen = [positions.get(index) for index in indices]
        return None if None in chosen else self._fingerprint([position for position in chosen if position is not None])

    def _fingerprint(self, positions: Sequence[int]) -> str:
        labels = [self.label(position) for position in positions]
        content = self._content_of(self.indices[position] for position in positions)
        return hashlib.sha256(f"{content}:{labels}:{self.class_names}".encode()).hexdigest()

    @cached_property
    def _content(self) -> str:
        """Hash of which inputs were chosen and of their content; the same whatever their classes are mapped to."""
        return self._content_of(self.indices)

    def _content_of(self, indices: Iterable[int]) -> str:
        digest = hashlib.sha256(repr(self.lattice).encode())
        for index in indices:
            digest.update(f"{index}:{self._digest(index)};".encode())
        return digest.hexdigest()

    def _digest(self, index: int) -> str:
        if index not in self._digests:
            self._digests[index] = self._digest_anew(index)
        return self._digests[index]

    def _digest_anew(self, index: int) -> str:
        try:
            if (stored := getattr(self._source, "digest", None)) is not None:
                return str(stored(index))
            x = self._array(index)
        except DataError:
            return "unreadable"
        return f"{x.shape}:{hashlib.sha256(np.ascontiguousarray(x, dtype='<f4').tobytes()).hexdigest()}"

    def _array(self, index: int) -> npt.NDArray[np.float32]:
        """Read an input; whatever goes wrong with it is said of it."""
        try:
            x = np.asarray(self._source.read(index))
        except SmoothcertError:
            raise
        except Exception as error:  # of a source that is not ours
            raise DataError(
                f"input {self._source.id(index)} of {self.name} cannot be read: {type(error).__name__}: {error}"
            ) from error
        if x.dtype.kind not in "fiub" or x.size == 0:
            raise DataError(
                f"input {self._source.id(index)} of {self.name} must be an array of numbers; "
                f"it has shape {x.shape} and type {x.dtype}"
            )
        return x.astype(np.float32, copy=False)

    def id(self, position: int) -> str:
        """Return the stable name of the input at ``position``, without reading it."""
        return self._source.id(self.indices[position])

    def label(self, position: int) -> int | None:
        """Return the class of the input at ``position``, without reading it; None if unlabelled."""
        label = self._own_label(position)
        if label is None or self._numbers is None:
            return label
        if not 0 <= label < len(self._numbers):  # as at opening: the source's labels may not change underneath
            raise self._outside(position, label, len(self._numbers))
        return self._numbers[label]

    def _own_label(self, position: int) -> int | None:
        """The label as the source counts, moved by the offset; None if unlabelled."""
        found: Any = self._source.label(self.indices[position])
        if found is None or (isinstance(found, (float, np.floating)) and math.isnan(found)):
            return None
        known = isinstance(found, (int, float, np.integer, np.floating)) and not isinstance(found, bool)
        if not known or not math.isfinite(found) or int(found) != found:
            raise DataError(f"label of {self.id(position)} in {self.name} must be a whole number; got {found!r}")
        return None if found == UNLABELLED else int(found) + self._label_offset

    def load(self, position: int) -> Example:
        """Read the input at ``position`` of ``indices``.

        Raises:
            DataError: The input cannot be read, or is not an array of finite numbers; the message names it.
        """
        index = self.indices[position]
        x = self._array(index)
        low, high = float(x.min()), float(x.max())
        if not (math.isfinite(low) and math.isfinite(high)):
            raise DataError(f"input {self.id(position)} of {self.name} holds values that are not finite numbers")
        if self.input_range is not None and not (self.input_range[0] <= low and high <= self.input_range[1]):
            raise DataError(
                f"input {self.id(position)} of {self.name} must lie in [{self.input_range[0]:g}, "
                f"{self.input_range[1]:g}]; its values go from {low:g} to {high:g}: give the range they have "
                "(--input-range LOW,HIGH), or none"
            )
        return Example(index, self.id(position), self.label(position), x)

    def with_classes(self, class_names: Sequence[str] | None, num_classes: int) -> Dataset:
        """Return these inputs with their labels numbered as a classifier numbers its classes.

        Where both sides have names, a class of the data is the classifier's class of that name. Upper and lower case,
        spaces, underscores and hyphens do not matter; a name such as ``tench, Tinca tinca`` is a list of synonyms;
        ``n01440764`` is ImageNet's class of that id. Where one side has no names, labels are numbers, and both must
        have equally many classes.

        Args:
            class_names: What the classifier calls its classes; None where that is not known.
            num_classes: How many it has.

        Raises:
            DataError: A class of the data is none of the classifier's, or could be several of them; the numbers of
                classes differ without names to compare; or a label is outside the classes.
        """
        check_count("num_classes", num_classes)
        if class_names is not None and len(class_names) != num_classes:
            raise InvalidArgumentError(
                f"class_names must have one for each of the {num_classes} classes; got {len(class_names)}"
            )
        used = None if class_names is None else tuple(str(name) for name in class_names)
        given, own = self._classes, self.class_names
        if given is not None and given.names is not None:
            used = given.names
            if len(used) != num_classes:
                raise DataError(
                    f"{given.origin} must name each of the classifier's {num_classes:,} classes, in its order; "
                    f"it has {len(used):,} names"
                )
        if own is None and given is not None:
            own = given.numbered()
        if own is None and used is not None and not self._label_offset:
            own = self._named_by_numbers(used)
        found = copy.copy(self)
        if own is not None:
            labels = map(self._own_label, range(len(self)))
            present = {label for label in labels if label is not None}
            numbers = class_numbers(own, used, num_classes=num_classes, name=self.name, given=given, present=present)
            found._numbers = numbers
            if used is None and numbers == tuple(range(num_classes)):
                used = own
        found.class_names, found.num_classes = used, num_classes
        found.check_labels(num_classes)
        return found

    def _named_by_numbers(self, names: Sequence[str]) -> tuple[str, ...] | None:
        """Names for labels that are numbers, where the classifier calls its classes by other numbers than 0, 1, 2."""
        if not all(name.isdecimal() for name in names) or list(names) == list(map(str, range(len(names)))):
            return None
        largest = max((label for p in range(len(self)) if (label := self._own_label(p)) is not None), default=-1)
        return tuple(map(str, range(largest + 1))) if largest < _MOST_NUMBERED else None

    def check_labels(self, num_classes: int) -> None:
        """Check every chosen label against a classifier of ``num_classes`` classes; no input is read.

        Raises:
            DataError: A label is outside ``0 .. num_classes - 1``; the message names its input.
        """
        for position in range(len(self)):
            label = self.label(position)
            if label is not None and not 0 <= label < num_classes:
                raise self._outside(position, label, num_classes)

    def _outside(self, position: int, label: int, num_classes: int) -> DataError:
        return DataError(
            f"label of {self.id(position)} in {self.name} must be in 0 to {num_classes - 1}, the classes; got {label}: "
            "say which class is which (--classes FILE), or where the numbers begin (--label-offset)"
        )
