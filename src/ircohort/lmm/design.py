"""From a formula and a frame to arrays: complete rows in a fixed order, columns by formulaic, knots remembered."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import polars.selectors as cs
from formulaic import Formula
from formulaic.errors import FormulaicError
from numpy.typing import NDArray

from ircohort.errors import ColumnError, FormulaError, ModelError
from ircohort.frames import to_polars
from ircohort.lmm.formula import TRANSFORMS, ModelFormula, parse_formula
from ircohort.lmm.sums import well_conditioned
from ircohort.parallel import on_one_blas_thread

Floats = NDArray[np.float64]

MOST_LEVELS = 100
"""A category with more is a text or a date that was meant otherwise; each level would be a fixed effect."""

COLLINEAR = 1e-7
"""A column is a combination of those before it if less than this share of its length stands apart from them."""


@dataclass(frozen=True, eq=False)
class Basis:
    """How rows of the design are built, with the knots, means and levels of the data that were fitted.

    ``levels`` holds the values seen of each category: text columns, and what stands in ``C``.
    """

    formula: ModelFormula
    response_spec: Any
    fixed_spec: Any
    random_spec: Any
    levels: Mapping[str, frozenset[Any]]

    @property
    def fixed_names(self) -> tuple[str, ...]:
        """The columns of the fixed part."""
        return tuple(self.fixed_spec.column_names)

    @property
    def random_names(self) -> tuple[str, ...]:
        """The columns of the random part."""
        return tuple(self.random_spec.column_names)


@dataclass(frozen=True, eq=False)
class Design:
    """The arrays of a model: ``y`` (N,), ``X`` (N, p), ``Z`` (N, q), of the complete ``rows``, sorted by participant.

    ``starts`` (n,) is the first row of each of the n participants of ``participant_ids``; ``weights`` (n,) of the
    participants, or None.
    """

    y: Floats
    X: Floats
    Z: Floats
    rows: pl.DataFrame
    participant_ids: pl.Series
    starts: NDArray[np.int64]
    basis: Basis
    dropped: Mapping[str, Mapping[str, int]]
    weights: Floats | None = None


@on_one_blas_thread
def build_design(
    formula: ModelFormula, frame: pl.DataFrame, *, basis: Basis | None = None, weights: str = ""
) -> Design:
    """Make the arrays of ``formula`` from the complete rows of ``frame``.

    Parameters
    ----------
    formula
        What the arrays are of.
    frame
        One row per visit.
    basis
        Of another table: its knots, means and levels are used. By default they are those of ``frame``.
    weights
        The column that says how often a participant counts; by default each counts once.

    Raises
    ------
    ColumnError
        If a column is absent or of a type that a model cannot use.
    FormulaError
        If formulaic cannot evaluate a term, or the response or the random part is not usable.
    ModelError
        If no row is complete, a column or term is infinite, or the weights vary within a participant.
    """
    named = (*formula.variables, weights) if weights else formula.variables
    table = _numbers_and_texts(frame, named, formula.group)
    complete = _in_order(table.drop_nulls(), formula)
    dropped = _count_dropped(table, formula.group)
    if complete.is_empty():
        gaps = ", ".join(name for name in dropped if name != "any") or "none: the table has no rows"
        raise ModelError(
            f"No visit is complete for the model {formula.text}.",
            expected=f"Variables with gaps: {gaps}.",
            next_step="Leave a variable out of the formula, or fill it.",
        )
    if basis is None:
        y, X, Z, basis = _evaluate_all(formula, complete)
    else:
        _require_seen(basis, complete, formula.variables)
        specs = (basis.response_spec, basis.fixed_spec, basis.random_spec)
        y, X, Z = (_evaluate(spec, complete)[0] for spec in specs)
    groups = complete[formula.group]
    starts = np.flatnonzero(np.r_[True, (groups != groups.shift(1)).to_numpy()[1:]])
    return Design(
        y=y[:, 0],
        X=X,
        Z=Z,
        rows=complete,
        participant_ids=groups.gather(starts),
        starts=starts,
        basis=basis,
        dropped=dropped,
        weights=_weights(complete, formula.group, weights, starts) if weights else None,
    )


def _in_order(table: pl.DataFrame, formula: ModelFormula) -> pl.DataFrame:
    """Sort rows by participant and all variables, so that sums do not depend on the order in which rows came.

    The variables of the random part, such as time, nearly always settle it; the others are looked at where they do not.
    """
    first = [name for name in formula.variables if re.search(rf"\b{re.escape(name)}\b", formula.random)]
    keys = [formula.group, *first]
    if _increases(table, keys):
        return table
    ordered = table.sort(keys)
    return ordered if _increases(ordered, keys) else table.sort(*keys, *(n for n in table.columns if n not in keys))


def _increases(table: pl.DataFrame, keys: list[str]) -> bool:
    """Tell whether each row stands after the one before it by the keys alone."""
    after, same = pl.lit(False), pl.lit(True)
    for key in keys:
        after = after | (same & (pl.col(key) > pl.col(key).shift()))
        same = same & (pl.col(key) == pl.col(key).shift())
    return bool(table.select(after.slice(1).all()).item())


def _levels(formula: ModelFormula, complete: pl.DataFrame) -> dict[str, frozenset[Any]]:
    categories = [
        name for name in formula.variables if complete.schema[name] == pl.String or name in formula.categories
    ]
    for name in categories:
        count = complete[name].n_unique()
        if count > MOST_LEVELS:
            raise FormulaError(
                f"Column {name} holds {count} different values, each of which would be a category.",
                expected=f"A category has at most {MOST_LEVELS} levels.",
                next_step="Turn it into a number, such as years since a date.",
            )
    return {name: frozenset(complete[name].unique().to_list()) for name in categories}


def _evaluate_all(formula: ModelFormula, complete: pl.DataFrame) -> tuple[Floats, Floats, Floats, Basis]:
    levels = _levels(formula, complete)
    y, response_spec = _evaluate(f"{formula.response} - 1", complete)
    X, fixed_spec = _evaluate(formula.fixed, complete)
    Z, random_spec = _evaluate(formula.random, complete)
    if y.shape[1] != 1:
        raise FormulaError(
            f"The response {formula.response} is not one numeric column.",
            next_step="Convert texts such as <1 to numbers first, or give bounds to fit_censored.",
        )
    if Z.shape[1] == 0 or X.shape[1] == 0:
        raise FormulaError("The fixed and the random part of the formula need at least one column each, such as 1.")
    return y, X, Z, Basis(formula, response_spec, fixed_spec, random_spec, levels)


def _weights(complete: pl.DataFrame, group: str, name: str, starts: NDArray[np.int64]) -> Floats:
    if complete.schema[name] == pl.String:
        raise ColumnError(f"The weights {name} are text.", expected="Numbers, one for each participant.")
    varying = complete.group_by(group).agg(pl.col(name).n_unique() > 1)[name].sum()
    if varying:
        raise ModelError(
            f"The weight {name} varies within {varying} participants.",
            expected="Weights are those of participants: the same at each of their visits.",
        )
    weights: Floats = complete[name].gather(starts).to_numpy()
    return weights


def collinear_columns(formula: str, frame: Any) -> tuple[str, ...]:
    """Name the fixed columns that are constant (beside the intercept) or a combination of the columns before them.

    Examples
    --------
    >>> visits = pl.DataFrame({"participant_id": ["a", "a", "b"], "y": [1.0, 2.0, 4.0],
    ...                        "years": [0.0, 1.0, 3.0], "months": [0.0, 12.0, 36.0]})
    >>> collinear_columns("y ~ years + months + (1 | participant_id)", visits)
    ('months',)
    """
    design = build_design(parse_formula(formula), to_polars(frame))
    return dependent_columns(design.X, design.basis.fixed_names)


def dependent_columns(X: Floats, names: tuple[str, ...]) -> tuple[str, ...]:
    """Name the columns of ``X`` (N, p) that are combinations of the columns before them."""
    if well_conditioned(X):
        return ()
    length = np.linalg.norm(X, axis=0)
    kept: Floats = np.empty((len(X), 0))
    found = []
    for name, column, size in zip(names, X.T, length, strict=True):
        rest = column
        for _ in range(2):  # once more, because the first projection leaves rounding behind
            rest = rest - kept @ (kept.T @ rest)
        apart = float(np.linalg.norm(rest))
        if apart <= COLLINEAR * size:
            found.append(name)
        else:
            kept = np.column_stack([kept, rest / apart])
    return tuple(found)


def _numbers_and_texts(frame: pl.DataFrame, names: tuple[str, ...], group: str = "") -> pl.DataFrame:
    """Select the columns, and ``group`` as it is.

    True and false become 1 and 0, categories text, NaN missing; infinite is refused.
    """
    wanted = [name for name in dict.fromkeys((group, *names)) if name]
    missing = sorted(set(wanted) - set(frame.columns))
    if missing:
        raise ColumnError(
            f"The formula names {', '.join(missing)}, which the table does not have.",
            expected=f"It has: {', '.join(frame.columns)}.",
        )
    table = frame.select(wanted)
    converted = []
    for name, dtype in table.schema.items():
        if dtype.is_numeric() or dtype in (pl.Boolean, pl.Null):
            number = pl.col(name).cast(pl.Float64).fill_nan(None)
            whole = pl.col(name).cast(pl.UInt64 if dtype == pl.UInt64 else pl.Int64)
            converted.append(whole if name == group and dtype.is_integer() else number)
        elif dtype in (pl.String, pl.Categorical, pl.Enum):
            converted.append(pl.col(name).cast(pl.String))
        else:
            raise ColumnError(
                f"The formula names {name}, which holds {dtype}.",
                expected="Numbers, true or false, or text.",
                next_step="Turn a date into years since a date." if dtype.is_temporal() else "",
            )
    table = table.select(converted)
    infinite = table.select(cs.float().is_infinite().any())
    for name, is_so in zip(infinite.columns, infinite.row(0) if infinite.width else (), strict=True):
        if is_so:
            raise ModelError(f"Column {name} holds infinite values.", next_step="Set them to missing.")
    return table


def _count_dropped(table: pl.DataFrame, group: str) -> dict[str, dict[str, int]]:
    gaps = {name: pl.col(name).is_null() for name in table.columns if table[name].null_count()}
    if not gaps:
        return {}
    return {
        name: {
            "visits": int(table.select(gap.sum()).item()),
            "participants": table.filter(gap)[group].drop_nulls().n_unique(),
            "participants_lost": table[group].drop_nulls().n_unique()
            - table.filter(~gap)[group].drop_nulls().n_unique(),
        }
        for name, gap in {**gaps, "any": pl.any_horizontal(*gaps.values())}.items()
    }


def _evaluate(terms: str | Any, table: pl.DataFrame, *, complete: bool = True) -> tuple[Floats, Any]:
    """Evaluate admitted terms (text, or the specification of a fit) on rows without gaps; all must be ``complete``."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            source = Formula(terms) if isinstance(terms, str) else terms
            matrix = source.get_model_matrix(table, context=dict(TRANSFORMS), output="numpy", na_action="ignore")
        except (FormulaicError, ValueError, TypeError, SyntaxError, IndexError) as error:
            reason = str(error).splitlines()[0] if isinstance(terms, str) else type(error).__name__
            raise FormulaError(
                f"The term {terms if isinstance(terms, str) else terms.formula} cannot be evaluated.", expected=reason
            ) from error
    array = np.ascontiguousarray(matrix, dtype=float)
    if complete and not np.isfinite(array).all():
        name = matrix.model_spec.column_names[int(np.argmax(~np.isfinite(array).all(axis=0)))]
        raise ModelError(
            f"{name} is not a finite number in {int((~np.isfinite(array)).any(axis=1).sum())} visits.",
            expected="A logarithm needs values above zero, a square root from zero, bs within its bounds.",
            next_step="Set such values to missing.",
        )
    return array, matrix.model_spec


def rows_for(basis: Basis, spec: Any, frame: Any) -> Floats:
    """Build the rows of one part of the design for new data.

    A row with a missing value, or one that a transform has no value for (beyond the range of ``bs``, the logarithm of
    zero), is NaN throughout.
    """
    given = to_polars(frame)
    needed = {str(name) for name in spec.required_variables} & set(basis.formula.variables)
    names = tuple(name for name in basis.formula.variables if name in needed)
    width = len(spec.column_names)
    if not names:
        return np.ones((given.height, width))
    table = _numbers_and_texts(given, names)
    _require_seen(basis, table, names)
    complete = np.flatnonzero(table.select(pl.all_horizontal(pl.all().is_not_null())).to_series().to_numpy())
    rows = np.full((given.height, width), np.nan)
    if len(complete):
        rows[complete] = _evaluate(spec, table[complete.tolist()], complete=False)[0]
    rows[~np.isfinite(rows).all(axis=1)] = np.nan
    return rows


def _require_seen(basis: Basis, table: pl.DataFrame, names: tuple[str, ...]) -> None:
    for name in names:
        unseen = name in basis.levels and set(table[name].drop_nulls().unique().to_list()) - basis.levels[name]
        if unseen:
            raise ColumnError(
                f"Column {name} holds a level that the fit has not seen.",
                expected=f"It has seen: {', '.join(map(str, sorted(basis.levels[name])))}.",
            )
