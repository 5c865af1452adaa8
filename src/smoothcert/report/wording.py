"""Numbers and sentences for people: what is certified from below is floored, what bounds from above is ceiled."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

from smoothcert.analysis import Askable, BoundsTable, CertifiedAccuracy, Estimate, Proportion, RadiusCorrelation
from smoothcert.analysis.inputs import NO_LABEL
from smoothcert.bounds import ceil_decimals, exact_text, floor_decimals


def percent(count: int, inputs: int) -> str:
    """``count / inputs`` as a percentage, rounded down from the exact ratio.

    Example:
        >>> percent(29, 100), percent(1999, 2000)
        ('29.0%', '99.9%')
    """
    tenths = 1000 * count // inputs
    return f"{tenths // 10}.{tenths % 10}%"


def percent_interval(low: float, high: float) -> str:
    """The ends of an interval as percentages, rounded outward.

    Example:
        >>> percent_interval(0.7979, 0.8811)
        '79.7–88.2%'
    """
    ends = [Decimal(floor_decimals(low, 3)) * 100, Decimal(ceil_decimals(high, 3)) * 100]
    return f"{ends[0]:.1f}–{ends[1]:.1f}%"


def percent_below(value: float) -> str:
    """A certified lower bound as a percentage, rounded down.

    Example:
        >>> percent_below(0.8019)
        '80.1%'
    """
    return f"{Decimal(floor_decimals(value, 3)) * 100:.1f}%"


def proportion_pair(found: Proportion) -> tuple[str, str]:
    """A proportion and its interval, as percentages."""
    return percent(found.count, found.inputs), percent_interval(found.ci_low, found.ci_high)


def step_words(step: float) -> str:
    """A step of a lattice, as a fraction where it is one.

    Example:
        >>> step_words(1 / 255), step_words(0.3)
        ('1/255', '0.3')
    """
    parts = round(1.0 / step)
    return f"1/{parts}" if parts > 1 and abs(parts * step - 1.0) < 1e-9 else exact_text(step)


def proportion_words(found: Proportion) -> str:
    """A proportion with its interval.

    Example:
        >>> from smoothcert.analysis import proportion
        >>> proportion_words(proportion(41, inputs=60))
        '68.3% (55.0–79.8%)'
    """
    value, interval = proportion_pair(found)
    return f"{value} ({interval})"


def accuracy_words(row: CertifiedAccuracy) -> tuple[str, str]:
    """A certified accuracy and its interval, as percentages."""
    count = round(row.certified_accuracy * row.inputs)
    return percent(count, row.inputs), percent_interval(row.ci_low, row.ci_high)


def estimate_words(found: Estimate | None) -> str:
    """An estimate, rounded down, with its interval rounded outward; a dash where it is not defined."""
    if found is None:
        return "—"
    value = floor_decimals(found.value)
    if found.ci_low is None or found.ci_high is None:
        return value
    return f"{value} ({floor_decimals(found.ci_low)} to {ceil_decimals(found.ci_high)})"


def pairs_words(found: RadiusCorrelation) -> str:
    """How many inputs are correlated, and how many are not and why."""
    left_out = [
        f"{count:,} {why}"
        for count, why in (
            (found.abstained, "abstained on"),
            (found.other_class, "of another class"),
            (found.unshared, "without a class radius"),
        )
        if count
    ]
    inputs = count_words(found.values.size, "input")
    return f"{inputs}; left out: {', '.join(left_out)}" if left_out else inputs


def correlation_words(found: RadiusCorrelation) -> str:
    """Both correlations to two digits, where they are defined, and a semicolon."""
    if found.pearson is None or found.spearman is None:
        return ""
    return f"Pearson {found.pearson.value:.2f}, Spearman {found.spearman.value:.2f}; "


def fraction_words(tables: Iterable[BoundsTable]) -> str:
    """What fractions of these runs are of: right and certified or, where one has no labels, certified."""
    return "certified accuracy" if all(table.inputs.has_labels for table in tables) else "fraction certified"


def samples_words(sizes: Mapping[int, int]) -> str:
    """Numbers of samples per input, with how many inputs hold each where there are several.

    Example:
        >>> samples_words({10_000: 50}), samples_words({10_000: 3, 20_000: 47})
        ('10,000', '10,000 (3 inputs) or 20,000 (47 inputs)')
    """
    if len(sizes) < 2:
        return "".join(f"{size:,}" for size in sizes)
    return " or ".join(f"{size:,} ({count_words(count, 'input')})" for size, count in sizes.items())


def class_name(label: int, names: Sequence[str] | None) -> str:
    """What a class is called: its name, its number, or a dash for none.

    Example:
        >>> class_name(1, ["cat", "dog"]), class_name(7, None), class_name(-1, None)
        ('dog', '7', '\u2014')
    """
    if label == NO_LABEL:
        return "—"
    return names[label] if names is not None and 0 <= label < len(names) else str(label)


def duration_words(seconds: float) -> str:
    """A time in the largest unit that fits.

    Example:
        >>> duration_words(5430.0), duration_words(12.34)
        ('1 h 30 min', '12.3 s')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"


def held_words(answers: Askable) -> str:
    """What a table can be asked, for an error.

    Example:
        >>> held_words(Askable(measures=("score",), bounds=("cdf",), radii=(0.0, 0.25), class_radius=False))
        'the cdf bound on score at radii 0, 0.25'
    """
    held = []
    if answers.measures:
        at = (
            "any radius"
            if answers.radii is None
            else f"radii {', '.join(exact_text(radius) for radius in answers.radii)}"
        )
        held.append(f"the {' and '.join(answers.bounds)} bound on {' and '.join(answers.measures)} at {at}")
    if answers.class_radius:
        held.append("class radii")
    return " and ".join(held)


def count_words(count: int, noun: str) -> str:
    """A count with its noun.

    Example:
        >>> count_words(1, "input"), count_words(1200, "input")
        ('1 input', '1,200 inputs')
    """
    return f"{count:,} {noun}" + ("" if count == 1 else "s")
