"""What every analysis takes: a run, or the table of its bounds if there is one already."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeAlias, cast

from smoothcert.analysis.imported_bounds import ImportedBounds, ImportedRun
from smoothcert.analysis.stored_histograms import RunLike
from smoothcert.analysis.table import BoundsTable
from smoothcert.errors import DataError

if TYPE_CHECKING:
    from smoothcert.runs import RunConfig

Source: TypeAlias = "RunLike | BoundsTable"


class Configured(Protocol):
    """What says what kind of run it is."""

    @property
    def config(self) -> RunConfig:
        """What defines the run."""


def require_fixed(run: Configured) -> None:
    """Raise ``DataError`` where the number of samples depends on what was sampled, so that no bound holds."""
    if run.config.kind == "decided":
        raise DataError(
            f"the run decided {run.config.question} and can answer nothing else: it stopped sampling each input "
            "when that was settled, and a bound needs a number of samples that was fixed before"
        )


def bounds_table(source: Source, *, alpha: float | None = None) -> BoundsTable:
    """The bounds table of a run, or the table itself if that is what came.

    Args:
        source: A run, or a table made before: pass the table to several analyses to compute each bound once.
        alpha: Instead of the run's own; a table already has one.

    Raises:
        InvalidArgumentError: If ``alpha`` is outside ``(0, 1/2]``.
        DataError: If a table or an imported log was made at another alpha, or the run decided a single question.
    """
    if isinstance(source, BoundsTable):
        table = source
    elif source.config.kind == "imported":
        table = ImportedBounds.from_log(cast(ImportedRun, source))
    else:
        require_fixed(source)
        return BoundsTable.from_run(source, alpha=alpha)
    if alpha is not None and alpha != table.alpha:
        raise DataError(f"the bounds were made at alpha={table.alpha:g} and cannot answer alpha={alpha:g}")
    return table
