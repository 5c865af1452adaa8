"""Everything certified about one input, from what was sampled for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, SupportsIndex, overload
from zlib import crc32

import numpy as np

from smoothcert._check import check_alpha, check_price, check_radii
from smoothcert.bounds import LeadCertificate, ScoreCertificate, TopVotes, deal_seed
from smoothcert.bounds.stated import DEFAULT_RADII, Radii, Thresholds, threshold_list
from smoothcert.card import card, line, table_html, table_text
from smoothcert.errors import InvalidArgumentError, MissingDependencyError
from smoothcert.histogram import ScoreHistogram
from smoothcert.samples import ByContent, Samples, StageHistograms
from smoothcert.scores import LEAD, VOTE
from smoothcert.typing import FloatArray, IntArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False, repr=False)
class Certificate(ByContent):
    """Certificates of one input: its class radius and the certified bounds of every measure that was sampled.

    Each statement holds with probability at least ``1 - alpha`` over the estimation samples and their deal to groups.

    Args:
        prediction: The class that is certified: the one with the highest mean score over the pilot.
        abstained: Whether the class could not be certified even at radius 0; the bounds of the measures still hold.
        class_radius: No change of the input within this L2 radius, in input units, makes another class the most
            probable one; 0.0 if abstained. See :meth:`smoothcert.bounds.TopVotes.class_radius`.
        sigma: Standard deviation of the noise, in input units.
        alpha: Failure probability of each statement.
        n0: Number of pilot samples.
        n: Number of estimation samples.
        votes: How often each class had the highest score among the estimation samples, shape ``(num_classes,)``.
        measures: Certified bounds on the smoothed value of each stored measure of ``prediction``, by its name.
        vote: Certified bounds on the probability that ``prediction`` has the highest score. Its certified radius of 1/2
            by the ``clopper_pearson`` bound is the class radius of Cohen et al.
        lead: Certified bounds on how far the smoothed score of ``prediction`` is ahead of every other's; None where it
            was not sampled.
        rivals: The classes that ``lead.pairs`` compare with.
        offset: L2 distance from the input to the point that was sampled around; every radius here has paid for it.
        step: Step of the lattice that the noise was drawn on; None for noise in floating point.
        price: Part of ``alpha`` that drawing the noise has cost.

    Two certificates are equal where all of this is. A notebook shows one as a table with a plot.
    """

    prediction: int
    abstained: bool
    class_radius: float
    sigma: float
    alpha: float
    n0: int
    n: int
    votes: IntArray
    measures: Mapping[str, ScoreCertificate]
    vote: ScoreCertificate
    lead: LeadCertificate | None = None
    rivals: tuple[int, ...] = ()
    offset: float = 0.0
    step: float | None = None
    price: float = 0.0

    @classmethod
    def from_samples(cls, samples: Samples, *, alpha: float, price: float | None = None) -> Certificate:
        """Certify what was sampled.

        Args:
            samples: What was sampled.
            alpha: Failure probability of each statement, in ``(0, 1/2]``.
            price: How much of ``alpha`` is spent already; None for what the noise of these samples costs.

        Raises:
            InvalidArgumentError: If ``alpha`` is outside its domain, or not above the price.
        """
        level = check_alpha(alpha)
        spent = check_price(samples.price if price is None else price, alpha=level)

        def certificate(name: str, stages: StageHistograms) -> ScoreCertificate:
            return ScoreCertificate(
                stages.pilot,
                stages.sample,
                samples.sigma,
                level,
                seed=deal_seed(samples.seed, samples.content_hash, name),
                offset=samples.offset,
                price=spent,
            )

        leads = [certificate(f"{LEAD}_{i}", stages) for i, stages in enumerate(samples.lead)]
        pairs, rest = tuple(leads[: len(samples.rivals)]), leads[len(samples.rivals) :]
        radius = top_votes(samples).class_radius(sigma=samples.sigma, alpha=level - spent, offset=samples.offset)
        return cls(
            prediction=samples.prediction,
            abstained=bool(radius == 0.0),
            class_radius=float(radius),
            sigma=samples.sigma,
            alpha=level,
            n0=samples.n0,
            n=samples.n,
            votes=samples.votes,
            measures={name: certificate(name, stages) for name, stages in samples.measures.items()},
            vote=certificate(VOTE, vote_histograms(samples)),
            lead=LeadCertificate(pairs, rest[0] if rest else None) if pairs else None,
            rivals=samples.rivals,
            offset=samples.offset,
            step=samples.step,
            price=spent,
        )

    @property
    def score(self) -> ScoreCertificate:
        """Certified bounds on the smoothed score of ``prediction``, in ``[0, 1]``."""
        return self._stored("score")

    @property
    def margin(self) -> ScoreCertificate:
        """Certified bounds on the smoothed margin of ``prediction``, in ``[-1, 1]``."""
        return self._stored("margin")

    def measure(self, name: str) -> ScoreCertificate | LeadCertificate:
        """The certificate of a measure by its name: a stored one, ``"vote"``, or ``"lead"`` where it was sampled.

        Raises:
            InvalidArgumentError: If there is none of this name; the message lists those there are.
        """
        if name == LEAD and self.lead is not None:
            return self.lead
        return self.vote if name == VOTE else self._stored(name)

    @property
    def names(self) -> list[str]:
        """What :meth:`measure` takes."""
        return list(dict.fromkeys([*self.measures, VOTE, *([] if self.lead is None else [LEAD])]))

    def to_dict(
        self, radii: Radii = DEFAULT_RADII, thresholds: Thresholds = (), *, bound: str = "dual"
    ) -> dict[str, Any]:
        """What is certified, as numbers, strings and lists that any JSON writer takes.

        Each number in ``lower``, ``upper`` and ``radius`` is a statement of its own at ``alpha``.

        Args:
            radii: L2 radii in input units, one or a flat list.
            thresholds: Values whose certified radius is wanted, of every measure; one, a flat list, or none.
            bound: One of ``"dual"``, ``"cdf"``, ``"hoeffding"``, ``"clopper_pearson"``.

        Returns:
            ``prediction``, ``abstained``, ``class_radius``, ``sigma``, ``alpha``, ``price``, ``n0``, ``n``, ``step``,
            ``offset``, ``votes`` and ``rivals`` as the attributes of these names; ``bound``, ``radii`` and
            ``thresholds`` as asked; and ``measures``, for each of :attr:`names` a dictionary of its ``mean`` and
            ``range``, ``lower`` and ``upper`` with a bound for each of ``radii``, and ``radius`` with one for each of
            ``thresholds``, None where there is no limit to it because the threshold lies below the range.

        Raises:
            InvalidArgumentError: If a radius or threshold is outside its domain, or the bound is unknown.
        """
        return {
            "prediction": int(self.prediction),
            "abstained": self.abstained,
            "class_radius": self.class_radius,
            "sigma": float(self.sigma),
            "alpha": self.alpha,
            "price": self.price,
            "n0": self.n0,
            "n": self.n,
            "step": self.step,
            "offset": self.offset,
            "votes": self.votes.tolist(),
            "rivals": [int(rival) for rival in self.rivals],
            "bound": bound,
            "radii": check_radii(radii).tolist(),
            "thresholds": threshold_list(thresholds),
            "measures": {name: self.measure(name).statements(radii, thresholds, bound=bound) for name in self.names},
        }

    def plot(
        self,
        ax: Axes | Sequence[Axes] | None = None,
        *,
        measures: Sequence[str] | None = None,
        bounds: Sequence[str] = ("dual",),
        radii: FloatArray | None = None,
    ) -> Figure:
        """Draw what is certified over the radius: between the lower and the upper bound, a panel for each measure.

        Args:
            ax: Matplotlib axes to draw on, one for each panel; None for a new figure.
            measures: Measures, a panel for each; None for all, or as many as there are axes.
            bounds: Bounds, a colour for each.
            radii: Radii in input units; None for 0 to 4 sigma.

        Returns:
            The figure, or that of the axes. A notebook shows it as the value of a cell.

        Raises:
            InvalidArgumentError: If there are more or fewer axes than panels, or an argument is outside its domain.
            MissingDependencyError: If Matplotlib is not installed.
        """
        from smoothcert.report import certificate_figure

        if measures is None and ax is not None:
            measures = [name for name in (*self.measures, LEAD) if name in self.names][: np.size(np.asarray(ax))]
        return certificate_figure(self, measures=measures, bounds=bounds, radii=radii, ax=ax)

    def __repr__(self) -> str:
        """One line, numbers rounded down."""
        return f"<Certificate: {line(self)}>"

    def _repr_html_(self) -> str:
        """A table of the bounds at some radii, and where Matplotlib is installed a plot of the first measure."""
        try:
            from smoothcert.report import certificate_svg

            # Told apart on a page, and the same each time the notebook is run.
            drawn = certificate_svg(self, prefix=f"certificate-{crc32(f'{self} {self.votes.tolist()}'.encode()):08x}")
        except MissingDependencyError:
            drawn = ""
        return card(self, drawn)

    def _stored(self, name: str) -> ScoreCertificate:
        if name not in self.measures:
            raise InvalidArgumentError(f"measure must be one of {', '.join(self.names)}; got {name!r}")
        return self.measures[name]


class Certificates(list[Certificate]):
    """Certificates of several inputs: a list that is shown as a table."""

    @overload
    def __getitem__(self, index: SupportsIndex) -> Certificate: ...

    @overload
    def __getitem__(self, index: slice) -> Certificates: ...

    def __getitem__(self, index: SupportsIndex | slice) -> Certificate | Certificates:
        """One of them, or some of them."""
        found = super().__getitem__(index)
        return found if isinstance(found, Certificate) else Certificates(found)

    def __repr__(self) -> str:
        """A table, a line for each of the first inputs."""
        return table_text(self)

    def _repr_html_(self) -> str:
        """The same as HTML."""
        return table_html(self)


def stages_of(samples: Samples, name: str) -> StageHistograms:
    """Histograms of a measure by its name, ``"vote"`` included.

    Raises:
        InvalidArgumentError: If it was not sampled.
    """
    return vote_histograms(samples) if name == VOTE else samples.measure(name)


def vote_histograms(samples: Samples) -> StageHistograms:
    """Votes for the prediction as a measure: 1 where its score is the highest, else 0, on a grid of one step."""
    own = samples.prediction
    pilot, sample = (
        ScoreHistogram(np.array([votes.sum() - votes[own], votes[own]]), 0.0, 1.0, exact=True)
        for votes in (samples.pilot_votes, samples.votes)
    )
    return StageHistograms(pilot, sample)


def top_votes(samples: Samples) -> TopVotes:
    """Votes of the prediction and of its strongest rival, in both stages."""
    own = samples.prediction
    pilot_rival, rival = (int(np.delete(votes, own).max()) for votes in (samples.pilot_votes, samples.votes))
    return TopVotes(
        pilot=int(samples.pilot_votes[own]),
        pilot_rival=pilot_rival,
        n0=samples.n0,
        sample=int(samples.votes[own]),
        sample_rival=rival,
        n=samples.n,
    )
