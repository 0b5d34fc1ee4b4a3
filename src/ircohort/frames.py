"""The one door between the caller's data frames and the polars frames used inside."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import narwhals as nw
import polars as pl

from ircohort.errors import ColumnError, UsageError

if TYPE_CHECKING:
    import pandas as pd


def to_polars(frame: Any) -> pl.DataFrame:
    """Give a polars copy of a caller's eager frame; a pandas index is dropped, missing becomes null.

    Raises
    ------
    UsageError
        If ``frame`` is neither a pandas nor a polars data frame.

    Examples
    --------
    >>> import pandas as pd
    >>> to_polars(pd.DataFrame({"glucose_mg_dl": [95.0, None]}))["glucose_mg_dl"].null_count()
    1
    """
    polars = frame if isinstance(frame, pl.DataFrame) else _from_other(frame)
    floats = [name for name, dtype in polars.schema.items() if dtype.is_float()]
    return polars.with_columns(pl.col(floats).fill_nan(None)) if floats else polars


def _from_other(frame: Any) -> pl.DataFrame:
    try:
        native = nw.from_native(frame, eager_only=True)
    except TypeError as error:
        raise UsageError(
            f"A table was given as {type(frame).__name__}.",
            expected="A pandas or polars data frame is expected (a polars LazyFrame must be collected first).",
        ) from error
    try:
        polars: pl.DataFrame = native.to_polars()
    except (TypeError, ValueError, nw.exceptions.NarwhalsError, pl.exceptions.PolarsError):
        # The messages of the libraries quote cells; this one does not.
        raise ColumnError(
            "A column of the table holds values of several types, or two columns have one name.",
            next_step="Convert each column to one type first.",
        ) from None
    return polars


def to_pandas(frame: pl.DataFrame) -> pd.DataFrame:
    """Give a pandas copy of a polars frame, for the libraries that take nothing else."""
    pandas: pd.DataFrame = frame.to_pandas()
    return pandas


_FORMULA = r"^[=+\-@\t\r]"
_PLAIN_NUMBER = r"^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$"


def without_formulas(frame: pl.DataFrame) -> pl.DataFrame:
    """Put an apostrophe before texts that a spreadsheet would run as a formula; a plain number is left as it is.

    Source: OWASP, "CSV Injection". Parquet and JSON need no such thing.

    Examples
    --------
    >>> without_formulas(pl.DataFrame({"site": ["=1+1", "-5", "A"]}))["site"].to_list()
    ["'=1+1", '-5', 'A']
    """
    text = pl.col(pl.String)
    runs = text.str.contains(_FORMULA) & ~text.str.contains(_PLAIN_NUMBER)
    guarded = frame.with_columns(pl.when(runs).then(pl.lit("'") + text).otherwise(text).name.keep())
    return guarded.rename({name: f"'{name}" for name in frame.columns if name[:1] in "=+-@\t\r"})


def kind_of(frame: Any) -> Callable[[pl.DataFrame], Any]:
    """Give the function that turns a polars result into the kind of frame the caller passed in."""
    if isinstance(frame, pl.DataFrame):
        return lambda result: result
    return to_pandas
