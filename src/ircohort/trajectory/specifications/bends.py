"""Where a line bends: knots by likelihood over a grid of years, their profile intervals, and whether it bends."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from math import pi, sqrt

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import chdtrc
from scipy.stats import chi2

from ircohort.errors import ModelError
from ircohort.lmm import Fit, design_matrix, fit, random_design_matrix
from ircohort.trajectory.specifications.layout import Layout
from ircohort.trajectory.specifications.record import BACKWARD

Floats = NDArray[np.float64]
Knots = tuple[float, ...]

SMALLEST_GAP = 1.0
"""Years between two knots, and between a knot and the edge of the supported years: with yearly visits a bend that is
closer rests on single visits."""
_GAIN = 1e-8
"""Of log-likelihood: below it, two places of a knot are equally good."""
_SINGULAR = 1e-10
_LEVEL = 0.95

KNOT_SCHEMA = {
    "knot": pl.Int64,
    **dict.fromkeys((BACKWARD, "low", "high"), pl.Float64),
    "status": pl.String,
    **dict.fromkeys(("published", "p_value"), pl.Float64),
}
PROFILE_SCHEMA = {"knot": pl.Int64, BACKWARD: pl.Float64, "deviance": pl.Float64}


@dataclass(frozen=True, eq=False)
class Found:
    """The best knots, the fit there by maximum likelihood, and the two tables of :class:`SpecificationFit`."""

    knots: Knots
    fit: Fit
    table: pl.DataFrame
    profile: pl.DataFrame


def find_knots(layout: Layout, published: Knots, step: float) -> Found:
    """Choose the knots with the highest likelihood on a grid.

    The covariance of the random effects, relative to the residual variance, is held while all knots are compared,
    then estimated anew at the best ones, until these stay. Fixed effects and residual variance are maximised for each.

    Raises
    ------
    ModelError
        If the supported years leave no room for the knots.

    Source
    ------
    Test of a bend at an unknown time: Davies 1987, Biometrika 74:33, doi:10.1093/biomet/74.1.33 (an upper bound).
    """
    grid = _grid(layout, step)
    pairs = [c for c in combinations(grid, len(published)) if (np.diff(c) >= SMALLEST_GAP - 1e-9).all()]
    if len(pairs) < 2:
        raise ModelError(
            f"{layout.outcome.label} can be followed back {-layout.first} years only, which leaves no room for "
            f"{len(published)} knot{'s' * (len(published) > 1)}."
        )
    knots = min(pairs, key=lambda pair: sum(abs(a - b) for a, b in zip(pair, published, strict=True)))
    record = fit_bent(layout, knots, reml=False)
    surface = log_likelihoods(layout, record, pairs)
    while (best := pairs[int(np.argmax(surface))]) != knots and surface.max() > surface[pairs.index(knots)] + _GAIN:
        # Each turn gains likelihood, so that no knots come back.
        knots, record = best, fit_bent(layout, best, reml=False)
        surface = log_likelihoods(layout, record, pairs)
    deviance = 2.0 * (surface.max() - surface)
    profiles = [_profile(number, [pair[number] for pair in pairs], deviance) for number in range(len(published))]
    p_value = _is_bent(layout, grid)
    rows = [_row(profile, knots[k], published[k], p_value, (grid[0], grid[-1])) for k, profile in enumerate(profiles)]
    return Found(knots, record, pl.DataFrame(rows, schema=KNOT_SCHEMA), pl.concat(profiles))


def hold_knots(layout: Layout, knots: Knots, published: Knots) -> Found:
    """Take the knots as given."""
    rows = [
        {"knot": number, BACKWARD: knot, "status": "held", "published": at}
        for number, (knot, at) in enumerate(zip(knots, published, strict=True), 1)
    ]
    table = pl.DataFrame(rows, schema=KNOT_SCHEMA)
    return Found(knots, fit_bent(layout, knots, reml=False), table, pl.DataFrame(schema=PROFILE_SCHEMA))


def fit_bent(layout: Layout, knots: Knots, *, reml: bool) -> Fit:
    """Fit a layout with its bends at ``knots``."""
    bent = layout.bent_at(knots)
    return fit(bent.formula, bent.rows, reml=reml)


def log_likelihoods(layout: Layout, record: Fit, candidates: list[Knots]) -> Floats:
    """Compare knots by log-likelihood, up to a constant, with the relative covariance of the random effects of a fit.

    With V = I + Z (G / s2) Z' held, the likelihood at its best fixed effects and s2 is -N / 2 log(residual square),
    and all candidates come from one table of products [X y]'V^-1[X y] over the columns of all knots.
    """
    every = sorted({knot for candidate in candidates for knot in candidate})
    rows = record.rows
    assert rows is not None  # only fits from partial sums have none
    bends = [name.startswith("bend_") for name in record.fixed_names]
    base = design_matrix(record, rows)[:, np.logical_not(bends)]
    time, case = rows[BACKWARD].to_numpy(), rows["case"].to_numpy()
    hinges = case[:, None] * np.clip(time[:, None] - np.asarray(every), 0, None) ** layout.power
    y = rows[layout.outcome.column].to_numpy()
    columns = np.column_stack([base, hinges, np.log(y) if layout.outcome.log else y])
    products = _whitened_products(columns, random_design_matrix(record, rows), record)
    p = base.shape[1]
    places = {knot: p + number for number, knot in enumerate(every)}
    left = [_residual_square(products, [*range(p), *(places[k] for k in candidate)]) for candidate in candidates]
    return -0.5 * record.visits * np.log(left)


def _whitened_products(columns: Floats, Z: Floats, record: Fit) -> Floats:
    """Give C'V^-1C of columns (N, c), with V = I + Z (G / s2) Z', participant by participant."""
    values, vectors = np.linalg.eigh(record.random_covariance / record.residual_variance)
    W = Z @ (vectors * np.sqrt(np.clip(values, 0, None)))
    assert record.rows is not None
    groups = record.rows["participant_id"]
    starts = np.flatnonzero(np.r_[True, (groups != groups.shift(1)).to_numpy()[1:]])
    WW = np.add.reduceat(W[:, :, None] * W[:, None, :], starts)
    WC = np.stack([np.add.reduceat(w[:, None] * columns, starts) for w in W.T], axis=1)
    solved = np.linalg.solve(WW + np.eye(W.shape[1]), WC)
    taken = WC.reshape(-1, columns.shape[1]).T @ solved.reshape(-1, columns.shape[1])
    products: Floats = columns.T @ columns - taken
    return products


def _residual_square(products: Floats, chosen: list[int]) -> float:
    """Give the generalised residual sum of squares of the last column after the chosen ones."""
    length = np.sqrt(np.diagonal(products)[chosen])
    normal = products[np.ix_(chosen, chosen)] / np.outer(length, length)
    right = products[chosen, -1] / length
    return float(products[-1, -1] - right @ np.linalg.lstsq(normal, right, rcond=_SINGULAR)[0])


def _grid(layout: Layout, step: float) -> Knots:
    """Give the years that are searched, multiples of ``step`` that keep their distance from the edges."""
    low, high = layout.first + SMALLEST_GAP, -SMALLEST_GAP
    first, last = int(np.ceil(low / step - 1e-9)), int(np.floor(high / step + 1e-9))
    return tuple(number * step for number in range(first, last + 1))


def _profile(number: int, years: list[float], deviance: Floats) -> pl.DataFrame:
    """Give for each year of one knot the lowest deviance over the others."""
    table = pl.DataFrame({BACKWARD: years, "deviance": deviance}).group_by(BACKWARD).agg(pl.col("deviance").min())
    return table.sort(BACKWARD).select(pl.lit(number + 1, dtype=pl.Int64).alias("knot"), BACKWARD, "deviance")


def _row(
    profile: pl.DataFrame, knot: float, published: float, p_value: float, edges: tuple[float, float]
) -> dict[str, float | int | str | None]:
    low, high = profile_interval(profile[BACKWARD].to_numpy(), profile["deviance"].to_numpy())
    return {
        "knot": profile["knot"].item(0),
        BACKWARD: knot,
        "low": low,
        "high": high,
        "status": "at_edge" if knot in edges else "chosen",
        "published": published,
        "p_value": p_value,
    }


def profile_interval(years: Floats, deviance: Floats, level: float = _LEVEL) -> tuple[float | None, float | None]:
    """Give the years between which the deviance stays below the quantile of chi-squared with one degree of freedom.

    Between the years of the grid it is a line. An end that lies beyond the grid is None; where the profile has
    several valleys, the interval reaches over all of them.

    Examples
    --------
    >>> low, high = profile_interval(np.array([-5.0, -4.0, -3.0, -2.0]), np.array([7.683, 0.0, 1.0, 2.0]))
    >>> round(low, 3), high
    (-4.5, None)
    """
    limit = float(chi2.ppf(level, 1))
    inside = np.flatnonzero(deviance <= limit)
    ends: list[float | None] = []
    for at, beyond in ((inside[0], inside[0] - 1), (inside[-1], inside[-1] + 1)):
        if not 0 <= beyond < len(years):
            ends.append(None)
            continue
        share = (limit - deviance[at]) / (deviance[beyond] - deviance[at])
        ends.append(float(years[at] + share * (years[beyond] - years[at])))
    return ends[0], ends[1]


def _is_bent(layout: Layout, grid: Knots) -> float:
    """Bound the p-value of no bend at any year: the largest likelihood ratio, and how the ratios vary on the way."""
    straight = fit(layout.formula, layout.rows, reml=False)
    found = log_likelihoods(layout, straight, [(), *((knot,) for knot in grid)])
    ratios = np.clip(2.0 * (found[1:] - found[0]), 0.0, None)
    return davies_bound(ratios)


def davies_bound(ratios: Floats) -> float:
    """Bound the p-value of the largest of likelihood ratios with one degree of freedom along a grid.

    P(max S > M) <= P(chi2_1 > M) + V exp(-M / 2) / sqrt(2 pi), with V the total variation of sqrt(S).

    Source
    ------
    Davies 1987, Biometrika 74:33, doi:10.1093/biomet/74.1.33, for one degree of freedom.

    Examples
    --------
    >>> round(davies_bound(np.array([3.841459, 3.841459])), 4)
    0.05
    """
    largest = float(ratios.max())
    variation = float(np.abs(np.diff(np.sqrt(ratios))).sum())
    crossings = variation * float(np.exp(-0.5 * largest)) / sqrt(2.0 * pi)
    return min(1.0, float(chdtrc(1.0, largest)) + crossings)
