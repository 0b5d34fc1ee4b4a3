"""What a joint fit leaves: one frozen record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ircohort.lmm.joint.parameters import Parameters
from ircohort.lmm.joint.stacking import Outcome
from ircohort.lmm.joint.sums import JointSums
from ircohort.lmm.summary import joint_html, joint_text

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ChangeOfBasis:
    """From the scaled to the natural basis: u = random @ us, b = offset + fixed @ bs, e = units * es.

    ``random`` (q, q), ``fixed`` (p, p), ``offset`` (p,), ``units`` (K,).
    """

    random: Floats
    fixed: Floats
    offset: Floats
    units: Floats


@dataclass(frozen=True, eq=False, repr=False)
class JointFit:
    """A fitted joint model of K outcomes, y_ik = X_ik b_k + Z_ik u_ik + e_ik.

    The random effects of all outcomes together are N(0, G), and the residuals of one row (a draw) N(0, R). ``p``
    fixed and ``q`` random effects of all outcomes, ``n`` participants. Units are those of each response (after its
    transform) per unit of the column. Tables are of the kind of frame that was given.

    Attributes
    ----------
    outcomes, formulas
        Names and formulas, in the order given.
    fixed
        One row per fixed effect: ``outcome``, ``term``, ``estimate``, ``standard_error``, ``low``, ``high`` (95 %,
        normal), ``z``, ``p_value``.
    random
        One row per variance or covariance: ``outcome``, ``effect``, ``outcome_2``, ``effect_2`` (null for a variance),
        ``sd``, ``covariance``, ``correlation`` (null for a variance, where a variance is zero, or where it was held).
    residual
        The same of the residuals: ``outcome``, ``outcome_2``, ``sd``, ``covariance``, ``correlation``.
    people
        One row per participant, sorted: the grouping column and the conditional modes (BLUPs), columns named
        ``outcome:effect``. Also for outcomes that a participant has never had measured.
    patterns
        One row per pattern: for each outcome whether it is observed, then ``visits`` (rows).
    log_likelihood
        Restricted (``reml``) or full, with all constants, as lme4 and nlme report it.
    converged
        True where the derivative vanishes (less than 1e-5 of log-likelihood is left to gain) and no direction leads up.
    at_boundary, boundary_direction
        Whether a variance is estimated as zero, or one effect follows from others, and which, in words (else empty).
    without_variance
        Outcome and effect of the random effects whose variance is estimated as zero.
    held
        Sentences: covariances that the data say nothing of, held at zero.
    evaluations
        Of the likelihood, separate fits and curvature included.
    messages
        What was met on the way, ``held`` included; nothing is printed or warned.
    participants, visits
        How many entered the fit; a visit is a row with at least one outcome.
    observations
        Rows by outcome.
    dropped
        By outcome, then as in ``Fit``: for each variable with gaps, and for ``any``, counts of visits and participants.
    unused_visits
        Rows given in which no outcome is complete.
    coefficients, fixed_covariance
        (p,) and (p, p), in the order of ``fixed``.
    random_covariance, residual_covariance
        G (q, q) and R (K, K).
    fixed_names, random_names
        Outcome and term, or effect, of each.
    participant_ids
        (n,), sorted.
    parts, group, change
        How rows of each outcome are built, the grouping column, and the change of basis.
    sums, parameters, theta, information
        The sums in the scaled basis; the variance parameters theta (t,), their meaning, and their observed
        information (t, t).
    """

    outcomes: tuple[str, ...]
    formulas: Mapping[str, str]
    fixed: Any
    random: Any
    residual: Any
    people: Any
    patterns: Any
    log_likelihood: float
    converged: bool
    at_boundary: bool
    boundary_direction: str
    without_variance: tuple[tuple[str, str], ...]
    held: tuple[str, ...]
    evaluations: int
    messages: tuple[str, ...]
    participants: int
    visits: int
    observations: Mapping[str, int]
    dropped: Mapping[str, Mapping[str, Mapping[str, int]]]
    unused_visits: int
    reml: bool
    coefficients: Floats
    fixed_covariance: Floats
    random_covariance: Floats
    residual_covariance: Floats
    fixed_names: tuple[tuple[str, str], ...]
    random_names: tuple[tuple[str, str], ...]
    participant_ids: pl.Series = field(repr=False)
    parts: tuple[Outcome, ...] = field(repr=False)
    group: str = field(repr=False)
    change: ChangeOfBasis = field(repr=False)
    sums: JointSums = field(repr=False)
    parameters: Parameters = field(repr=False)
    theta: Floats = field(repr=False)
    information: Floats = field(repr=False)

    def __repr__(self) -> str:
        """Lay the fit out as text."""
        return joint_text(self)

    def _repr_html_(self) -> str:
        return joint_html(self)
