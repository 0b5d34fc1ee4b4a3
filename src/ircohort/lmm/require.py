"""What the functions of this room take: one guard at the door of each, so that no fit is taken for another."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from ircohort.errors import UsageError
from ircohort.lmm.record import Fit

_MADE_BY: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "Fit": ("`fit`", "`fit_sums`", "`fit_with_fallback`"),
        "CensoredFit": ("`fit_censored`",),
        "JointFit": ("`fit_joint`",),
    }
)
_TAKEN_BY: Mapping[str, str] = MappingProxyType(
    {
        "CensoredFit": "A fit by `fit_censored` goes into contrasts, band, wald_test and percent_per_unit.",
        "JointFit": "A fit by `fit_joint` goes into contrasts, wald_test, correlations and predict_joint.",
    }
)


def require_fit(fit: Any, what: str, *, takes: tuple[str, ...] = ("Fit",)) -> None:
    """Refuse whatever is no fit that a function can work with.

    Parameters
    ----------
    fit
        What was given.
    what
        The function it was given to.
    takes
        The records that the function takes: ``Fit``, ``CensoredFit``, ``JointFit``.

    Raises
    ------
    UsageError
        If it is something else.

    Examples
    --------
    >>> require_fit("y ~ years", "bootstrap")
    Traceback (most recent call last):
    ...
    ircohort.errors.UsageError: bootstrap was given a str.
    It takes a fit by `fit`, `fit_sums` or `fit_with_fallback`.
    """
    given = type(fit)
    if not {one.__name__ for one in given.__mro__}.isdisjoint(takes):
        return
    *makers, last = [maker for one in takes for maker in _MADE_BY[one]]
    raise UsageError(
        f"{what} was given a {given.__name__}.",
        expected=f"It takes a fit by {' or '.join(filter(None, (', '.join(makers), last)))}.",
        next_step=_TAKEN_BY.get(given.__name__, ""),
    )


def require_random_part(fit: Fit, what: str) -> None:
    """Refuse a fit by least squares, which has no random part, where ``what`` rests on one."""
    if fit.engine == "ols":
        raise UsageError(
            f"{what} was given a fit by ordinary least squares, which has no random part.",
            expected="Its covariance is the cluster-robust CR1, with degrees of freedom of its own.",
            next_step="Use contrasts, wald_test or bootstrap.",
        )
