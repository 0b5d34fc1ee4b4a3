"""Levels of intervals, and how far normal limits stand off."""

from __future__ import annotations

from scipy.special import ndtri

from ircohort.errors import UsageError


def require_level(level: float) -> None:
    """Refuse what is no share of the cases that an interval could hold."""
    if not 0 < level < 1:
        raise UsageError(f"The level is {level}.", expected="A number between 0 and 1, such as 0.95.")


def normal_quantile(level: float) -> float:
    """Give the standard errors by which normal limits stand off on either side.

    Raises
    ------
    UsageError
        If the level is not between 0 and 1.

    Examples
    --------
    >>> round(normal_quantile(0.95), 3)
    1.96
    """
    require_level(level)
    return float(ndtri(0.5 + 0.5 * level))
