"""A fit as a person reads it: a few lines of text, or the same in a notebook. The one place in the room that rounds."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from ircohort.lmm.level import normal_quantile

if TYPE_CHECKING:
    from ircohort.lmm.record import Fit

_FIXED = ("", "estimate", "standard error", "95 % interval", "z", "p")
_FEW = 50

Table = tuple[Sequence[str], list[list[str]]]


def text_of(fit: Fit) -> str:
    """Lay a fit out as text."""
    tables = [_lines(*table) for table in (_fixed(fit), _random(fit))]
    return "\n".join([_title(fit), fit.formula, "", *tables[0], "", *tables[1], "", *_sentences(fit)])


def html_of(fit: Fit) -> str:
    """Lay a fit out for a notebook."""
    tables = "".join(_html(*table) for table in (_fixed(fit), _random(fit)))
    sentences = "".join(f"<p>{escape(line)}</p>" for line in _sentences(fit))
    return f"<p><b>{escape(_title(fit))}</b><br><code>{escape(fit.formula)}</code></p>{tables}{sentences}"


def _title(fit: Fit) -> str:
    how = "restricted maximum likelihood" if fit.reml else "maximum likelihood"
    weighted = f", {fit.weights_kind} weights" if fit.weights_kind else ""
    if fit.weights_kind == "sampling":
        how, weighted = "pseudo-likelihood with sampling weights", ", cluster-robust covariance"
    model = f"Linear mixed model, {how}{weighted}"
    if fit.engine == "ols":
        model = "Ordinary least squares, cluster-robust covariance"
    return f"{model}: {fit.participants:,} participants, {fit.visits:,} visits"


def _fixed(fit: Fit) -> Table:
    errors = np.sqrt(np.diagonal(fit.fixed_covariance))
    rows = []
    half = normal_quantile(0.95)
    for name, estimate, error in zip(fit.fixed_names, fit.coefficients, errors, strict=True):
        low, high = _numbers(estimate - half * error, estimate + half * error, spread=error)
        shown = _numbers(estimate, error, spread=error)
        z = estimate / error
        rows.append([name, *shown, f"{low} to {high}", f"{z:z.2f}", _p_value(z)])
    return _FIXED, rows


def _random(fit: Fit) -> Table:
    """Give each effect's sd and, in a column each, its correlations with the effects before it."""
    G = fit.random_covariance
    sds = np.sqrt(np.diagonal(G))
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = np.clip(G / np.outer(sds, sds), -1, 1)
    columns = 0 if fit.basis.formula.diagonal else len(sds) - 1
    head = ["", "sd", *["correlations", *[""] * (columns - 1)][:columns]]
    rows = []
    for j, name in enumerate(fit.random_names):
        shown = ["-" if np.isnan(one) else f"{one:z.2f}" for one in correlation[j, : min(j, columns)]]
        rows.append([f"people: {name}", f"{sds[j]:.4g}", *shown, *[""] * (columns - len(shown))])
    people = [] if fit.engine == "ols" else rows
    return head, [*people, ["residual", f"{np.sqrt(fit.residual_variance):.4g}", *[""] * columns]]


def _sentences(fit: Fit) -> list[str]:
    searched = f" after {fit.evaluations} evaluations" if (fit.evaluations or 0) > 1 else ""
    state = f"{'Converged' if fit.converged else 'NOT CONVERGED'}{searched}"
    likelihood = "" if np.isnan(fit.log_likelihood) else f"Log-likelihood {fit.log_likelihood:,.4f}. "
    boundary = [f"At the boundary. {fit.boundary_direction}"] if fit.at_boundary else []
    return [f"{likelihood}{state}.", *boundary, *_dropped(fit), *_few(fit), *fit.messages]


def _dropped(fit: Fit) -> list[str]:
    lost = fit.dropped.get("any")
    if not lost:
        return []
    gaps = ", ".join(f"{name} {count['visits']:,}" for name, count in fit.dropped.items() if name != "any")
    people = f"; participants without any other visit: {lost['participants_lost']:,}" * bool(lost["participants_lost"])
    return [f"Visits left out for a missing value: {lost['visits']:,} ({gaps}){people}."]


def _few(fit: Fit) -> list[str]:
    """Say where the normal intervals of the table are too narrow to be read as they stand."""
    if fit.engine == "ols" or fit.weights_kind or fit.participants >= _FEW:
        return []
    return [f"Fewer than {_FEW} participants: contrasts and term_tests give wider intervals, with degrees of freedom."]


def _numbers(*values: float, spread: float) -> list[str]:
    """Write values with the decimals that their standard error has three digits of."""
    decimals = int(np.clip(2 - np.floor(np.log10(spread)), 0, 12)) if spread > 0 else 4
    return [f"{value:z,.{decimals}f}" for value in values]


def _p_value(z: float) -> str:
    from scipy.special import ndtr

    p = 2 * float(ndtr(-abs(z)))
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _lines(head: Sequence[str], rows: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    return [
        "  ".join(f"{cell:<{width}}" if k == 0 else f"{cell:>{width}}" for k, (cell, width) in columns).rstrip()
        for columns in (enumerate(zip(row, widths, strict=True)) for row in (head, *rows))
    ]


def _html(head: Sequence[str], rows: list[list[str]]) -> str:
    """Lay a table out with its alignment in the cells, for viewers that have no style of their own."""
    titles = _cells("th", head)
    body = "".join(f"<tr>{_cells('td', row)}</tr>" for row in rows)
    return f'<table style="margin-bottom: 1em"><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table>'


def _cells(tag: str, row: Sequence[str]) -> str:
    sides = ["left", *["right"] * (len(row) - 1)]
    style = "padding: 0.2em 0.6em; white-space: pre; text-align:"
    return "".join(
        f'<{tag} style="{style} {side}">{escape(cell)}</{tag}>' for cell, side in zip(row, sides, strict=True)
    )
