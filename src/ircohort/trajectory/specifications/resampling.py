"""Curves of a specification with intervals from people drawn again."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ircohort.frames import kind_of
from ircohort.lmm import bootstrap
from ircohort.trajectory.alignment import GROUPS
from ircohort.trajectory.landmarks import INTERVAL, simultaneous_limits
from ircohort.trajectory.specifications.record import SpecificationFit

Floats = NDArray[np.float64]


def resample_curves(found: SpecificationFit, *, n_refits: int = 1000, seed: int = 0) -> Any:
    """Refit a specification to people drawn with replacement, and give its curves with the spread of the refits.

    Each refit estimates fixed effects and variances anew. Held are the alignment, the knots, the supported years and
    the standard person; where the comparison group was matched, the matching is held too.

    Parameters
    ----------
    found
        A fitted specification.
    n_refits, seed
        Of the bootstrap.

    Returns
    -------
    data frame
        Of the kind that was fitted: ``group`` (``cases``, ``comparison``, ``difference``: the first minus the second),
        the time axis, ``fitted``, ``low``, ``high`` (95 %, percentiles), ``low_simultaneous``,
        ``high_simultaneous``, ``unit``, ``n_refits`` (those that could be made). Of log outcomes geometric means.

    Source
    ------
    Davison and Hinkley 1997, Bootstrap Methods, sections 3.8 and 4.2.4, doi:10.1017/CBO9780511802843.

    Examples
    --------
    >>> import numpy as np
    >>> from ircohort.trajectory.specifications import fit_specification
    >>> t, person = np.tile(np.arange(-5.0, 1.0), 40), np.repeat(np.arange(40), 6)
    >>> glucose = 90 + person % 7 + (person < 20) * (t + 6) + np.sin(7.0 * np.arange(240))
    >>> aligned = pl.DataFrame({"participant_id": person, "years_to_event": t, "progressor": person < 20,
    ...                         "glucose_mg_dl": glucose})
    >>> found = fit_specification(aligned, "glucose_mg_dl", "sagesaka", simultaneous=False)
    >>> resample_curves(found, n_refits=20).filter(group="difference").height
    6
    """
    layout, record = found.layout, found.fit
    times = layout.times()
    drawn = bootstrap(record, n_refits=n_refits, seed=seed).coefficients
    drawn = drawn[np.isfinite(drawn).all(axis=1)]
    every = np.vstack([record.coefficients, drawn])
    natural = np.exp if found.outcome.log else np.asarray
    cases, comparison = (every @ layout.design(record, times, case=case).T for case in (True, False))
    tables = [
        _table(group, natural(values), natural(simultaneous_limits(values)))
        for group, values in zip(GROUPS, (cases, comparison), strict=True)
    ]
    apart = natural(cases) - natural(comparison)
    tables.append(_table("difference", apart, simultaneous_limits(apart)))
    axis = pl.Series(found.specification.axis, np.tile(times, len(tables)))
    laid_out = pl.concat(tables).with_columns(
        axis, pl.lit(found.outcome.unit).alias("unit"), pl.lit(len(drawn)).alias("n_refits")
    )
    limits = ("fitted", "low", "high", "low_simultaneous", "high_simultaneous", "unit", "n_refits")
    return kind_of(found.curves)(laid_out.select("group", found.specification.axis, *limits))


def _table(group: str, values: Floats, limits: Floats) -> pl.DataFrame:
    ends: Any = (None, None)
    if len(values) > 2:
        ends = np.quantile(values[1:], INTERVAL, axis=0)
    columns = {"fitted": values[0], "low": ends[0], "high": ends[1]}
    columns |= {"low_simultaneous": limits[0], "high_simultaneous": limits[1]}
    table = pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.Float64), nan_to_null=True)
    return table.with_columns(pl.lit(group).alias("group"))
