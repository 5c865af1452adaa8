"""How far a run goes, apart from what it is: how many samples, of which inputs; how it grows, and how shares are one.

What a run *is* decides every sample: the classifier, the noise, the data. Its *extent* is how many samples are drawn
per input and of which inputs. A run keeps the fingerprint of its first extent, to which its parts and records are
bound, so what is stored stays valid when it grows. It is never made smaller: whoever wants less has that already.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_DOWN, Context, Decimal
from typing import TYPE_CHECKING

from smoothcert.errors import RunError
from smoothcert.fields import Checked, Count

if TYPE_CHECKING:
    from smoothcert.runs.config import RunConfig


@dataclass(frozen=True, kw_only=True)
class Extent(Checked):
    """How far a run goes, or went before it grew.

    Args:
        n: Number of estimation samples per input; in a decided run the most an input may take.
        inputs: Number of inputs, if known.
        indices: Their first index in the source, the one behind the last, and their step, if they are evenly spaced.
        data_fingerprint: Of their selection, preparation and content.
    """

    n: Count
    inputs: int | None = None
    indices: tuple[int, int, int] | None = None
    data_fingerprint: str | None = None

    def __str__(self) -> str:
        """For people."""
        many = "" if self.inputs is None else f" of {self.inputs:,} inputs"
        return f"{self.n:,} samples per input{many}"


def grown(
    kept: RunConfig, asked: RunConfig, *, fingerprint_of: Callable[[Extent], str | None], where: object
) -> RunConfig:
    """The configuration under which a stored run goes on: the stored one, or one that goes further.

    Args:
        kept: The stored configuration.
        asked: That of the run as it is asked for now.
        fingerprint_of: Of the inputs at hand that are in an extent; None if they are not all there.
        where: The run folder, for errors.

    Raises:
        RunError: If it is another run, naming what differs, or would have to shrink.
    """
    ours, theirs = kept.extent, asked.extent
    if not kept.is_same_but_for_extent(asked):
        told = kept.told_apart(asked, but_for=() if kept.question != asked.question else ("n", "max_n"))
        raise RunError(f"{where} holds another run: {told}; choose another folder")
    require_same_shard(kept, asked, where=where)
    if (ours.n, ours.data_fingerprint) == (theirs.n, theirs.data_fingerprint):
        return kept
    if kept.question is not None and ours.n != theirs.n:
        raise RunError(
            f"{where} decided {kept.question} with at most {ours.n:,} samples per input, and its answers are only good "
            f"for that many: choose another folder for {theirs.n:,}"
        )
    same_data = ours.data_fingerprint == theirs.data_fingerprint
    fewer = not same_data and _contains(ours, theirs)
    if not same_data and not fewer and fingerprint_of(ours) != ours.data_fingerprint:
        told = kept.told_apart(asked, but_for=("n",))
        raise RunError(f"{where} holds another run: {told}; choose another folder")
    if theirs.n < ours.n or fewer:
        raise RunError(
            f"{where} holds more than is asked for, {ours} and not {theirs}: a run grows and never shrinks; ask for as "
            "much, or choose another folder"
        )
    if not same_data:
        _require_share_stays(kept, asked, where=where)
    sampling = kept.spec.sampling if ours.n == theirs.n else replace(kept.spec.sampling, n=theirs.n)
    kept_notes = [note for note in kept.notes if note not in asked.notes]
    if not same_data:
        kept_notes = [f"when it had {ours.inputs:,} inputs: {note}" for note in kept_notes]
    return replace(
        kept,
        spec=replace(kept.spec, data=asked.spec.data, sampling=sampling),
        inputs=theirs.inputs,
        indices=theirs.indices,
        data_fingerprint=theirs.data_fingerprint,
        notes=(*asked.notes, *kept_notes),
        grown=(*kept.grown, ours),
    )


def require_same_shard(kept: RunConfig, asked: RunConfig, *, where: object) -> None:
    """Raise ``RunError`` unless both are the same share of a run, or both the whole."""
    if kept.shard == asked.shard:
        return
    if kept.shard is None:
        raise RunError(f"{where} holds the whole of its run; choose another folder for shard {asked.shard}")
    other = "the whole" if asked.shard is None else f"shard {asked.shard}"
    raise RunError(f"{where} holds shard {kept.shard} of its run; choose another folder for {other}")


def joined(configs: Sequence[RunConfig], *, names: Sequence[object]) -> RunConfig:
    """The configuration of several shares of one run, as one: it goes as far as any of them.

    It has the notes of all, and is a shard only where all are the same one.

    Args:
        configs: At least one.
        names: Of their folders, for errors.

    Raises:
        RunError: If two are of different runs, naming both and what differs, or have grown to other inputs.
    """
    first = configs[0]
    for config, name in zip(configs[1:], names[1:], strict=True):
        if config.fingerprint != first.fingerprint:
            told = first.told_apart(config) or f"they began as {first.first} and as {config.first}"
            raise RunError(f"{names[0]} and {name} are shares of different runs: {told}")
    at = max(range(len(configs)), key=lambda position: configs[position].inputs or 0)
    widest = configs[at]
    known = {extent.data_fingerprint for extent in widest.extents}
    for config, name in zip(configs, names, strict=True):
        if config.data_fingerprint not in known:
            raise RunError(
                f"{names[at]} and {name} have grown to different inputs, of {widest.inputs:,} and {config.inputs:,}: "
                "they are no shares of one run"
            )
    n = max(config.n for config in configs)
    whole = replace(
        widest,
        spec=widest.spec if widest.n == n else widest.spec.vary(n=n),
        notes=tuple(dict.fromkeys(note for config in configs for note in config.notes)),
    )
    shards = {config.shard for config in configs}
    if len(shards) > 1:
        whole = replace(whole, spec=whole.spec.vary(shard=None))
    earlier = dict.fromkeys(extent for config in configs for extent in config.extents)
    earlier.pop(whole.extent, None)
    return replace(whole, grown=tuple(earlier)) if earlier or whole.grown else whole


def growth_notes(config: RunConfig) -> tuple[str, ...]:
    """What a reader must know of a run that has grown: what is still true, and what to do."""
    notes = []
    *before, n = config.sizes
    if before:
        looks = len(config.sizes)
        notes.append(
            f"samples were added to this run after n {_listed(before)} could be looked at, up to {n:,} per input: each "
            "certificate is wrong with probability at most alpha if that was decided before anybody looked, and with "
            f"at most {looks} times alpha if it was decided by what was seen; then ask at alpha divided by the {looks} "
            f"looks, --alpha {_share(config.alpha, looks)}"
        )
    *before, inputs = sorted({extent.inputs or 0 for extent in config.extents})
    if before:
        notes.append(
            f"inputs were added to this run, {inputs:,} in place of {_listed(before)}: their certificates are as good "
            "as any, but an interval over the inputs is only good if that was decided before anybody looked"
        )
    return tuple(notes)


def _share(alpha: float, looks: int) -> str:
    """What each look may take of alpha, rounded down."""
    return f"{Context(prec=4, rounding=ROUND_DOWN).divide(Decimal(repr(alpha)), Decimal(looks)):f}"


def _listed(numbers: Sequence[int]) -> str:
    return " and ".join(f"{number:,}" for number in numbers)


def _contains(larger: Extent, smaller: Extent) -> bool:
    """Whether all inputs of an extent are among those of another, as far as their positions tell."""
    if larger.indices is None or smaller.indices is None:
        return False
    held = range(*larger.indices)
    return len(range(*smaller.indices)) < len(held) and all(index in held for index in range(*smaller.indices))


def _require_share_stays(kept: RunConfig, asked: RunConfig, *, where: object) -> None:
    """Refuse a growth that deals other inputs to a shard than those it has."""
    if kept.shard is None or kept.indices is None:  # of an uneven selection the stored inputs are the first
        return
    before, after = kept.own, asked.own
    if before is None or after is None or not set(before) <= set(after):
        raise RunError(
            f"{where} holds shard {kept.shard}, and in the larger selection that shard has other inputs: merge the "
            "shards and let the whole grow"
        )
