"""Whether data can show what a model asks for. Each refusal names the outcome, where a model has several."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ircohort.errors import ModelError
from ircohort.lmm.design import Design, dependent_columns

Floats = NDArray[np.float64]

MOST_EFFECTS = 9
"""Random effects of a participant, of all outcomes together."""

_TOLERANCE = 1e-10
_CHUNK = 1000


def require_response(design: Design, outcome: str = "") -> None:
    """Ask for a response that varies, and for two participants."""
    if np.ptp(design.y) == 0:
        what = outcome or f"The response {design.basis.formula.response}"
        raise ModelError(f"{what} has the same value at every visit.")
    require_participants(len(design.participant_ids), outcome)


def require_participants(n_participants: int, outcome: str = "") -> None:
    """Ask for two participants."""
    if n_participants < 2:
        raise ModelError(
            f"The model{_of(outcome)} has one participant.",
            expected="Differences between people need at least two.",
            next_step="Check the grouping column of the formula, or the filter before it.",
        )


def require_columns(design: Design, outcome: str = "") -> None:
    """Ask for columns that can be told apart."""
    basis = design.basis
    for part, columns, names in (("fixed", design.X, basis.fixed_names), ("random", design.Z, basis.random_names)):
        dependent = dependent_columns(columns, names)
        if dependent:
            raise ModelError(
                f"In the {part} part{_of(outcome)}, {', '.join(dependent)} cannot be told apart from the other terms.",
                expected=f"It is constant, or a combination of the terms before it, over the {len(design.y)} visits.",
                next_step=f"Leave it out of the formula: {basis.formula.text}",
            )


def require_few_effects(effects: tuple[str, ...]) -> None:
    """Ask for no more random effects than visits could show."""
    if len(effects) > MOST_EFFECTS:
        raise ModelError(
            f"The random part has {len(effects)} effects: {', '.join(effects)}.",
            expected=f"Up to {MOST_EFFECTS}.",
            next_step="Use fewer random effects, such as (1 + years | participant_id).",
        )


def require_visits(n_visits: int, n_fixed: int, outcome: str = "") -> None:
    """Ask for more visits than fixed effects."""
    if n_visits <= n_fixed:
        raise ModelError(
            f"The model{_of(outcome)} has {n_fixed} fixed effects and {n_visits} visits.",
            expected="There must be more visits than fixed effects.",
        )


def require_variation_within(
    visits: NDArray[np.int64], ZZ: Floats, effects: tuple[str, ...], outcome: str = ""
) -> None:
    """Ask that participants have more visits than their random effects can follow, and that one shows all of these.

    Parameters
    ----------
    visits, ZZ
        The number of visits (n,) and Z'Z (n, q, q) of each participant, in a basis of columns of mean square one.
    effects
        The q random effects.
    outcome
        What is modelled, where a model has several.
    """
    named = ", ".join(effects)
    spare = int(visits.sum()) - len(effects) * len(visits)
    if spare < 1 and int((visits - _ranks(ZZ)).sum()) < 1:
        raise ModelError(
            f"No participant has more visits{f' with {outcome}' if outcome else ''} than the random part ({named}) has "
            "effects.",
            expected="Measurement variation cannot be told apart from differences between people.",
            next_step="Use fewer random effects, such as (1 | participant_id), or people with more visits.",
        )
    chunks = (ZZ[first : first + _CHUNK] for first in range(0, len(ZZ), _CHUNK))
    if not any(int(_ranks(chunk).max()) == len(effects) for chunk in chunks):
        raise ModelError(
            f"Within no participant do the terms of the random part{_of(outcome)} ({named}) vary.",
            next_step="Use (1 | participant_id), or people with visits at different times.",
        )


def _ranks(ZZ: Floats) -> NDArray[np.int64]:
    return np.asarray(np.linalg.matrix_rank(ZZ, hermitian=True, tol=_TOLERANCE))


def _of(outcome: str) -> str:
    return f" of {outcome}" if outcome else ""
