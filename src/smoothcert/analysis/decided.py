"""A decided run in one row: how often the answer is yes, how often there is none, and what it cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from smoothcert.analysis.proportion import Proportion, proportion
from smoothcert.bounds import CERTIFIED, REFUTED, UNDECIDED
from smoothcert.decision import Question
from smoothcert.errors import DataError
from smoothcert.typing import IntArray

if TYPE_CHECKING:
    from smoothcert.runs import Run

REFERENCE = 100_000
"""Samples per input that Cohen et al. and Kumar et al. take, whatever the question."""

ANSWERS = (CERTIFIED, REFUTED, UNDECIDED)
COLUMNS = ("index", "label", "prediction", "answer", "pilot_votes_counts", "votes_counts")


@dataclass(frozen=True, eq=False)
class DecidedSummary:
    """What a decided run found, over its inputs. Proportions carry exact 95% intervals over the inputs.

    Each answer is wrong with probability at most ``alpha``: of all the inputs expect at most ``alpha * inputs`` wrong.

    Args:
        question: What was asked of every input.
        alpha: Probability that an answer is wrong, over the noise.
        inputs: Inputs that were decided, or could not be within ``max_n`` samples.
        skipped: Inputs that could not be read.
        certified_accuracy: Fraction of the labelled inputs that are predicted right and certified; ``None`` if none is.
        certified: Fraction certified, right or not.
        refuted: Fraction refuted.
        undecided: Fraction without an answer.
        n0: Pilot samples per input.
        max_n: Most estimation samples an input might take.
        mean_samples: Mean number of samples per input, pilot included.
        median_samples: Median of the same.
        samples: For each answer the numbers of samples its inputs took, each of shape ``(inputs,)``.
    """

    question: Question
    alpha: float
    inputs: int
    skipped: int
    certified_accuracy: Proportion | None
    certified: Proportion
    refuted: Proportion
    undecided: Proportion
    n0: int
    max_n: int
    mean_samples: float
    median_samples: float
    samples: dict[str, IntArray]

    @property
    def times_fewer(self) -> float:
        """How many times fewer samples than 100,000 an input took on average."""
        return REFERENCE / self.mean_samples


def decided_summary(run: Run) -> DecidedSummary:
    """Summarize a decided run; it may still be going on.

    Raises:
        DataError: If the run decides no question or holds no input yet.
    """
    config = run.config
    if config.question is None:
        raise DataError(f"{run.path} is no run that decides a question: it answers any, by its bounds")
    rows = [row for table in run.tables(COLUMNS) for row in table.to_pylist()]
    decided = [row for row in rows if row["answer"] is not None]
    if not decided:
        raise DataError(f"{run.path} holds no decided input yet")
    by_answer = {
        answer: np.array([_samples(row) for row in decided if row["answer"] == answer], dtype=np.int64)
        for answer in ANSWERS
    }
    samples = np.concatenate(list(by_answer.values()))
    labelled = [row for row in decided if row["label"] is not None]
    right = sum(row["answer"] == CERTIFIED and row["prediction"] == row["label"] for row in labelled)
    return DecidedSummary(
        question=Question.parse(config.question),
        alpha=config.alpha,
        inputs=len(decided),
        skipped=len(rows) - len(decided),
        certified_accuracy=proportion(right, inputs=len(labelled)) if labelled else None,
        certified=proportion(by_answer[CERTIFIED].size, inputs=len(decided)),
        refuted=proportion(by_answer[REFUTED].size, inputs=len(decided)),
        undecided=proportion(by_answer[UNDECIDED].size, inputs=len(decided)),
        n0=config.n0,
        max_n=config.n,
        mean_samples=float(np.mean(samples)),
        median_samples=float(np.median(samples)),
        samples=by_answer,
    )


def _samples(row: dict[str, Any]) -> int:
    return int(sum(row["pilot_votes_counts"]) + sum(row["votes_counts"]))
