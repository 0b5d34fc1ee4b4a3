"""What has been published of the years before prediabetes and diabetes: a committed table, to set a cohort beside.

``targets.csv`` holds numbers that were read in the named source (evidence ``V``) or computed (``R``), none from memory.
"""

from __future__ import annotations

from importlib.resources import files

import polars as pl

from ircohort.errors import UsageError

_NUMBERS = ("years_from", "years_to_event", "value", "low", "high")
COLUMNS = (
    *("study", "doi", "source", "population", "event", "outcome", "unit", "group"),
    *(*_NUMBERS, "kind", "evidence", "note"),
)
"""``event``: what ``years_to_event`` counts to. ``years_from``: where a slope begins. ``kind``: what ``value`` is, such
as ``mean``, ``slope``, ``knot`` (a year in which the curve bends), ``turning_point``, ``people``."""


def _read() -> pl.DataFrame:
    schema = {name: pl.Float64 if name in _NUMBERS else pl.String for name in COLUMNS}
    with files(__name__).joinpath("targets.csv").open("rb") as table:
        return pl.read_csv(table, schema=schema)


PUBLISHED: pl.DataFrame = _read()
"""All published numbers, a row each; what a source does not state is null."""

STUDIES: tuple[str, ...] = tuple(PUBLISHED["study"].unique(maintain_order=True))
"""The names of the studies, such as ``sagesaka-2018``."""


def targets(study: str) -> pl.DataFrame:
    """Give the published numbers of one study.

    Parameters
    ----------
    study
        A name of :data:`STUDIES`.

    Returns
    -------
    polars.DataFrame
        Columns as :data:`COLUMNS`; ``value``, ``low`` and ``high`` (of 95 % intervals) in ``unit``.

    Raises
    ------
    UsageError
        If there is no such study.

    Examples
    --------
    >>> targets("sagesaka-2018").filter(event="prediabetes", outcome="glucose_mg_dl").select("group", "value").rows()
    [('cases', 91.8), ('comparison', 89.6)]
    """
    if study not in STUDIES:
        raise UsageError(f"There is no published study {study!r}.", expected=f"Known are: {', '.join(STUDIES)}.")
    return PUBLISHED.filter(pl.col("study") == study)
