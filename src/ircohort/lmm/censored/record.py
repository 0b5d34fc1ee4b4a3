"""What a fit with censored readings leaves: one frozen record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ircohort.lmm.design import Basis
from ircohort.lmm.summary import censored_html, censored_text
from ircohort.lmm.sums import ParticipantSums, Scaling

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class CensoredFit:
    """A linear mixed model in which some readings are known by bounds only; full maximum likelihood.

    What is named as in :class:`ircohort.lmm.Fit` means the same, but for the following.

    Attributes
    ----------
    people
        One row per participant, sorted: the grouping column and the conditional means of the random effects, given
        exact readings and bounds.
    log_likelihood
        Of the observed data: densities of the exact readings, probabilities of the bounds of the others. It compares
        between models of the same visits, but not with a fit of other readings in place of the bounds.
    integration_error
        How far ``log_likelihood`` is from that with twice as many points, as a sign of its error.
    points
        Points of the integration: for each random effect where there are one or two, else in all.
    converged
        True where the next Newton step promises less than 1e-10 of log-likelihood, and the observed information has
        no direction in which the likelihood grows.
    censored
        How many: ``visits``, of these bounded from ``above`` only, from ``below`` only, or at ``both`` ends;
        ``participants`` with such a visit, and ``participants_throughout`` with no other.
    fixed_covariance
        From the observed information of all parameters, (p, p).
    sums
        Sums over all visits, those of censored readings replaced by their conditional expectations at the estimates.
    """

    formula: str
    lower: str
    upper: str
    fixed: Any
    random: Any
    people: Any
    log_likelihood: float
    integration_error: float
    points: int
    converged: bool
    at_boundary: bool
    boundary_direction: str
    evaluations: int
    messages: tuple[str, ...]
    participants: int
    visits: int
    censored: Mapping[str, int]
    dropped: Mapping[str, Mapping[str, int]]
    reml: bool
    engine: str
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

    def __repr__(self) -> str:
        """Lay the fit out as text."""
        return censored_text(self)

    def _repr_html_(self) -> str:
        return censored_html(self)
