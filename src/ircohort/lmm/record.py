"""What a fit leaves: one frozen record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ircohort.lmm.design import Basis
from ircohort.lmm.summary import html_of, text_of
from ircohort.lmm.sums import ParticipantSums, Scaling

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class Fit:
    """A fitted linear mixed model, y_i = X_i b + Z_i u_i + e_i, u_i ~ N(0, G), e_i ~ N(0, s2 I).

    ``p`` fixed and ``q`` random effects, ``n`` participants. The unit of an estimate is that of the response (after
    its transform) per unit of the column. Tables are of the kind of frame that was given.

    Attributes
    ----------
    fixed
        One row per fixed effect: ``term``, ``estimate``, ``standard_error``, ``low``, ``high`` (95 %, normal),
        ``z``, ``p_value``.
    random
        One row per variance or covariance: ``effect``, ``effect_2`` (null for a variance), ``sd``, ``covariance``,
        ``correlation`` (null for a variance, or where a variance is zero). The last row is the residual.
    people
        One row per participant, sorted: the grouping column and the conditional modes (BLUPs) of the effects.
    log_likelihood
        Restricted (``reml``) or full, with all constants, as lme4 reports it. Restricted likelihoods compare only
        between models with the same fixed columns. NaN with sampling weights.
    converged
        True where the search ended because a further step promises less than 1e-20 of log-likelihood, and a step off
        the boundary gains nothing; with ``statsmodels`` where two optimisers, from different starts and with the
        likelihood computed in two ways, met within 1e-4 of log-likelihood at the best point found.
    at_boundary, boundary_direction
        Whether a variance is estimated as zero or a correlation as one, and which, in words (else empty).
    evaluations
        Likelihood evaluations of the engine, or None where it does not tell.
    messages
        What the engine said on the way; nothing is printed or warned.
    participants, visits
        How many entered the fit.
    weights_kind
        ``frequency`` or ``sampling``; empty where each participant counts once.
    dropped
        For each variable with gaps, and for ``any``: ``visits`` without it, ``participants`` with such a visit, and
        ``participants_lost``, who have no other.
    coefficients, fixed_covariance
        Estimates (p,) and their covariance (p, p), in the order of ``fixed``.
    random_covariance, residual_variance
        G (q, q) and s2.
    rows
        The complete rows that were fitted, sorted by participant; None where the fit was made from partial sums.
    """

    formula: str
    fixed: Any
    random: Any
    people: Any
    log_likelihood: float
    converged: bool
    at_boundary: bool
    boundary_direction: str
    evaluations: int | None
    messages: tuple[str, ...]
    participants: int
    visits: int
    dropped: Mapping[str, Mapping[str, int]]
    reml: bool
    engine: str
    weights_kind: str
    coefficients: Floats
    fixed_covariance: Floats
    random_covariance: Floats
    residual_variance: float
    fixed_names: tuple[str, ...]
    random_names: tuple[str, ...]
    participant_ids: pl.Series = field(repr=False)
    basis: Basis = field(repr=False)
    sums: ParticipantSums = field(repr=False)
    scaling: Scaling = field(repr=False)
    relative_factor: Floats = field(repr=False)
    rows: pl.DataFrame | None = field(repr=False)

    def __repr__(self) -> str:
        """Lay the fit out as text."""
        return text_of(self)

    def _repr_html_(self) -> str:
        return html_of(self)
