"""Whether insulin rises because more is secreted, or because less is cleared.

C-peptide and insulin leave the beta cell mole for mole; the liver takes up insulin only. As ln insulin = ln C-peptide -
ln (C-peptide / insulin), what of a rise of insulin is not a rise of C-peptide is a fall of the ratio, and so of
clearance. See :func:`ircohort.indices.c_peptide_insulin_ratio` for what the ratio cannot tell.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.stats import t as student

Floats = NDArray[np.float64]

_FEWEST_PEOPLE = 2


def split_rise(table: pl.DataFrame) -> pl.DataFrame:
    """Give the yearly change within participants of insulin, C-peptide and their ratio, at visits with both.

    One line for all on the logs, each participant with a level of their own; the interval takes participants as
    the unit. The changes add up: insulin = C-peptide less ratio, on the log scale.
    """
    both = table.filter(
        (pl.col("insulin_uiu_ml") > 0) & (pl.col("c_peptide_ng_ml") > 0) & ~pl.col("unreliable")
    ).with_columns(pl.col("insulin_uiu_ml").log().alias("insulin"), pl.col("c_peptide_ng_ml").log().alias("c_peptide"))
    both = both.with_columns((pl.col("c_peptide") - pl.col("insulin")).alias("ratio"))
    both = both.filter((pl.col("years").max() > pl.col("years").min()).over("participant_id"))
    both = both.sort("participant_id", "years", "insulin", "c_peptide")
    person = both["participant_id"].rle_id().to_numpy().astype(np.intp)
    rows = []
    for outcome in ("insulin", "c_peptide", "ratio"):
        slope = _common_slope(person, both["years"].to_numpy(), both[outcome].to_numpy())
        rows.append((outcome, both["participant_id"].n_unique(), both.height, *slope))
    columns = {"outcome": pl.String, "n_participants": pl.Int64, "n_visits": pl.Int64}
    floats = dict.fromkeys(("pct_per_year", "low", "high"), pl.Float64)
    return pl.DataFrame(rows, schema={**columns, **floats}, orient="row")


def _common_slope(
    person: NDArray[np.intp], years: Floats, y: Floats
) -> tuple[float | None, float | None, float | None]:
    """Slope within persons in % a year, with an interval from its variance between them (clusters, Student's t)."""
    people = int(person.max()) + 1 if len(person) else 0
    if people < _FEWEST_PEOPLE:
        return None, None, None
    count = np.bincount(person)
    t = years - (np.bincount(person, years) / count)[person]
    centred = y - (np.bincount(person, y) / count)[person]
    sxx = float(t @ t)
    slope = float(t @ centred) / sxx
    scores = np.bincount(person, t * (centred - slope * t))
    error = float(np.sqrt(scores @ scores * people / (people - 1))) / sxx
    reach = float(student.ppf(0.975, people - 1)) * error
    value, low, high = (100 * float(np.expm1(slope + k * reach)) for k in (0, -1, 1))
    return value, low, high
