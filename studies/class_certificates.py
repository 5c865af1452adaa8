"""How many votes settle whether a class is certified at a radius: fixed numbers, sequences, and ``--decide``.

::

    python studies/class_certificates.py --runs runs/cifar10

The votes are those stored by the CIFAR-10 study. Given how many of an image's votes went to its class, every order of
them is equally likely, so a random order is a sequence as the sampler could have drawn it, up to the number stored.
Every method gets the same sequences. Writes ``results/class_certificates``.
"""

import argparse
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import NDArray
from scipy.special import betaln
from scipy.stats import beta, binom, norm
from steps import RESULTS, markdown, write_csv

from smoothcert import ScoreHistogram
from smoothcert.bounds import CERTIFIED, REFUTED, UNDECIDED, VoteTest
from smoothcert.decision import VOTE_N0, Question
from smoothcert.report import save_figure
from smoothcert.runs import Run

ALPHA = 0.001
RADII = (0.25, 0.5, 0.75)
SEED = 0
LADDER = (100, 1_000, 10_000, 100_000)
CLEAR = 1e-6
"""An image's truth counts as known where a two-sided Clopper-Pearson interval at this level excludes the threshold."""
BOUNDARY_REPEATS = 4_000
Counts = NDArray[np.int64]
Answers = NDArray[np.int8]
YES, NO, OPEN = 1, -1, 0


@dataclass(frozen=True)
class Votes:
    """Of the images of a run: votes for the class in some order, counted as they come, and those of a pilot.

    Args:
        so_far: Votes for the class among the first 1, 2, ..., shape ``(images, limit)``.
        pilot: Votes for it among the first :data:`VOTE_N0` of the pilot, shape ``(images,)``.
    """

    so_far: Counts
    pilot: Counts

    @property
    def limit(self) -> int:
        return self.so_far.shape[1]


@dataclass(frozen=True)
class Found:
    """What a method answers and after how many votes, shape ``(images,)`` each."""

    answers: Answers
    used: Counts


Method = Callable[[Votes, float], Found]


def clopper_pearson(n: int) -> Method:
    """Cohen et al.: so many votes for everyone, then the bound; refuted where the upper bound says so."""

    def found(votes: Votes, p0: float) -> Found:
        high, low = _binomial_thresholds(np.array([n]), p0, np.array([ALPHA]))
        at = votes.so_far[:, n - 1]
        answers = np.where(at >= high[0], YES, np.where(at <= low[0], NO, OPEN)).astype(np.int8)
        return Found(answers, np.full(len(at), n))

    return found


def ladder(votes: Votes, p0: float) -> Found:
    """Clopper-Pearson at 100, 1,000, 10,000, ... votes, each at its share of alpha."""
    looks = np.array([n for n in LADDER if n <= votes.limit])
    return _at_looks(votes, looks, *_binomial_thresholds(looks, p0, np.full(looks.size, ALPHA / looks.size)))


def union_bound(votes: Votes, p0: float) -> Found:
    """Voracek's first: looks a tenth apart from the third vote on, look number t at ``5 alpha / ((t + 4) (t + 5))``."""
    looks, power = [], 11
    for n in range(1, votes.limit + 1):
        if n > 1.1**power:  # where the powers are closer than one vote, every vote is a look
            looks.append(n)
            power += 1
    looks = np.array(looks)
    numbers = np.arange(1, looks.size + 1)
    high, low = _binomial_thresholds(looks, p0, 5 * ALPHA / (numbers + 4) / (numbers + 5))
    # What the next look would decide whatever comes until then is decided already.
    every = np.arange(1, votes.limit + 1)
    following = np.searchsorted(looks, every)
    inside = following < looks.size
    following = np.minimum(following, looks.size - 1)
    high_now = np.where(inside, high[following], every + 1)
    low_now = np.where(inside, low[following] - (looks[following] - every), -1)
    return _at_looks(votes, every, high_now, low_now)


def betting(votes: Votes, p0: float) -> Found:
    """Voracek's second: the mixture over all ``q`` by the arcsine law, looked at after every vote.

    Its capital has to reach ``1 / (2 alpha)``, as in the author's code: the two sides share ``2 alpha``.
    """
    every = np.arange(1, votes.limit + 1)
    return _at_looks(votes, every, _mixture_threshold(every, p0), every - _mixture_threshold(every, 1.0 - p0))


def decide(votes: Votes, p0: float) -> Found:
    """``--decide class@R``: the product's test at the product's looks."""
    looks = list(Question.parse("class@0").looks(votes.limit))
    answers, used = [], []
    for so_far, pilot in zip(votes.so_far, votes.pilot, strict=True):
        test = VoteTest(threshold=0.5, r=float(norm.ppf(p0)), alpha=ALPHA, pilot=_histogram(VOTE_N0, int(pilot)))
        seen = 0
        for n in looks:
            now = int(so_far[n - 1])
            test.update(_histogram(n - test.n, now - seen))
            seen = now
            if test.answer != UNDECIDED:
                break
        answers.append({CERTIFIED: YES, REFUTED: NO, UNDECIDED: OPEN}[test.answer])
        used.append(test.n)
    return Found(np.array(answers, dtype=np.int8), np.array(used))


OURS = "`--decide class@R`"
"""What tables call the product."""


def methods(limit: int) -> dict[str, Method]:
    """What is compared, by the name that tables give it."""
    fixed = {f"Clopper-Pearson, n = {n:,}": clopper_pearson(n) for n in LADDER[1:] if n <= limit}
    return {
        **fixed,
        "Clopper-Pearson at 100, 1,000, ...": ladder,
        "Voráček, union bound": union_bound,
        "Voráček, betting": betting,
        OURS: decide,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, required=True, help="folder of the runs of cifar10.py")
    parser.add_argument("--out", type=Path, default=RESULTS / "class_certificates")
    parser.add_argument("--sigmas", default="0.25,0.5")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    sections, rows, curves = [], [], {}
    for name in [f"sigma_{sigma}{more}" for more in ("", "_more") for sigma in options.sigmas.split(",")]:
        if (options.runs / name).exists():
            run = Run.open(options.runs / name)
            table, text, used = compared(run)
            rows += table
            sections.append(text)
            curves.update(used)
    write_csv(options.out / "class-certificates.csv", HEADER, rows)
    save_figure(_figure(curves), options.out / "votes-used.svg")
    (options.out / "README.md").write_text(_page(sections, rows), encoding="utf-8")
    print(f"written: {options.out / 'README.md'}")


HEADER = (
    "sigma",
    "limit",
    "images",
    "radius",
    "method",
    "certified",
    "refuted",
    "undecided",
    "mean_all",
    "mean_decided",
)
HEADER += ("median_decided", "clear_images", "wrong")


def compared(run: Run) -> tuple[list[list[object]], str, dict[tuple[float, int, float], dict[str, Found]]]:
    """Rows of the table, the section of the page, and what every method found by sigma, limit and radius."""
    votes, counts = drawn(run)
    rows, lines, curves = [], [], {}
    for radius in RADII:
        p0 = float(norm.cdf(radius / run.config.sigma))
        truth = clear(counts, votes.limit, p0)
        found = {name: method(votes, p0) for name, method in methods(votes.limit).items()}
        curves[run.config.sigma, votes.limit, radius] = found
        for name, one in found.items():
            decided = one.answers != OPEN
            wrong = int(((truth != OPEN) & decided & (one.answers != truth)).sum())
            figures = [
                *(int((one.answers == answer).sum()) for answer in (YES, NO, OPEN)),
                float(one.used.mean()),
                float(one.used[decided].mean()) if decided.any() else math.nan,
                float(np.median(one.used[decided])) if decided.any() else math.nan,
                *(int((truth != OPEN).sum()), wrong),
            ]
            rows.append([run.config.sigma, votes.limit, len(counts), radius, name, *figures])
            shown = [*figures[:3], *(f"{value:,.0f}" for value in figures[3:6]), f"{wrong} of {figures[6]}"]
            label = f"{radius:g} ({p0:.3f})"
            lines.append([label, f"**{name}**" if name == OURS else name, *shown])
    header = ["R (share of votes)", "method", "certified", "refuted", "undecided"]
    header += ["votes, mean", "of the decided", "their median", "wrong"]
    title = f"## Sigma {run.config.sigma:g}, {len(counts)} images, up to {votes.limit:,} votes"
    return rows, f"{title}\n\n{markdown(header, lines)}", curves


def drawn(run: Run) -> tuple[Votes, Counts]:
    """Random orders of the stored votes, and how many of an image's votes are for its class."""
    generator = np.random.default_rng(SEED)
    so_far, pilots, counts = [], [], []
    for record in run.iter_records():
        samples = record.samples
        own = samples.prediction
        for_class = int(samples.votes[own])
        order = generator.permutation(np.arange(samples.n) < for_class)
        so_far.append(np.cumsum(order, dtype=np.int32))
        pilot = int(samples.pilot_votes[own])
        pilots.append(generator.hypergeometric(pilot, samples.n0 - pilot, VOTE_N0))
        counts.append(for_class)
    return Votes(np.array(so_far), np.array(pilots)), np.array(counts)


def clear(counts: Counts, n: int, p0: float) -> Answers:
    """Whether the class is certified with the votes' distribution known, where ``n`` votes leave no doubt of it."""
    low = beta.ppf(CLEAR / 2, np.maximum(counts, 1e-9), n - counts + 1)
    high = beta.ppf(1 - CLEAR / 2, counts + 1, np.maximum(n - counts, 1e-9))
    high = np.where(counts == n, 1.0, high)
    return np.where(low > p0, YES, np.where(high < p0, NO, OPEN)).astype(np.int8)


def at_the_boundary(limit: int = 2_000) -> Iterator[list[object]]:
    """How often each method certifies where the class has exactly the share of votes that is too few."""
    generator = np.random.default_rng(SEED)
    for p0 in (0.75, 0.95):
        votes = Votes(
            np.cumsum(generator.random((BOUNDARY_REPEATS, limit)) < p0, axis=1, dtype=np.int32),
            generator.binomial(VOTE_N0, p0, BOUNDARY_REPEATS),
        )
        for name, method in methods(limit).items():
            found = method(votes, p0).answers
            yield [p0, name, int((found == YES).sum()), int((found == NO).sum()), BOUNDARY_REPEATS]


def _histogram(votes: int, for_class: int) -> ScoreHistogram:
    return ScoreHistogram(np.array([votes - for_class, for_class]), 0.0, 1.0, exact=True)


def _binomial_thresholds(n: Counts, p0: float, alpha: NDArray[np.float64]) -> tuple[Counts, Counts]:
    """At least so many of ``n`` votes exclude ``p <= p0``, at most so many ``p >= p0``, each with error ``alpha``."""
    high = binom.isf(alpha, n, p0).astype(np.int64) + 1
    low = n - (binom.isf(alpha, n, 1.0 - p0).astype(np.int64) + 1)
    return high, low


def _mixture_threshold(n: Counts, p0: float) -> Counts:
    """Fewest of ``n`` votes with which the mixture of all ``q`` outweighs ``p0`` by ``1 / (2 alpha)``."""
    none, enough = np.ceil(p0 * n).astype(np.int64) - 1, n + 1
    while (enough - none > 1).any():
        middle = (none + enough) // 2
        ratio = betaln(middle + 0.5, n - middle + 0.5) - betaln(0.5, 0.5)
        ratio -= middle * math.log(p0) + (n - middle) * math.log1p(-p0)
        reached, open_ = ratio >= math.log(0.5 / ALPHA), enough - none > 1
        enough, none = np.where(open_ & reached, middle, enough), np.where(open_ & ~reached, middle, none)
    return np.minimum.accumulate(enough[::-1])[::-1]


def _at_looks(votes: Votes, looks: Counts, high: Counts, low: Counts) -> Found:
    """The first look at which the votes for the class are at least ``high`` or at most ``low``."""
    seen = votes.so_far[:, looks - 1]
    certified, settled = seen >= high, (seen >= high) | (seen <= low)
    first = settled.argmax(axis=1)
    ever = settled.any(axis=1)
    yes = certified[np.arange(len(seen)), first]
    answers = np.where(ever, np.where(yes, YES, NO), OPEN).astype(np.int8)
    return Found(answers, np.where(ever, looks[first], votes.limit))


def _figure(curves: dict[tuple[float, int, float], dict[str, Found]]) -> plt.Figure:
    """Share of the images settled over the number of votes, one panel for each sigma and radius."""
    shown = [key for key in curves if key[1] == min(limit for _, limit, _ in curves)]
    sigmas = sorted({sigma for sigma, _, _ in shown})
    figure, axes = plt.subplots(len(sigmas), len(RADII), figsize=(9, 2.9 * len(sigmas)), squeeze=False, sharey=True)
    for sigma, limit, radius in shown:
        panel = axes[sigmas.index(sigma), RADII.index(radius)]
        for name, one in curves[sigma, limit, radius].items():
            settled = np.sort(one.used[one.answers != OPEN])
            share = np.arange(1, settled.size + 1) / one.used.size
            ours = name == OURS
            panel.step(
                settled, share, where="post", label=name.strip("`"), lw=2 if ours else 1, zorder=3 if ours else 2
            )
        panel.set_xscale("log")
        panel.set_xlim(10, limit * 1.2)
        panel.set_ylim(0, 1)
        panel.set_title(f"sigma {sigma:g}, R = {radius:g}", fontsize=9)
        panel.grid(alpha=0.3)
    for panel in axes[-1]:
        panel.set_xlabel("votes")
    for row in axes:
        row[0].set_ylabel("fraction of images settled")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=3, fontsize=8, frameon=False)
    figure.tight_layout(rect=(0, 0.09, 1, 1))
    return figure


def _page(sections: list[str], rows: list[list[object]]) -> str:
    boundary = [
        [f"{p0:g}", f"**{name}**" if name == OURS else name, f"{yes} of {repeats}", f"{no} of {repeats}"]
        for p0, name, yes, no, repeats in at_the_boundary()
    ]
    ours = {(row[0], row[1], row[3]): row for row in rows if row[4] == OURS}
    factors = [
        [f"{sigma:g}", f"{limit:,}", f"{radius:g}", f"{row[8]:,.0f}", f"{limit / row[8]:.1f}", f"{limit / row[9]:.1f}"]
        for (sigma, limit, radius), row in ours.items()
    ]
    shown = "\n".join(sections)
    return f"""# Class certificates: how many votes settle the question

Written by `studies/class_certificates.py`. The question: is the class certified at R, that is, has it more than
Phi(R / sigma) of the votes? Alpha {ALPHA:g} for each answer. The votes are those of the CIFAR-10 study, in a random
order, which given their number is as the sampler would draw them; all methods see the same order. Votes that select
the class are not counted: everyone needs some ({VOTE_N0} here, which also tell `--decide` where to begin).

- *Clopper-Pearson*: the usual certificate (Cohen et al. 2019), after a fixed number of votes; refuted where its upper
  bound is too low.
- *Clopper-Pearson at 100, 1,000, ...*: the same at a few numbers that share alpha.
- *Voráček*: the two confidence sequences of [Voráček (2024)](https://arxiv.org/abs/2406.17830), written anew from their
  formulas: a union bound over looks that are a tenth apart, and the bets of a mixture that looks after every vote, at
  the level of the author's code, with which both agree vote for vote (on 1,800 simulated sequences).
- *`--decide class@R`*: this package's test at its own looks, a mixture that begins with what the pilot saw.

*Wrong*: answers against the truth, over the images of whose truth the whole number of votes leaves no doubt
(Clopper-Pearson at {CLEAR:g}).

{shown}
![fraction of images settled over the number of votes](votes-used.svg)

## Beside a fixed number

What a fixed number of votes is, divided by what `--decide` takes: on average over all images, where those undecided
count with the whole number, and over the decided ones.

{markdown(["sigma", "fixed", "R", "votes, mean", "all images: fewer by", "the decided: fewer by"], factors)}
[Halt Fast](https://arxiv.org/abs/2606.27694) reports 20 times fewer for a sequential test whose prior a trained network
predicts for each image. It was not run here. Such a factor depends on the fixed number that is divided and on how many
images lie near the threshold, as the table shows.

## Where it loses

- Whoever can afford the fixed number anyway certifies a few images more with it: those near the threshold, for which a
  test that may stop at any time pays. At the largest radius the difference is largest.
- Where all votes agree, the first possible look settles it, and betting that looks after every vote needs as few.
- Its pilot has {VOTE_N0} samples. That is enough to choose a class that can be certified; where two classes are close
  it chooses the wrong one more often than 100 would, and then refutes it.

## At the boundary

How often each certifies, and refutes, where the class has exactly the share of votes in question, so that "certified"
is wrong: alpha allows {ALPHA * BOUNDARY_REPEATS:g} of {BOUNDARY_REPEATS:,}. Simulated, up to 2,000 votes.

{markdown(["share of votes", "method", "certified", "refuted"], boundary)}"""


if __name__ == "__main__":
    main()
