"""Named cut-offs with their source, the class of a reading, and confirmed events with dates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from types import MappingProxyType

import polars as pl

from ircohort.errors import UsageError
from ircohort.schema import GLYCAEMIA

_ADA = "American Diabetes Association, Standards of Care, section 2"
_ADA_DOI = "10.2337/dc24-S002"
_WHO = "WHO/IDF 2006, Definition and diagnosis of diabetes mellitus and intermediate hyperglycaemia"
_ARTICLE = "bands of the source articles; population-specific, not diagnostic"


@dataclass(frozen=True)
class CutOff:
    """A named limit: a value at or above ``value`` (in ``unit``) has the meaning."""

    name: str
    quantity: str
    unit: str
    value: Decimal
    meaning: str
    source: str
    doi: str = ""


def _row(name: str, quantity: str, unit: str, value: str, meaning: str, source: str, doi: str = "") -> CutOff:
    return CutOff(name, quantity, unit, Decimal(value), meaning, source, doi)


CUT_OFFS: Mapping[str, CutOff] = MappingProxyType(
    {
        row.name: row
        for row in (
            _row("ada_glucose_prediabetes", "glucose", "mg/dL", "100", "prediabetes", _ADA, _ADA_DOI),
            _row("ada_glucose_prediabetes_mmol", "glucose", "mmol/L", "5.6", "prediabetes", _ADA, _ADA_DOI),
            _row("ada_glucose_diabetes", "glucose", "mg/dL", "126", "diabetes", _ADA, _ADA_DOI),
            _row("ada_glucose_diabetes_mmol", "glucose", "mmol/L", "7.0", "diabetes", _ADA, _ADA_DOI),
            _row("ada_hba1c_prediabetes", "hba1c", "NGSP %", "5.7", "prediabetes", _ADA, _ADA_DOI),
            _row("ada_hba1c_prediabetes_ifcc", "hba1c", "mmol/mol", "39", "prediabetes", _ADA, _ADA_DOI),
            _row("ada_hba1c_diabetes", "hba1c", "NGSP %", "6.5", "diabetes", _ADA, _ADA_DOI),
            _row("ada_hba1c_diabetes_ifcc", "hba1c", "mmol/mol", "48", "diabetes", _ADA, _ADA_DOI),
            _row("who_glucose_prediabetes", "glucose", "mg/dL", "110", "prediabetes", _WHO),
            _row("who_glucose_prediabetes_mmol", "glucose", "mmol/L", "6.1", "prediabetes", _WHO),
            _row("who_glucose_diabetes", "glucose", "mg/dL", "126", "diabetes", _WHO),
            _row("who_glucose_diabetes_mmol", "glucose", "mmol/L", "7.0", "diabetes", _WHO),
            _row("who_hba1c_diabetes", "hba1c", "NGSP %", "6.5", "diabetes", _WHO),
            _row("who_hba1c_diabetes_ifcc", "hba1c", "mmol/mol", "48", "diabetes", _WHO),
            _row("homa_ir_optimal", "homa_ir", "1", "1.0", "above the optimum", _ARTICLE),
            _row("homa_ir_early", "homa_ir", "1", "1.9", "early insulin resistance", _ARTICLE),
            _row("homa_ir_marked", "homa_ir", "1", "2.9", "marked insulin resistance", _ARTICLE),
            _row("tg_hdl_good", "tg_hdl_mg", "mg/mg", "1.5", "above the optimum", _ARTICLE),
            _row("tg_hdl_raised", "tg_hdl_mg", "mg/mg", "2.0", "raised", _ARTICLE),
            _row(
                "tg_hdl_marked",
                "tg_hdl_mg",
                "mg/mg",
                "3.0",
                "probable insulin resistance",
                "McLaughlin 2003, Ann Intern Med 139:802",
                "10.7326/0003-4819-139-10-200311180-00007",
            ),
        )
    }
)
"""Every limit that ircohort knows. ``run``, ``read`` and ``markers`` take other values by name."""

CRITERIA = ("ada", "who")


def cut_off(name: str, overrides: Mapping[str, float] | None = None) -> float:
    """Give the value of a named cut-off, or the one that replaces it.

    Raises
    ------
    UsageError
        If there is no such cut-off.

    Examples
    --------
    >>> cut_off("homa_ir_early"), cut_off("homa_ir_early", {"homa_ir_early": 2.5})
    (1.9, 2.5)
    """
    unknown = sorted({name, *(overrides or {})} - set(CUT_OFFS))
    if unknown:
        raise UsageError(f"There is no cut-off named {unknown[0]}.", expected=f"Known are: {', '.join(CUT_OFFS)}.")
    value = (overrides or {}).get(name, CUT_OFFS[name].value)
    try:
        return float(value)
    except (TypeError, ValueError):
        raise UsageError(f"The cut-off {name} was given as {type(value).__name__}.", expected="A number.") from None


def class_of_reading(
    quantity: str,
    value: Decimal,
    unit: str,
    *,
    criteria: str = "ada",
    overrides: Mapping[str, float] | None = None,
) -> str | None:
    """Classify one reading in the unit in which it was reported.

    The value is rounded half-up to the precision of the cut-off in that unit (mmol/L to one decimal, NGSP to one
    decimal, IFCC to whole numbers); mg/dL is compared as written, so that 99.6 is normal.

    Parameters
    ----------
    quantity
        ``glucose`` or ``hba1c``.
    value, unit
        The reading: ``mg/dL`` or ``mmol/L``; ``NGSP %`` or ``mmol/mol``.
    criteria
        ``ada`` or ``who``; by WHO an HbA1c below diabetes says nothing and gives None.
    overrides
        Other values for named cut-offs. A glucose cut-off overridden in mg/dL applies to mg/dL readings only.

    Source
    ------
    American Diabetes Association, Standards of Care, doi:10.2337/dc24-S002.

    Examples
    --------
    >>> class_of_reading("glucose", Decimal("100"), "mg/dL"), class_of_reading("glucose", Decimal("5.55"), "mmol/L")
    ('prediabetes', 'prediabetes')
    >>> class_of_reading("glucose", Decimal("5.54"), "mmol/L")
    'normal'
    """
    suffix = {"mmol/L": "_mmol", "mmol/mol": "_ifcc"}.get(unit, "")
    lowest = None
    for level in ("diabetes", "prediabetes"):
        name = f"{criteria}_{quantity}_{level}{suffix}"
        if name not in CUT_OFFS:
            continue
        lowest = level
        limit = Decimal(str((overrides or {}).get(name, CUT_OFFS[name].value)))
        compared = value if unit == "mg/dL" else _rounded(value, limit)
        if compared >= limit:
            return level
    return "normal" if lowest == "prediabetes" else None


def _rounded(value: Decimal, limit: Decimal) -> Decimal:
    """Round half-up to the precision of a limit; what is too large to be rounded so is beyond any limit."""
    try:
        return value.quantize(limit, rounding=ROUND_HALF_UP)
    except InvalidOperation:
        return value


def worse_of(glucose: pl.Expr, hba1c: pl.Expr) -> tuple[pl.Expr, pl.Expr]:
    """Combine the classes of the two readings of a visit: the worse one, and which reading decided it."""
    by_glucose, by_hba1c = (
        reading.cast(pl.Enum(GLYCAEMIA)).to_physical().cast(pl.Int8).fill_null(-1) for reading in (glucose, hba1c)
    )
    decided = pl.when(by_hba1c > by_glucose).then(hba1c).otherwise(glucose)
    decider = pl.when(by_hba1c > by_glucose).then(pl.lit("hba1c")).otherwise(pl.lit("glucose"))
    return decided, pl.when(decided.is_not_null()).then(decider)


def with_glycaemia(
    visits: pl.DataFrame, *, criteria: str = "ada", overrides: Mapping[str, float] | None = None
) -> pl.DataFrame:
    """Decide ``glycaemia`` and ``glycaemia_by`` from the canonical columns of hand-made visits.

    Visits that were read from an export carry the class of each reading in the unit in which it was reported;
    this is for tables without that history. Glucose is compared as written, HbA1c to one decimal.

    Examples
    --------
    >>> with_glycaemia(pl.DataFrame({"glucose_mg_dl": [99.6, 100.0, None]}))["glycaemia"].to_list()
    ['normal', 'prediabetes', None]
    """
    units = {"glucose": ("glucose_mg_dl", "mg/dL"), "hba1c": ("hba1c_pct", "NGSP %")}
    classes = {}
    for quantity, (column, unit) in units.items():
        if column not in visits.columns:
            classes[quantity] = pl.lit(None, dtype=pl.String)
            continue
        values = visits[column].drop_nulls().unique().to_list()
        table = {
            value: class_of_reading(quantity, Decimal(repr(value)), unit, criteria=criteria, overrides=overrides)
            for value in values
        }
        classes[quantity] = pl.col(column).replace_strict(table, default=None, return_dtype=pl.String)
    glycaemia, decider = worse_of(classes["glucose"], classes["hba1c"])
    return visits.with_columns(glycaemia.alias("glycaemia"), decider.alias("glycaemia_by"))


def confirmed_events(visits: pl.DataFrame, *, to: str = "prediabetes") -> pl.DataFrame:
    """Find each participant's first confirmed event.

    An event is a visit at or beyond the class ``to`` whose next visit that can judge glycaemia is at or beyond it
    too. It is dated by the first of the two. Rows of one time are one visit, judged by the worse of them.

    Parameters
    ----------
    visits
        VISITS with ``glycaemia``; rows without ``years`` or ``glycaemia`` judge nothing.
    to
        ``prediabetes`` (prediabetes or worse) or ``diabetes``.

    Returns
    -------
    polars.DataFrame
        One row per participant with an event: ``participant_id``, ``event_years`` (years since the first visit),
        ``confirmed_years``, ``event_by`` (``glucose`` or ``hba1c``), ``prevalent`` (true where the first visit that
        can judge is already the event). Sorted by participant.

    Examples
    --------
    >>> visits = pl.DataFrame({"participant_id": ["a"] * 4, "years": [0.0, 1.0, 2.0, 3.0],
    ...                        "glycaemia": ["normal", "prediabetes", "prediabetes", "normal"],
    ...                        "glycaemia_by": ["glucose"] * 4})
    >>> confirmed_events(visits)["event_years"].item()
    1.0
    """
    level = _level_for(to)
    judged = (
        visits.filter(pl.col("glycaemia").is_not_null() & pl.col("years").is_not_null())
        .with_columns((level >= GLYCAEMIA.index(to)).alias("reached"))
        .sort("participant_id", "years", "reached", "glycaemia_by")
        .unique(["participant_id", "years"], keep="last", maintain_order=True)
    )
    return (
        judged.with_columns(
            pl.col("reached").shift(-1).over("participant_id").alias("again"),
            pl.col("years").shift(-1).over("participant_id").alias("confirmed_years"),
            pl.col("years").first().over("participant_id").alias("first_judged"),
        )
        .filter(pl.col("reached") & pl.col("again"))
        .group_by("participant_id", maintain_order=True)
        .agg(
            pl.col("years").first().alias("event_years"),
            pl.col("confirmed_years").first(),
            pl.col("glycaemia_by").first().alias("event_by"),
            (pl.col("years").first() == pl.col("first_judged").first()).alias("prevalent"),
        )
        .sort("participant_id")
    )


def confirmed_episodes(visits: pl.DataFrame, *, to: str = "prediabetes") -> pl.DataFrame:
    """Find every confirmed event of each participant, and when glycaemia was confirmed to have come back.

    Events are those of :func:`confirmed_events`. One ends at the first of two visits in a row that can judge glycaemia
    and are both below the class ``to``, with no glucose-lowering drug or insulin therapy recorded at or between them;
    only then can another begin. What a visit does not state of treatment is as at the visit before.

    Parameters
    ----------
    visits
        VISITS with ``glycaemia``, and ``glucose_lowering_drug`` and ``insulin_therapy`` where known. A row without
        ``glycaemia`` judges nothing, but its treatment counts; one without ``years`` does not count at all.
    to
        ``prediabetes`` (prediabetes or worse) or ``diabetes``.

    Returns
    -------
    polars.DataFrame
        One row per event: ``participant_id``, ``episode`` (0, 1, ...), ``event_years``, ``event`` (class of the reading
        that dates it), ``confirmed_years``, ``recovered_years`` (null where it was not seen to end). Sorted.

    Examples
    --------
    >>> visits = pl.DataFrame({"participant_id": ["a"] * 5, "years": [0.0, 1.0, 2.0, 3.0, 4.0],
    ...                        "glycaemia": ["normal", "prediabetes", "prediabetes", "normal", "normal"]})
    >>> confirmed_episodes(visits).row(0)
    ('a', 0, 1.0, 'prediabetes', 2.0, 3.0)
    """
    level = _level_for(to)
    concerned = (level >= GLYCAEMIA.index(to)).any().over("participant_id")
    judged = _by_time(visits.filter(pl.col("years").is_not_null()).filter(concerned), level)
    first, more_to_come = _changes("participant_id"), ~_changes("participant_id").shift(-1, fill_value=True)
    reached = pl.col("level") >= GLYCAEMIA.index(to)
    untreated = ~pl.col("treated") & (pl.col("treatments").shift(-1) == pl.col("treatments"))
    turn = (
        pl.when(more_to_come & reached & reached.shift(-1))
        .then(True)
        .when(more_to_come & ~reached & ~reached.shift(-1) & untreated)
        .then(False)
        .when(first)
        .then(False)
    )
    # Between two turns a participant stays as the last one left them; before the first there is no event.
    turns = judged.with_columns(
        turn.forward_fill().alias("in_event"), pl.col("years").shift(-1).alias("confirmed_years")
    )
    turns = turns.filter(pl.when(first).then("in_event").otherwise(_changes("in_event")))
    again = pl.when(~_changes("participant_id").shift(-1, fill_value=True)).then(pl.col("years").shift(-1))
    return (
        turns.with_columns(again.alias("recovered_years"))
        .filter("in_event")
        .select(
            "participant_id",
            pl.int_range(pl.len(), dtype=pl.Int64).over("participant_id").alias("episode"),
            pl.col("years").alias("event_years"),
            pl.col("level").replace_strict(dict(enumerate(GLYCAEMIA)), return_dtype=pl.String).alias("event"),
            "confirmed_years",
            "recovered_years",
        )
    )


def _changes(name: str) -> pl.Expr:
    """Whether a row of a sorted table differs from the one before; the first does. Cheaper than a window."""
    return pl.col(name).ne_missing(pl.col(name).shift(1))


def _level_for(event: str) -> pl.Expr:
    """Give the class of a reading as 0, 1, 2, once it is clear that ``event`` is one of them."""
    if event not in GLYCAEMIA[1:]:
        raise UsageError(f"There is no event {event!r}.", expected="Known are: prediabetes, diabetes.")
    return pl.col("glycaemia").replace_strict({name: rank for rank, name in enumerate(GLYCAEMIA)}, return_dtype=pl.Int8)


def _by_time(rows: pl.DataFrame, level: pl.Expr) -> pl.DataFrame:
    """Give one row per participant and time that can judge glycaemia: the worse class, and the treatment by then."""
    stated = [name for name in ("glucose_lowering_drug", "insulin_therapy") if name in rows.columns]
    unsaid = pl.when(_changes("participant_id")).then(False)
    drugs = [pl.coalesce(pl.col(name).cast(pl.Boolean), unsaid).forward_fill() for name in stated]
    timed = rows.select("participant_id", "years", level.alias("level"), *stated).sort("participant_id", "years")
    if timed.select((~_changes("participant_id") & ~_changes("years")).any()).item():
        timed = timed.group_by("participant_id", "years", maintain_order=True).agg(pl.col("level", *stated).max())
    return (
        timed.with_columns(pl.any_horizontal(pl.lit(False), *drugs).alias("treated"))
        .with_columns(pl.col("treated").cum_sum().alias("treatments"))
        .filter(pl.col("level").is_not_null())
    )
