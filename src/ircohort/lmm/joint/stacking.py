"""From one formula for each outcome to the stacked columns [Z_1 .. Z_K | X_1 .. X_K | y_1 .. y_K] of the same rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ircohort.errors import FormulaError, ModelError, UsageError
from ircohort.lmm.design import Basis, Design, build_design, rows_for
from ircohort.lmm.formula import ModelFormula, parse_formula
from ircohort.lmm.identification import MOST_EFFECTS, require_columns, require_response, require_visits
from ircohort.lmm.sums import Scaling, scaling_of

Floats = NDArray[np.float64]

MOST_OUTCOMES = 3
"""Random effects of all outcomes together: beyond, the covariances outnumber what a cohort can show."""

TAKEN = "visits"
_EXACT = 1e-6
_FEWEST_OUTCOMES = 2


@dataclass(frozen=True, eq=False)
class Outcome:
    """One outcome: how its rows are built, and the scale on which it is computed.

    ``basis`` builds rows for new data; ``scaling`` is the change of basis of its columns; the scaled response is
    divided by ``unit``, the residual standard deviation around its fixed part. ``dropped`` counts the visits that it
    misses, variable by variable.
    """

    name: str
    basis: Basis
    scaling: Scaling
    unit: float
    dropped: Mapping[str, Mapping[str, int]]

    @property
    def fixed_names(self) -> tuple[str, ...]:
        """The fixed effects."""
        return self.basis.fixed_names

    @property
    def random_names(self) -> tuple[str, ...]:
        """The random effects."""
        return self.basis.random_names


@dataclass(frozen=True, eq=False)
class Stack:
    """The N rows in which at least one outcome is complete, sorted by participant.

    ``participant_ids`` (n,); ``person`` (N,) is the position of a row's participant in them; ``observed`` (N, K) tells
    which outcomes a row has; ``columns`` (N, q + p + K) is zero where a row misses the outcome. ``unused`` counts the
    rows that were given and have no outcome.
    """

    outcomes: tuple[Outcome, ...]
    group: str
    participant_ids: pl.Series
    person: NDArray[np.int64]
    observed: NDArray[np.bool_]
    columns: Floats
    unused: int


def parse_all(formulas: Mapping[str, str] | Sequence[str]) -> dict[str, ModelFormula]:
    """Parse the formula of each outcome, and refuse formulas that cannot be fitted jointly.

    An outcome that is given no name has that of its response: ``log(insulin)``.
    """
    texts = list(formulas.values()) if isinstance(formulas, Mapping) else list(formulas)
    if isinstance(formulas, str) or not _FEWEST_OUTCOMES <= len(texts) <= MOST_OUTCOMES:
        raise UsageError(
            f"A joint model was asked for {1 if isinstance(formulas, str) else len(texts)} outcomes.",
            expected=f"Two to {MOST_OUTCOMES} formulas, one for each outcome.",
            next_step="For one outcome use fit.",
        )
    parsed = [parse_formula(text) for text in texts]
    names = list(formulas) if isinstance(formulas, Mapping) else [formula.response for formula in parsed]
    if len(set(names)) < len(names):
        raise UsageError("Two outcomes have the same name.", next_step="Give the formulas as a dictionary of names.")
    if TAKEN in names:
        raise UsageError(f"An outcome cannot be named {TAKEN}: the table of patterns has such a column.")
    if any(formula.diagonal for formula in parsed):
        raise FormulaError(
            "A joint model was asked for random effects without correlation, `||`.",
            expected="Its point is the correlations: every random effect is correlated with every other.",
            next_step="Write | instead of ||.",
        )
    groups = sorted({formula.group for formula in parsed})
    if len(groups) > 1:
        raise FormulaError(
            f"The outcomes are grouped by {' and '.join(groups)}.", expected="One grouping column for all outcomes."
        )
    return dict(zip(names, parsed, strict=True))


def stack(formulas: Mapping[str, ModelFormula], frame: pl.DataFrame) -> Stack:
    """Build the columns of every outcome, each in its scaled basis, over the same rows.

    Raises
    ------
    ColumnError
        If a column is absent or of a type that a model cannot use.
    ModelError
        If an outcome has no complete row or no variation, terms that cannot be told apart, or one participant; or if
        there are more than nine random effects.
    """
    group = next(iter(formulas.values())).group
    designs = {name: build_design(formula, frame) for name, formula in formulas.items()}
    _check_size(designs)
    for name, design in designs.items():
        _check_outcome(name, design)
    table = _sorted(frame, group, sorted({name for formula in formulas.values() for name in formula.variables}))
    complete = [_complete(table, (group, *formula.variables)) for formula in formulas.values()]
    kept = np.logical_or.reduce(complete)
    table, observed = table.filter(pl.Series(kept)), np.column_stack(complete)[kept]
    built = [_build(name, designs[name], table, mine) for name, mine in zip(designs, observed.T, strict=True)]
    ids = table[group]
    first = ids.ne_missing(ids.shift(1))
    return Stack(
        outcomes=tuple(outcome for outcome, _ in built),
        group=group,
        participant_ids=ids.filter(first),
        person=np.cumsum(first.to_numpy()) - 1,
        observed=observed,
        columns=_side_by_side(built),
        unused=int((~kept).sum()),
    )


def _sorted(frame: pl.DataFrame, group: str, names: list[str]) -> pl.DataFrame:
    """Sort by participant and all variables, so that the order of the given rows does not matter."""
    wanted = list(dict.fromkeys((group, *names)))
    texts = pl.col(pl.Categorical, pl.Enum).cast(pl.String)
    return frame.select(wanted).with_columns(texts).sort(wanted)


def _complete(table: pl.DataFrame, names: tuple[str, ...]) -> NDArray[np.bool_]:
    gaps = pl.any_horizontal(pl.col(list(dict.fromkeys(names))).is_null())
    complete: NDArray[np.bool_] = ~table.select(gaps).to_series().to_numpy()
    return complete


def _build(name: str, design: Design, table: pl.DataFrame, mine: NDArray[np.bool_]) -> tuple[Outcome, Floats]:
    """Build [Z | X | y] of one outcome, scaled, over all rows: zero in those that are not ``mine`` (N,)."""
    basis, rows = design.basis, table.filter(pl.Series(mine))
    specs = (basis.random_spec, basis.fixed_spec, basis.response_spec)
    Z, X, y = (rows_for(basis, spec, rows) for spec in specs)
    scaling = scaling_of(y[:, 0], X, Z, diagonal=False)
    scaled = np.column_stack([Z, X, y]) @ scaling.inverse
    unit = float(np.sqrt(np.mean(scaled[:, -1] ** 2)))
    if unit <= _EXACT * float(np.std(y)):
        raise exact(name)
    scaled[:, -1] /= unit
    columns = np.zeros((table.height, scaled.shape[1]))
    columns[mine] = scaled
    return Outcome(name, basis, scaling, unit, design.dropped), columns


def _side_by_side(built: list[tuple[Outcome, Floats]]) -> Floats:
    """Order the columns of all outcomes as [Z_1 .. Z_K | X_1 .. X_K | y_1 .. y_K]."""
    Zs = [columns[:, : len(outcome.scaling.random)] for outcome, columns in built]
    Xs = [columns[:, len(outcome.scaling.random) : -1] for outcome, columns in built]
    return np.concatenate([*Zs, *Xs, *(columns[:, -1:] for _, columns in built)], axis=1)


def exact(name: str) -> ModelError:
    """Make the error of an outcome without residual variation."""
    return ModelError(
        f"The model explains {name} exactly; no variation is left to judge it by.",
        next_step="Look for a column that is computed from the response.",
    )


def _check_size(designs: Mapping[str, Design]) -> None:
    effects = sum(design.Z.shape[1] for design in designs.values())
    if effects > MOST_EFFECTS:
        counts = ", ".join(f"{name} {design.Z.shape[1]}" for name, design in designs.items())
        raise ModelError(
            f"The outcomes have {effects} random effects together ({counts}).",
            expected=f"Up to {MOST_EFFECTS}: each is correlated with every other.",
            next_step="Use fewer random effects, such as (1 + years | participant_id) for each outcome.",
        )


def _check_outcome(name: str, design: Design) -> None:
    require_response(design, name)
    require_columns(design, name)
    require_visits(len(design.y), design.X.shape[1], name)
