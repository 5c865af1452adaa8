"""What a caller gives: one input, a batch of them, or inputs one by one; and a job done on each."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from dataclasses import dataclass
from itertools import repeat
from operator import index, itemgetter
from typing import Any, TypeVar

from torch import Tensor

from smoothcert.errors import InvalidArgumentError, SmoothcertError
from smoothcert.progress import Reporter
from smoothcert.sampling.inputs import as_tensor
from smoothcert.sampling.packing import Job
from smoothcert.sampling.sampler import Sampler

Result = TypeVar("Result")
_NO_ITEMS = (Tensor, str, bytes, bytearray, memoryview, array, Mapping)
_MOST_BESIDE = 4  # of an input with its label, id and weight


@dataclass(frozen=True, eq=False)
class Given:
    """Inputs as they were given.

    Args:
        inputs: The inputs, read as they are needed.
        single: Whether it is one, rather than a collection of any size.
        count: How many; None for those of an iterator.
    """

    inputs: Iterable[Tensor]
    single: bool
    count: int | None

    @classmethod
    def of(cls, x: Any, *, ndim: int) -> Given:
        """Tell what was given.

        Args:
            x: An array of ``ndim`` dimensions or, for a batch, of one more; a list of the former, or what goes through
                them: an iterator, or a data set that yields inputs alone.
            ndim: Dimensions of a single input.

        Raises:
            InvalidArgumentError: If it is none of these; from an iterator, when it is read.
        """
        if _is_pair(x):
            raise InvalidArgumentError(f"x must be inputs alone; got an input with its label. {_unpacked(x, ndim)}")
        items = _several(x, ndim=ndim)
        if items is not None:
            return cls(_one_by_one(items, ndim=ndim), False, len(items) if isinstance(items, Sized) else None)
        values = as_tensor(x)
        if values.ndim == ndim:
            return cls((values,), True, 1)
        if values.ndim == ndim + 1:
            return cls(values, False, len(values))
        raise InvalidArgumentError(
            f"x must have {ndim} dimensions, or {ndim + 1} for a batch; got shape {tuple(values.shape)}. "
            "For inputs of other dimensions set input_ndim"
        )

    def labels(self, label: Any) -> Iterator[int | None]:
        """The label of each input, one after the other: the same for all, or one for each.

        Raises:
            InvalidArgumentError: If it is neither, or there are not as many as inputs.
        """
        if label is None or _is_one(label):
            return repeat(label if label is None else _class(label))
        if not hasattr(label, "__iter__"):
            raise InvalidArgumentError(f"label must be a class, or one for each input; got {label!r}")
        if isinstance(label, Sized) and self.count is not None and len(label) != self.count:
            inputs = "the input" if self.count == 1 else f"each of the {self.count} inputs"
            raise InvalidArgumentError(f"label must be one class for {inputs}; got {len(label)}")
        return map(_class, label)


def _is_one(label: Any) -> bool:
    """Whether it is a single label: a number, or an array or tensor of no dimensions."""
    return getattr(label, "ndim", None) == 0 or isinstance(label, (int, float, str, bytes))


def _class(label: Any) -> int:
    """A label as a whole number."""
    try:
        if "bool" in str(getattr(label, "dtype", type(label).__name__)):
            raise TypeError
        return index(label)
    except TypeError as error:
        raise InvalidArgumentError(f"label must be the number of a class; got {label!r}") from error


def run_each(
    sampler: Sampler,
    given: Given,
    job: Callable[[Tensor], Job[Result]],
    *,
    reporter: Reporter,
    samples: int | None = None,
) -> Result | list[Result]:
    """Do a job on each input, all of them together: one result for a single one, else a list in their order.

    Args:
        sampler: Runs the jobs.
        given: The inputs.
        job: What to do with one. Its errors get the position of its input, where there may be several.
        reporter: Shows progress.
        samples: What one input takes; None where that is open.
    """
    jobs = (
        job(one) if given.single else _naming_position(position, job(one)) for position, one in enumerate(given.inputs)
    )
    found = []
    total = None if given.count is None or samples is None else given.count * samples
    with reporter.sampling(inputs=given.count, samples=total):
        for one in sampler.run(jobs, progress=reporter.advance):
            found.append(one)
            reporter.finish()
    results = [result for _, result in sorted(found, key=itemgetter(0))]
    return results[0] if given.single else results


def _several(x: Any, *, ndim: int) -> Iterable[Any] | None:
    """The inputs that ``x`` goes through one by one, where it does; None for an array of one or more.

    An iterator does, a data set or ``DataLoader``, and a list of arrays of ``ndim`` dimensions, or of nothing.
    """
    if isinstance(x, (list, tuple)):
        return x if all(getattr(one, "ndim", None) == ndim for one in x) else None
    is_array = isinstance(x, _NO_ITEMS) or any(
        hasattr(x, name) for name in ("__array__", "__array_interface__", "__array_struct__")
    )
    if is_array or not (hasattr(x, "__iter__") or hasattr(x, "__getitem__")):
        return None
    items: Iterator[Any] = iter(x)
    return items


def _one_by_one(items: Iterable[Any], *, ndim: int) -> Iterator[Tensor]:
    """Each item as the tensor of a single input.

    Raises:
        InvalidArgumentError: If an item is not one input: a pair with a label, say, or a batch.
    """
    for position, one in enumerate(items):
        if _is_pair(one):
            raise InvalidArgumentError(
                f"x must be inputs alone; item {position} of it is an input with its label. {_unpacked(one, ndim)}"
            )
        try:
            tensor = as_tensor(one)
        except InvalidArgumentError as error:
            raise InvalidArgumentError(f"item {position} of x: {error}") from error
        if tensor.ndim != ndim:
            advice = " Pass (x for batch in x for x in batch)" if tensor.ndim == ndim + 1 else ""
            raise InvalidArgumentError(
                f"what x goes through must be single inputs of {ndim} dimensions; item {position} has shape "
                f"{tuple(tensor.shape)}.{advice}"
            )
        yield tensor


def _is_pair(x: object) -> bool:
    """Whether something is an input, or a batch of them, with what belongs to it."""
    if not isinstance(x, (list, tuple)) or not 2 <= len(x) <= _MOST_BESIDE or not hasattr(x[0], "ndim"):
        return False
    return any(getattr(other, "ndim", 0) != x[0].ndim for other in x[1:])


def _unpacked(pair: Any, ndim: int) -> str:
    """How to pass what pairs hold."""
    rest = "_" if len(pair) == 2 else "*_"
    alone = (
        f"(x for batch, {rest} in data for x in batch)" if pair[0].ndim == ndim + 1 else f"(x for x, {rest} in data)"
    )
    return f"Pass {alone}, with the labels as label= if a measure needs them, or a data set to certify_run"


def _naming_position(position: int, job: Job[Result]) -> Job[Result]:
    """The same job, its errors with the position of its input."""
    try:
        return (yield from job)
    except SmoothcertError as error:
        raise type(error)(f"input {position} of the batch: {error}") from error
