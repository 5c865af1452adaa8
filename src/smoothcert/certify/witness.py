"""Before a run is continued: is the classifier still the one it began with, and are the inputs still those?

Files can be hashed, and are. What cannot be seen in files, such as another build of a library, shows in the scores.
They are compared up to rounding, because another batch size may move the last bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from smoothcert.certify.inputs import naming, readable
from smoothcert.errors import RunError
from smoothcert.runs.config import Witness
from smoothcert.runs.run import Run
from smoothcert.sampling.probe import allowed_change, logits, steady_scores

if TYPE_CHECKING:
    from smoothcert.certify.prepare import Prepared
    from smoothcert.data import Example
    from smoothcert.sampling import Sampler

_SAMPLES = 32
_INPUTS = 32


def take_witness(sampler: Sampler, example: Example, *, n0: int, seed: int) -> Witness:
    """Scores of the first pilot samples of an input, as the run draws them."""
    scores = _sampled(sampler, example, min(_SAMPLES, n0), seed=seed)
    top = scores.argmax(dim=1)
    return Witness(
        index=example.index,
        id=example.id,
        content_hash=sampler.noisy(example.x, seed=seed).content_hash,
        predictions=tuple(top.tolist()),
        logits=tuple(round(value, 6) for value in _of(scores, top)),
    )


@dataclass(frozen=True)
class Known:
    """What a stored run says of its classifier and its inputs, to be seen again before it is continued.

    Args:
        path: The run folder.
        witness: Scores it began with, if any.
        contents: Hashes of the content of some of its inputs, by index.
    """

    path: str
    witness: Witness | None
    contents: Mapping[int, str]

    @classmethod
    def of(cls, stored: Run) -> Known:
        """What is known of a run."""
        hashes = {index: known for index, known in _contents(stored).items() if known is not None}
        some = sorted(hashes)[:: max(1, len(hashes) // _INPUTS)]
        return cls(str(stored.path), stored.config.witness, {index: hashes[index] for index in some})


def require_unchanged(run: Prepared, known: Known) -> None:
    """Sample what a stored run began with again, and read some of its inputs again.

    Args:
        run: What is to continue it.
        known: What is stored.

    Raises:
        RunError: If scores or inputs are not those that are stored; the message names the input.
    """
    positions = {index: position for position, index in enumerate(run.data.indices)}
    if (witness := known.witness) is not None and witness.index in positions:
        for example in readable(run.data, [positions[witness.index]]):
            _require_scores(run, example, witness, known.path)
    for example in readable(run.data, [positions[index] for index in known.contents if index in positions]):
        _require_content(run, example, known.contents[example.index], known.path)


def _require_content(run: Prepared, example: Example, known: str, path: str) -> None:
    if run.sampler.noisy(example.x, seed=run.config.seed).content_hash != known:
        raise _refusal(path, f"input {example.index} ({example.id}) is another than the one that was sampled")


def _require_scores(run: Prepared, example: Example, known: Witness, path: str) -> None:
    _require_content(run, example, known.content_hash, path)
    scores = _sampled(run.sampler, example, len(known.logits), seed=run.config.seed)
    pairs = zip(_of(scores, torch.tensor(known.predictions)), known.logits, strict=True)
    change = max(abs(now - then) / max(1.0, abs(now), abs(then)) for now, then in pairs)
    if not change <= 10.0 * allowed_change(run.sampler.classifier):
        raise _refusal(
            path,
            f"the scores of input {example.index} ({example.id}) differ from those it began with (logits by up to "
            f"{change:.1%}), so the base classifier is another",
        )


def _sampled(sampler: Sampler, example: Example, count: int, *, seed: int) -> Tensor:
    with naming(example):
        return steady_scores(sampler.classifier, sampler.noisy(example.x, seed=seed).copies("pilot", 0, count))


def _of(scores: Tensor, classes: Tensor) -> list[float]:
    """The logit of one class in each row."""
    found: list[float] = logits(scores)[torch.arange(len(classes)), classes].tolist()
    return found


def _contents(run: Run) -> dict[int, str | None]:
    """Content hashes of the stored inputs by their index; None of those that were skipped."""
    columns = ("index", "content_hash")
    tables = ([table[name].to_pylist() for name in columns] for table in run.tables(columns))
    return {index: content for pair in tables for index, content in zip(*pair, strict=True)}


def _refusal(path: str, what: str) -> RunError:
    return RunError(f"{path} holds another run: {what}; choose another folder")
