"""Class scores of one sample to one number: the two confidence measures of the paper, and measures of one's own.

Written against tensor methods only, so that importing the measures' names and ranges needs no torch.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Literal, SupportsFloat, TypeAlias

from smoothcert.errors import InvalidArgumentError

if TYPE_CHECKING:
    from torch import Tensor


def score(probabilities: Tensor, classes: Tensor) -> Tensor:
    """Score of each class: the class's entry of the softmax, in ``[0, 1]``.

    Args:
        probabilities: Softmax outputs, shape ``(batch, num_classes)``.
        classes: Class indices, shape ``(k,)``, int64.

    Returns:
        Shape ``(batch, k)``.

    References:
        "Average prediction score", Kumar et al. (2020), https://arxiv.org/abs/2009.08061.
    """
    return probabilities[:, classes]


def margin(probabilities: Tensor, classes: Tensor) -> Tensor:
    """Margin of each class over the best other class, in ``[-1, 1]``; negative where another class wins.

    Args:
        probabilities: Softmax outputs, shape ``(batch, num_classes)`` with at least two classes.
        classes: Class indices, shape ``(k,)``, int64.

    Returns:
        Shape ``(batch, k)``.

    References:
        "Margin", Kumar et al. (2020), https://arxiv.org/abs/2009.08061.
    """
    top, index = probabilities.topk(2, dim=1)
    is_top = index[:, :1] == classes[None, :]
    runner_up = top[:, 1:].where(is_top, top[:, :1])
    return probabilities[:, classes] - runner_up


_LARGEST, _SMALLEST = 1e38, 1e-30  # well inside of float32
_FINEST = 128.0  # how many times its width a range may lie from 0, so that float32 still has 2^16 steps in it
Of: TypeAlias = Literal["prediction", "label"] | int


@dataclass(frozen=True)
class Measure:
    """A confidence measure: what is certified is its mean under noise.

    Args:
        name: What it is called in results: lower-case letters, digits and underscores.
        lower: Smallest value it can take.
        upper: Largest value it can take.
        compute: From class scores ``(batch, num_classes)``, float32, and class indices ``(k,)`` to values ``(batch,
            k)``, one for each class. A value outside the range, or NaN, is an error, but for the rounding of float32.
        of: The class it is computed for: that of the prediction, the true label of the input, or a class by its number.
        source_hash: SHA-256 of the file that it was loaded from; part of what identifies a run.

    Raises:
        InvalidArgumentError: If the name cannot be used or the range is empty.

    Example:
        >>> Measure("surprise", -20.0, 0.0, lambda scores, classes: scores[:, classes].log().clamp(min=-20.0)).name
        'surprise'
    """

    name: str
    lower: float
    upper: float
    compute: Callable[[Tensor, Tensor], Tensor]
    of: Of = "prediction"
    source_hash: str | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        """Check name and range."""
        if not (isinstance(self.name, str) and re.fullmatch("[a-z][a-z0-9_]*", self.name)) or self.name in _TAKEN:
            raise InvalidArgumentError(
                f"a measure's name must be lower-case letters, digits and underscores, and none of "
                f"{', '.join(_TAKEN)}; got {self.name!r}"
            )
        ends = (self.lower, self.upper)
        if not (
            all(isinstance(end, SupportsFloat) and abs(float(end)) <= _LARGEST for end in ends) and ends[0] < ends[1]
        ):
            raise InvalidArgumentError(
                f"measure {self.name} must have a finite range, lower < upper; got [{self.lower!r}, {self.upper!r}]"
            )
        for end in ("lower", "upper"):
            object.__setattr__(self, end, float(getattr(self, end)))
        width, largest = self.upper - self.lower, max(abs(self.lower), abs(self.upper))
        if width < max(largest / _FINEST, _SMALLEST):
            raise InvalidArgumentError(
                f"measure {self.name} is counted in float32, which is too coarse for values in [{self.lower!r}, "
                f"{self.upper!r}]; move the range nearer to 0, or scale it up"
            )
        by_number = isinstance(self.of, int) and not isinstance(self.of, bool) and self.of >= 0
        if not by_number and self.of not in ("prediction", "label"):
            raise InvalidArgumentError(
                f"measure {self.name} must be of the prediction, of the label, or of a class by its number; "
                f"got {self.of!r}"
            )


LEAD, VOTE = "lead", "vote"
"""Names of what is composed of several measures, and of what the votes say already."""

_TAKEN = (LEAD, VOTE, "class")

SCORE = Measure("score", 0.0, 1.0, score)
MARGIN = Measure("margin", -1.0, 1.0, margin)
MEASURES = {m.name: m for m in (SCORE, MARGIN)}
DEFAULT_MEASURES = (*MEASURES, LEAD)


def choose_measures(wanted: Iterable[str | Measure]) -> tuple[tuple[Measure, ...], bool]:
    """Measures by name or as they are, and whether the lead is among them.

    Args:
        wanted: ``"score"``, ``"margin"``, ``"lead"``, ``"vote"``, a name that :func:`load_measure` takes, or a measure.

    Raises:
        InvalidArgumentError: If there is none, a name is unknown, or two measures share one.
    """
    if isinstance(wanted, (str, Measure)):
        wanted = (wanted,)
    if not isinstance(wanted, Iterable):
        raise InvalidArgumentError(f"measures must be names or measures, one or several; got {wanted!r}")
    given = list(wanted)
    own = (one if isinstance(one, Measure) else load_measure(one) for one in given if one not in (LEAD, VOTE))
    found = list(dict.fromkeys(own))
    names = [measure.name for measure in found]
    for measure in found:
        if names.count(measure.name) > 1 or measure != MEASURES.get(measure.name, measure):
            raise InvalidArgumentError(f"measures must have different names; got two that are called {measure.name!r}")
    if not given:
        raise InvalidArgumentError("measures must name at least one; got none")
    return tuple(found), LEAD in given


def load_measure(name: str) -> Measure:
    """A measure by name: ``"score"``, ``"margin"``, ``"python:file.py:name"`` or ``"python:package.module:name"``.

    The last two run code of the user's own. As with ``python file.py`` and ``python -m``, what lies beside it can be
    imported by it.

    Raises:
        InvalidArgumentError: If the name is unknown, the code cannot be imported, or has no such measure.
    """
    if name in MEASURES:
        return MEASURES[name]
    kind, _, target = str(name).partition(":")
    source, _, attribute = target.rpartition(":")
    if kind != "python" or not source or not attribute:
        raise InvalidArgumentError(
            f"measure must be one of {', '.join((*MEASURES, LEAD, VOTE))}, or python:file.py:name; got {name!r}"
        )
    module = _import(source)
    measure = getattr(module, attribute, None)
    if not isinstance(measure, Measure):
        raise InvalidArgumentError(
            f"{attribute} of {source} must be a smoothcert.Measure; got {type(measure).__name__}"
        )
    file = getattr(module, "__file__", None)
    digest = hashlib.sha256(Path(file).read_bytes()).hexdigest() if file else None
    return Measure(measure.name, measure.lower, measure.upper, measure.compute, measure.of, digest)


def _import(source: str) -> ModuleType:
    """The module of a file, or of a name."""
    is_file = source.endswith(".py")
    if is_file and not Path(source).is_file():
        raise InvalidArgumentError(f"measure must name a file that exists; got {source}")
    folder = str(Path(source).resolve().parent if is_file else Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        if not is_file:
            return importlib.import_module(source)
        name = f"smoothcert_measure_{Path(source).stem}"
        spec = importlib.util.spec_from_file_location(name, source)
        if spec is None or spec.loader is None:
            raise ImportError(f"{source} is not a Python file")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module  # dataclasses and pickle look a class's module up here
        spec.loader.exec_module(module)
    except Exception as error:
        raise InvalidArgumentError(f"importing {source} failed with {type(error).__name__}: {error}") from error
    return module
