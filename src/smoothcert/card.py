"""Certificates as a person sees them: one line, a table of text, or a card in a notebook. Lower bounds are floored.

Nothing here certifies, draws, or needs more than the standard library.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from smoothcert.bounds import exact_text, floor_decimals

if TYPE_CHECKING:
    from smoothcert.certificate import Certificate

SHOWN = 20
"""Rows of a table; a notebook should not scroll through a data set."""
_SIGMAS = (0.0, 0.5, 1.0, 2.0)  # radii of a card, in sigmas
# The figure takes the ink of the notebook, light or dark.
_THEME = "--ink: currentColor; --soft: currentColor; --rule: rgba(128, 128, 128, 0.35); --paper: transparent"


def line(certificate: Certificate) -> str:
    """A certificate in one line: nothing is computed for it, so means stand for the bounds."""
    names = [name for name in certificate.names if name != "vote"]
    means = ", ".join(f"{name} {floor_decimals(certificate.measure(name).mean)}" for name in names)
    return "; ".join([_claim(certificate), *([f"mean {means}"] if means else []), _terms(certificate)])


def card(certificate: Certificate, drawn: str) -> str:
    """A certificate as HTML: what it claims, a table of lower bounds, and a plot.

    Args:
        certificate: What is shown.
        drawn: An SVG element, or nothing.
    """
    radii = [share * certificate.sigma for share in _SIGMAS]
    head = ["measure", "mean", *(f"within {exact_text(radius)}" for radius in radii)]
    rows = [
        [name, floor_decimals(own.mean), *(f"≥ {floor_decimals(bound)}" for bound in own.lower(radii))]
        for name, own in ((name, certificate.measure(name)) for name in certificate.names)
    ]
    plot = f'<div style="max-width: 24em">{drawn}</div>' if drawn else ""
    alpha = exact_text(certificate.alpha)
    note = f"Each bound holds with probability at least 1 − {alpha}. {escape(_terms(certificate))}"
    return (
        f'<div style="{_THEME}"><p><b>{escape(_claim(certificate))}</b></p>{_table(head, rows)}{plot}'
        f"<p><small>{note}</small></p></div>"
    )


def table_text(certificates: Sequence[Certificate]) -> str:
    """A line for each of the first certificates, under a line of names."""
    if not certificates:
        return "<Certificates: none>"
    head, rows = _columns(certificates)
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in (head, *rows)]
    return "\n".join([_title(certificates), *lines, *_rest(certificates)])


def table_html(certificates: Sequence[Certificate]) -> str:
    """The same as HTML."""
    if not certificates:
        return "<p>No certificates</p>"
    title, rest = escape(_title(certificates)), "".join(f"<p>{escape(one)}</p>" for one in _rest(certificates))
    return f"<div><p>{title}</p>{_table(*_columns(certificates))}{rest}</div>"


def _claim(certificate: Certificate) -> str:
    if certificate.abstained:
        return f"class {certificate.prediction}, not certified"
    return f"class {certificate.prediction} within radius {floor_decimals(certificate.class_radius)}"


def _terms(certificate: Certificate) -> str:
    alpha = exact_text(certificate.alpha)
    return f"sigma {certificate.sigma:g}, alpha {alpha}, n {certificate.n0:,} + {certificate.n:,}"


def _title(certificates: Sequence[Certificate]) -> str:
    terms = dict.fromkeys(f"sigma {one.sigma:g}, alpha {exact_text(one.alpha)}" for one in certificates)
    count = f"{len(certificates):,} certificate{'s' * (len(certificates) > 1)}"
    return f"{count}, {' or '.join([*terms][:3])}; measures are means, numbers rounded down"


def _columns(certificates: Sequence[Certificate]) -> tuple[list[str], list[list[str]]]:
    """Names and cells of the table of the first certificates."""
    shown = certificates[:SHOWN]
    names = list(dict.fromkeys(name for one in shown for name in one.names if name != "vote"))
    rows = [
        [
            str(position),
            str(one.prediction),
            "abstains" if one.abstained else floor_decimals(one.class_radius),
            *(floor_decimals(one.measure(name).mean) if name in one.names else "" for name in names),
            f"{one.n0 + one.n:,}",
        ]
        for position, one in enumerate(shown)
    ]
    return ["", "class", "class radius", *names, "samples"], rows


def _rest(certificates: Sequence[Certificate]) -> list[str]:
    left = len(certificates) - SHOWN
    return [f"... and {left:,} more"] if left > 0 else []


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    cells = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table>"
