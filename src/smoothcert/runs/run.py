"""The reading side of a run folder; works while the run goes on, and needs neither torch nor the model."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from smoothcert.errors import MissingDependencyError, RunError
from smoothcert.runs.config import IMPORTED, RunConfig
from smoothcert.runs.extent import joined
from smoothcert.runs.joining import JoinedParts
from smoothcert.runs.part import UNSEALED
from smoothcert.runs.parts import Parts
from smoothcert.runs.per_input import input_table
from smoothcert.runs.records import Record, from_table, pairs_in, ranges_in
from smoothcert.runs.state import RunState, joined_state, missing_inputs, state_of
from smoothcert.runs.store import CONFIG, PARTS, read_config
from smoothcert.typing import IntArray
from smoothcert.urls import AnyPath, to_path

if TYPE_CHECKING:
    import pandas as pd

BEFORE_CHECKSUMS = (
    "this run was made before runs carried checksums: what is stored is checked for sense, not for flipped bits"
)
_NEAR = 3  # ids suggested for one that is not there


@dataclass(frozen=True)
class Run:
    """A stored run: its configuration and, in order of the inputs, its records.

    Every call reads the folder anew, so a run that is still going on shows what it holds at that moment. Whatever is
    read is checked: see :mod:`smoothcert.runs.part`.

    Args:
        path: The run folder, here or in an object store; the first where there are several.
        config: What defines the run.
        members: Where shares of it lie in several folders, each of these.
    """

    path: AnyPath
    config: RunConfig
    members: tuple[Run, ...] = ()
    _parts: Parts | JoinedParts = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Find the parts."""
        own: Parts | JoinedParts = Parts(self.path / PARTS, self.config)
        if self.members:
            own = JoinedParts(tuple(Parts(one.path / PARTS, one.config) for one in self.members))
        object.__setattr__(self, "_parts", own)

    @classmethod
    def open(cls, path: AnyPath | str | Sequence[AnyPath | str]) -> Run:
        """Open a run folder, or several with shares of one run as one: shards, or copies that went on or grew.

        Args:
            path: Where it is: a path, or a URL such as ``s3://bucket/run``.

        Raises:
            InvalidArgumentError: If it is a URL that cannot be used.
            MissingDependencyError: If the package that opens such URLs is not installed.
            RunError: If there is no run, or it was written by a newer smoothcert; or if several are not of one run,
                naming what differs, or hold different samples of one input.
        """
        if isinstance(path, str) or not isinstance(path, Sequence):
            where = to_path(path)
            return cls(where, read_config(where))
        members = tuple(cls.open(one) for one in dict.fromkeys(path))
        if not members:
            raise RunError("there must be at least one run folder; got none")
        if len(members) == 1:
            return members[0]
        config = joined([one.config for one in members], names=[one.path for one in members])
        run = cls(members[0].path, config, members)
        run._parts.held()  # which compares them
        return run

    @property
    def label(self) -> str:
        """The folder or folders, for people."""
        if len(self.members) < 2:
            return str(self.path)
        more = len(self.members) - 1
        return f"{self.path} and {more} more" if more > 1 else f"{self.path} and {self.members[1].path}"

    def __len__(self) -> int:
        """Number of inputs stored so far, skipped ones included."""
        return int(self._parts.held().inputs.size)

    def __bool__(self) -> bool:
        """True: an empty run is still a run."""
        return True

    @property
    def indices(self) -> IntArray:
        """Index of every input stored so far, ascending, shape ``(inputs,)``."""
        return self._parts.held().inputs

    @property
    def sizes(self) -> dict[int, int]:
        """How many inputs hold how many estimation samples, by ascending number; skipped inputs are left out.

        There are several where a run is growing. In a decided run this is the most an input may take.
        """
        found, counts = np.unique(self._parts.held().sizes, return_counts=True)
        return {size: count for size, count in zip(found.tolist(), counts.tolist(), strict=True) if size > 0}

    @property
    def short(self) -> int:
        """Number of inputs that hold fewer samples than the run goes to, because it has not finished growing."""
        return sum(count for size, count in self.sizes.items() if size < self.config.n)

    @property
    def expected(self) -> int | None:
        """Number of inputs of the finished run, or of a shard's share of it; None if nobody said."""
        return self.config.expected

    @property
    def missing(self) -> int:
        """Number of inputs not held: not sampled yet, set aside, or lost; 0 where ``expected`` is None."""
        named = self.missing_indices
        return max(0, (self.expected or 0) - len(self)) if named is None else int(named.size)

    @property
    def missing_indices(self) -> IntArray | None:
        """Index of the inputs that are missing; None where the run does not say which inputs it is of."""
        return missing_inputs(self.config, self.indices)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the numbers must know, a sentence each: from the config, of growth and of the storage."""
        unsealed = [BEFORE_CHECKSUMS] if self.config.schema == UNSEALED else []
        return (*self.config.notes, *self._share(), *self.config.growth_notes, *self._still_growing(), *unsealed)

    @property
    def measures(self) -> tuple[str, ...]:
        """Names of the measures that the run holds histograms of, without the lead; empty before the first input."""
        return tuple(self.ranges)

    @property
    def ranges(self) -> dict[str, tuple[float, float]]:
        """Smallest and largest value of each of :attr:`measures`."""
        return {name: ends for schema in self._parts.schemas() for name, ends in ranges_in(schema).items()}

    @property
    def pairs(self) -> int:
        """Number of pairs of the lead that the run holds histograms of at most; 0 where the lead was not sampled."""
        return max((pairs_in(schema) for schema in self._parts.schemas()), default=0)

    @property
    def skipped(self) -> list[Record]:
        """Records of the inputs that could not be read."""
        return [
            Record(row["index"], row["id"], row["label"], row["seconds"], None, row["error"])
            for table in self.tables(["index", "id", "label", "seconds", "error"])
            for row in table.filter(table["error"].is_valid()).to_pylist()
        ]

    def records(self) -> list[Record]:
        """All records, by ascending index. For many inputs :meth:`iter_records` needs far less memory."""
        return list(self.iter_records())

    def iter_records(self) -> Iterator[Record]:
        """Records by ascending index, read part by part: memory does not grow with the number of inputs.

        Raises:
            RunError: If the run is an imported log, which holds no samples, or a part is damaged.
        """
        self._require_samples()
        for table in self.tables():
            yield from from_table(table)

    def record(self, index: int) -> Record:
        """The record of one input, by its index in the source.

        Raises:
            RunError: If the run does not hold it, is an imported log, or a part is damaged.
        """
        self._require_samples()
        table = self._parts.row(index)
        if table is None:
            raise RunError(f"{self.label} holds no input with index {index}")
        return next(from_table(table))

    def find(self, wanted: str) -> int:
        """Index of the input that a person means.

        Args:
            wanted: The id of an input; or its index in the source; or ``"#k"`` for the k-th input of the run, from 1.

        Raises:
            RunError: If there is none, and the message lists what is near; or if several have this id.
        """
        indices, ids = [], []
        for table in self.tables(["index", "id"]):
            indices += table["index"].to_pylist()
            ids += table["id"].to_pylist()
        named = [index for index, name in zip(indices, ids, strict=True) if name == wanted]
        if len(named) > 1:
            some = ", ".join(map(str, named[:_NEAR])) + (" and more" if len(named) > _NEAR else "")
            raise RunError(f"{self.label} holds {len(named)} inputs {wanted!r}: give the index of one, such as {some}")
        if named:
            return int(named[0])
        if (number := _number(wanted)) is not None and number in indices:
            return number
        if wanted.startswith("#") and 1 <= (_number(wanted[1:]) or 0) <= len(indices):
            return int(indices[int(wanted[1:]) - 1])
        raise RunError(f"{self.label} holds no input {wanted!r}; {_near(wanted, indices, ids)}")

    def tables(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """The records as Arrow tables by ascending index: the cheap way to a few columns of many inputs.

        Args:
            columns: Names from ``smoothcert.runs.records.make_schema``, null where the run has no such measure; None
                for all.

        Raises:
            RunError: If a part is damaged or does not belong to the run.
        """
        return self._parts.read(columns)

    def files(self) -> list[AnyPath]:
        """The files the run consists of, its configuration first."""
        if isinstance(self._parts, Parts):
            return [self.path / CONFIG, *self._parts.paths()]
        return [file for one in self.members for file in one.files()]

    def state(self) -> RunState:
        """What is stored and in which condition, input by input; a damaged part is reported, not raised."""
        if isinstance(self._parts, Parts):
            return state_of(self._parts)
        return joined_state([one.state() for one in self.members], self.config)

    def per_input(self) -> pa.Table:
        """One row per input: what was sampled and predicted, without the histograms.

        Columns are ``index``, ``id``, ``label``, ``prediction``, ``abstained`` (by its class radius at the run's
        alpha), ``class_radius``, ``n0``, ``n``, ``seconds``, ``error``, ``answer``, ``clean_prediction`` (of the base
        classifier without noise; null in runs of earlier versions), and for each measure and the lead ``{name}_mean``
        of the estimation samples; null where an input was skipped, and the class radius also where the run decided a
        question: it stopped sampling by what it saw.

        Raises:
            RunError: If the run is an imported log, or a part is damaged.
        """
        self._require_samples()
        return input_table(self.tables(), self.config)

    def to_pandas(self) -> pd.DataFrame:
        """:meth:`per_input` as a data frame.

        Raises:
            MissingDependencyError: If pandas is not installed.
            RunError: If the run is an imported log, or a part is damaged.
        """
        try:
            import pandas  # noqa: F401
        except ImportError as error:
            raise MissingDependencyError("Run.to_pandas needs pandas: pip install pandas") from error
        return self.per_input().to_pandas()

    def _share(self) -> list[str]:
        """A sentence if these are not all inputs of the run by themselves."""
        if self.config.shard is None:
            return []
        many = "" if self.config.inputs is None else f" of {self.config.inputs:,} inputs"
        return [f"this is shard {self.config.shard} of a run{many}: what is said of all inputs is of its share alone"]

    def _still_growing(self) -> list[str]:
        """A sentence if some inputs hold fewer samples than others will."""
        sizes = self.sizes if self.config.grown else {}
        less = [f"{count:,} hold {size:,} samples" for size, count in sizes.items() if size < self.config.n]
        if not less:
            return []
        whole = f"{sizes.get(self.config.n, 0):,} of {sum(sizes.values()):,} inputs hold {self.config.n:,} samples"
        return [f"this run is still growing: {whole}, {', '.join(less)}; each certificate is of its input's own number"]

    def _require_samples(self) -> None:
        if self.config.kind == IMPORTED:
            raise RunError(f"{self.label} is an imported log: it holds published bounds and no samples")


def _number(text: str) -> int | None:
    """The number a text is; the largest index for all beyond."""
    return min(int(text[:20]), 2**62) if text.isascii() and text.isdigit() else None


def _near(wanted: str, indices: Sequence[int], ids: Sequence[str]) -> str:
    """What a person may have meant."""
    if not ids:
        return "the run is empty"
    near = difflib.get_close_matches(wanted, ids[:10_000], n=_NEAR, cutoff=0.5)
    near += [name for name in ids if wanted and wanted in name][: _NEAR - len(near)]
    if (number := _number(wanted.removeprefix("#"))) is not None:
        at = int(np.clip(np.searchsorted(indices, number), 0, len(indices) - 1))
        around = [str(index) for index in indices[max(0, at - 1) : at + 2]]
        return f"the nearest indices are {', '.join(around)}, and #1 to #{len(ids)} count the inputs of the run"
    listed = ", ".join(repr(name) for name in dict.fromkeys(near)) or f"{ids[0]!r} (index {indices[0]}) is its first"
    return f"near are {listed}" if near else listed
