"""Records as a person reads them: a few lines of text, or the same in a notebook. The one place that rounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ircohort.lmm.level import normal_quantile

if TYPE_CHECKING:
    from ircohort.lmm.censored.record import CensoredFit
    from ircohort.lmm.checks.diagnostics import Diagnostics
    from ircohort.lmm.inference.bootstrap import Bootstrap
    from ircohort.lmm.joint.record import JointFit
    from ircohort.lmm.prediction.posterior import Posterior
    from ircohort.lmm.record import Fit

_FIXED = ("", "estimate", "standard error", "95 % interval", "z", "p")
_FEW = 50

Table = tuple[Sequence[str], list[list[str]]]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class _Page:
    """What is shown of a fit: a title, formulas, tables, sentences."""

    title: str
    formulas: Sequence[str]
    tables: Sequence[Table]
    sentences: Sequence[str]

    @property
    def text(self) -> str:
        """The page as lines."""
        tables = [line for table in self.tables for line in (*_lines(*table), "")]
        return "\n".join([self.title, *self.formulas, "", *tables, *self.sentences])

    @property
    def html(self) -> str:
        """The page for a notebook."""
        formulas = "<br>".join(f"<code>{escape(formula)}</code>" for formula in self.formulas)
        tables = "".join(_html(*table) for table in self.tables)
        sentences = "".join(f"<p>{escape(line)}</p>" for line in self.sentences)
        return f"<p><b>{escape(self.title)}</b><br>{formulas}</p>{tables}{sentences}"


def text_of(fit: Fit) -> str:
    """Lay a fit out as text."""
    return _page(fit).text


def html_of(fit: Fit) -> str:
    """Lay a fit out for a notebook."""
    return _page(fit).html


def censored_text(fit: CensoredFit) -> str:
    """Lay a fit with censored readings out as text."""
    return _censored_page(fit).text


def censored_html(fit: CensoredFit) -> str:
    """Lay a fit with censored readings out for a notebook."""
    return _censored_page(fit).html


def joint_text(fit: JointFit) -> str:
    """Lay a fit of several outcomes out as text."""
    return _joint_page(fit).text


def joint_html(fit: JointFit) -> str:
    """Lay a fit of several outcomes out for a notebook."""
    return _joint_page(fit).html


def bootstrap_text(refits: Bootstrap) -> str:
    """Say how many refits there are, and how they went."""
    went = [
        f"{refits.failed:,} failed",
        f"{refits.not_converged:,} not converged",
        f"{refits.at_boundary:,} at the boundary",
    ]
    return (
        f"Bootstrap: {refits.n_refits:,} refits (seed {refits.seed}); {', '.join(went)}.\n"
        "bootstrap_intervals makes intervals of them; the arrays hold each refit."
    )


def posterior_text(found: Posterior) -> str:
    """Say of whom and of which effects there are conditional modes."""
    people = len(found.modes)
    return (
        f"Conditional modes of {people:,} {'person' if people == 1 else 'people'}: {', '.join(found.effects)}.\n"
        "Arrays: modes, covariance, prediction_error, in the order of participant_ids."
    )


def diagnostics_text(found: Diagnostics) -> str:
    """Give the findings, one a line, and where the numbers are."""
    tables = "Tables: normality, quantiles, spread, lags, semivariogram, tests, influence."
    return "\n".join([*found.notes, tables])


def lines_html(text: str) -> str:
    """Lay lines out for a notebook."""
    return "".join(f"<p>{escape(line)}</p>" for line in text.splitlines())


def _page(fit: Fit) -> _Page:
    return _Page(_title(fit), (fit.formula,), (_fixed(fit), _random(fit)), _sentences(fit))


def _censored_page(fit: CensoredFit) -> _Page:
    title = (
        f"Linear mixed model with readings known by bounds, maximum likelihood: {fit.participants:,} participants, "
        f"{fit.visits:,} visits, {fit.censored['visits']:,} of them known by bounds only"
    )
    boundary = [f"At the boundary. {fit.boundary_direction}"] if fit.at_boundary else []
    sentences = [_state(fit), *boundary, *_dropped(fit.dropped), *fit.messages]
    return _Page(title, (fit.formula,), (_fixed(fit), _random(fit)), sentences)


def _joint_page(fit: JointFit) -> _Page:
    how = "restricted maximum likelihood" if fit.reml else "maximum likelihood"
    title = (
        f"Joint linear mixed model of {' and '.join(fit.outcomes)}, {how}: {fit.participants:,} participants, "
        f"{fit.visits:,} visits"
    )
    names = [f"{outcome}: {term}" for outcome, term in fit.fixed_names]
    effects = [f"people, {outcome}: {effect}" for outcome, effect in fit.random_names]
    tables = (
        _fixed_table(names, fit.coefficients, fit.fixed_covariance),
        _covariance_table(effects, fit.random_covariance),
        _covariance_table([f"residual, {outcome}" for outcome in fit.outcomes], fit.residual_covariance),
    )
    boundary = [f"At the boundary. {fit.boundary_direction}"] if fit.at_boundary else []
    lost = [
        sentence.replace("Visits", f"{outcome}: visits", 1)
        for outcome, dropped in fit.dropped.items()
        for sentence in _dropped(dropped)
    ]
    formulas = [f"{name}: {formula}" for name, formula in fit.formulas.items()]
    return _Page(title, formulas, tables, [_state(fit), *boundary, *lost, *fit.messages])


def _title(fit: Fit) -> str:
    how = "restricted maximum likelihood" if fit.reml else "maximum likelihood"
    weighted = f", {fit.weights_kind} weights" if fit.weights_kind else ""
    if fit.weights_kind == "sampling":
        how, weighted = "pseudo-likelihood with sampling weights", ", cluster-robust covariance"
    model = f"Linear mixed model, {how}{weighted}"
    if fit.engine == "ols":
        model = "Ordinary least squares, cluster-robust covariance"
    return f"{model}: {fit.participants:,} participants, {fit.visits:,} visits"


def _fixed(fit: Fit | CensoredFit) -> Table:
    return _fixed_table(fit.fixed_names, fit.coefficients, fit.fixed_covariance)


def _fixed_table(names: Sequence[str], coefficients: Floats, covariance: Floats) -> Table:
    errors = np.sqrt(np.diagonal(covariance))
    rows = []
    half = normal_quantile(0.95)
    for name, estimate, error in zip(names, coefficients, errors, strict=True):
        low, high = _numbers(estimate - half * error, estimate + half * error, spread=error)
        shown = _numbers(estimate, error, spread=error)
        z = estimate / error
        rows.append([name, *shown, f"{low} to {high}", f"{z:z.2f}", _p_value(z)])
    return _FIXED, rows


def _random(fit: Fit | CensoredFit) -> Table:
    names = [f"people: {name}" for name in fit.random_names]
    head, rows = _covariance_table(names, fit.random_covariance, correlated=not fit.basis.formula.diagonal)
    people = [] if fit.engine == "ols" else rows
    return head, [*people, ["residual", f"{np.sqrt(fit.residual_variance):.4g}", *[""] * (len(head) - 2)]]


def _covariance_table(names: Sequence[str], G: Floats, *, correlated: bool = True) -> Table:
    """Give each effect's sd and, in a column each, its correlations with the effects before it."""
    sds = np.sqrt(np.diagonal(G))
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = np.clip(G / np.outer(sds, sds), -1, 1)
    columns = len(sds) - 1 if correlated else 0
    head = ["", "sd", *["correlations", *[""] * (columns - 1)][:columns]]
    rows = []
    for j, name in enumerate(names):
        shown = ["-" if np.isnan(one) else f"{one:z.2f}" for one in correlation[j, : min(j, columns)]]
        rows.append([name, f"{sds[j]:.4g}", *shown, *[""] * (columns - len(shown))])
    return head, rows


def _sentences(fit: Fit) -> list[str]:
    boundary = [f"At the boundary. {fit.boundary_direction}"] if fit.at_boundary else []
    return [_state(fit), *boundary, *_dropped(fit.dropped), *_few(fit), *fit.messages]


def _state(fit: Fit | CensoredFit | JointFit) -> str:
    searched = f" after {fit.evaluations} evaluations" if (fit.evaluations or 0) > 1 else ""
    likelihood = "" if np.isnan(fit.log_likelihood) else f"Log-likelihood {fit.log_likelihood:,.4f}. "
    return f"{likelihood}{'Converged' if fit.converged else 'NOT CONVERGED'}{searched}."


def _dropped(dropped: Mapping[str, Mapping[str, int]]) -> list[str]:
    lost = dropped.get("any")
    if not lost:
        return []
    gaps = ", ".join(f"{name} {count['visits']:,}" for name, count in dropped.items() if name != "any")
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
