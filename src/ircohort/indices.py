"""One function a formula, one visible registry of markers, and the state of a visit.

All markers are computed from the canonical columns (glucose, triglycerides, HDL in mg/dL, insulin in uIU/mL). They
describe fasting samples only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import polars as pl

from ircohort.errors import ColumnError
from ircohort.frames import kind_of, to_polars
from ircohort.glycaemia import cut_off, with_glycaemia
from ircohort.schema import GLYCAEMIA, VISITS, require
from ircohort.units import ANALYTES, INSULIN_PMOL_PER_UIU, conversion

GLUCOSE, INSULIN, TG, HDL, BMI = "glucose_mg_dl", "insulin_uiu_ml", "triglycerides_mg_dl", "hdl_mg_dl", "bmi"
C_PEPTIDE = "c_peptide_ng_ml"

_MMOL_TG = float(ANALYTES["triglycerides"].conversions[1].scale)
_C_PEPTIDE_NG_ML_PER_PMOL_L = float(conversion("c_peptide", "pmol/L").scale)
_INSULIN_PMOL_L_PER_UIU_ML = float(INSULIN_PMOL_PER_UIU)
_HOMA_B_POLE_MG_DL = 63.0  # 3.5 mmol/L, where the published denominator is zero

Cell = Callable[[str], pl.Expr]


def homa_ir(cell: Cell = pl.col) -> pl.Expr:
    """HOMA1-IR = glucose (mg/dL) x insulin (uIU/mL) / 405. Matthews 1985, doi:10.1007/BF00280883."""
    return cell(GLUCOSE) * cell(INSULIN) / 405.0


def homa_b_pct(cell: Cell = pl.col) -> pl.Expr:
    """HOMA1-%B = 360 x insulin / (glucose - 63), null at or below 63 mg/dL. Matthews 1985, doi:10.1007/BF00280883."""
    above_pole = cell(GLUCOSE) > _HOMA_B_POLE_MG_DL
    return pl.when(above_pole).then(360.0 * cell(INSULIN) / (cell(GLUCOSE) - _HOMA_B_POLE_MG_DL))


def quicki(cell: Cell = pl.col) -> pl.Expr:
    """QUICKI = 1 / (log10 insulin + log10 glucose), decimal logarithms. Katz 2000, doi:10.1210/jcem.85.7.6661."""
    has_logarithms = (cell(INSULIN) > 0.0) & (cell(GLUCOSE) > 0.0)
    return pl.when(has_logarithms).then(1.0 / (cell(INSULIN).log10() + cell(GLUCOSE).log10()))


def tg_hdl_mg(cell: Cell = pl.col) -> pl.Expr:
    """TG:HDL, both in mg/dL (2.29 times the mmol/L ratio). McLaughlin 2003, see the registry for the DOI."""
    return cell(TG) / cell(HDL)


def tyg(cell: Cell = pl.col) -> pl.Expr:
    """TyG = ln(TG x glucose / 2), both in mg/dL. Simental-Mendia 2008, doi:10.1089/met.2008.0034."""
    return (cell(TG) * cell(GLUCOSE) / 2.0).log()


def spise(cell: Cell = pl.col) -> pl.Expr:
    """SPISE = 600 x HDL^0.185 / (TG^0.2 x BMI^1.338), mg/dL. Paulmichl 2016, doi:10.1373/clinchem.2016.257436."""
    return 600.0 * cell(HDL).pow(0.185) / (cell(TG).pow(0.2) * cell(BMI).pow(1.338))


def mets_ir(cell: Cell = pl.col) -> pl.Expr:
    """METS-IR = ln(2 glucose + TG) x BMI / ln HDL, null at HDL <= 1. Bello-Chavolla 2018, doi:10.1530/EJE-17-0883."""
    return pl.when(cell(HDL) > 1.0).then((2.0 * cell(GLUCOSE) + cell(TG)).log() * cell(BMI) / cell(HDL).log())


def mcauley(cell: Cell = pl.col) -> pl.Expr:
    """Mffm/I = exp(2.63 - 0.28 ln insulin - 0.31 ln TG in mmol/L). McAuley 2001, doi:10.2337/diacare.24.3.460."""
    return (2.63 - 0.28 * cell(INSULIN).log() - 0.31 * (cell(TG) / _MMOL_TG).log()).exp()


def c_peptide_insulin_ratio(cell: Cell = pl.col) -> pl.Expr:
    """C-peptide over insulin, both in moles, null without insulin. Polonsky 1984, doi:10.2337/diab.33.5.486.

    Both leave the beta cell mole for mole, and the liver takes up insulin only. Insulin that rises while the ratio
    falls is cleared less; insulin that rises with C-peptide is secreted more. A rough guide: the kidney clears
    C-peptide, and the ratio was never validated as a measure of hepatic extraction.
    """
    c_peptide_pmol_l = cell(C_PEPTIDE) / _C_PEPTIDE_NG_ML_PER_PMOL_L
    return pl.when(cell(INSULIN) > 0.0).then(c_peptide_pmol_l / (cell(INSULIN) * _INSULIN_PMOL_L_PER_UIU_ML))


@dataclass(frozen=True)
class Marker:
    """One marker: its column, its formula, what it needs, and where it comes from.

    ``rises_with`` and ``falls_with`` name the inputs whose censored cells are carried through as an interval.
    """

    column: str
    label: str
    unit: str
    formula: Callable[..., pl.Expr]
    needs: tuple[str, ...]
    source: str
    doi: str
    rises_with: tuple[str, ...] = ()
    falls_with: tuple[str, ...] = ()


MARKERS: Mapping[str, Marker] = MappingProxyType(
    {
        marker.column: marker
        for marker in (
            Marker(
                "homa_ir",
                "HOMA-IR",
                "1",
                homa_ir,
                (GLUCOSE, INSULIN),
                "Matthews 1985, Diabetologia 28:412",
                "10.1007/BF00280883",
                rises_with=(GLUCOSE, INSULIN),
            ),
            Marker(
                "homa_b_pct",
                "HOMA-%B",
                "%",
                homa_b_pct,
                (GLUCOSE, INSULIN),
                "Matthews 1985, Diabetologia 28:412",
                "10.1007/BF00280883",
            ),
            Marker(
                "quicki",
                "QUICKI",
                "1",
                quicki,
                (GLUCOSE, INSULIN),
                "Katz 2000, J Clin Endocrinol Metab 85:2402",
                "10.1210/jcem.85.7.6661",
            ),
            Marker(
                "tg_hdl_mg",
                "TG:HDL",
                "mg/mg",
                tg_hdl_mg,
                (TG, HDL),
                "McLaughlin 2003, Ann Intern Med 139:802",
                "10.7326/0003-4819-139-10-200311180-00007",
                rises_with=(TG,),
                falls_with=(HDL,),
            ),
            Marker(
                "tyg",
                "TyG",
                "1",
                tyg,
                (TG, GLUCOSE),
                "Simental-Mendia 2008, Metab Syndr Relat Disord 6:299",
                "10.1089/met.2008.0034",
            ),
            Marker(
                "spise",
                "SPISE",
                "1",
                spise,
                (TG, HDL, BMI),
                "Paulmichl 2016, Clin Chem 62:1211",
                "10.1373/clinchem.2016.257436",
            ),
            Marker(
                "mets_ir",
                "METS-IR",
                "1",
                mets_ir,
                (GLUCOSE, TG, HDL, BMI),
                "Bello-Chavolla 2018, Eur J Endocrinol 178:533",
                "10.1530/EJE-17-0883",
            ),
            Marker(
                "mcauley",
                "McAuley index",
                "mg/kg/min",
                mcauley,
                (INSULIN, TG),
                "McAuley 2001, Diabetes Care 24:460",
                "10.2337/diacare.24.3.460",
            ),
            Marker(
                "c_peptide_insulin_ratio",
                "C-peptide to insulin",
                "mol/mol",
                c_peptide_insulin_ratio,
                (C_PEPTIDE, INSULIN),
                "Polonsky 1984, Diabetes 33:486",
                "10.2337/diab.33.5.486",
            ),
        )
    }
)
"""Every marker that ircohort computes, by the name of its column."""


def markers(
    visits: Any, *, cut_offs: Mapping[str, float] | None = None, compensated_from: str = "homa_ir_early"
) -> Any:
    """Add every marker and the state to a table of visits.

    A marker is null where one of its inputs is null, absent, or outside its domain. Where an input was censored
    (``<column>_lower``, ``<column>_upper``), HOMA-IR and TG:HDL get the interval too. Columns of these names that are
    there already are computed anew; all other columns, the row order and the kind of frame stay.

    Parameters
    ----------
    visits
        VISITS, pandas or polars, with at least ``participant_id`` and ``years``. Where ``glycaemia`` is absent it is
        decided by ADA criteria from the canonical columns.
    cut_offs
        Other values for named cut-offs of :data:`ircohort.CUT_OFFS`.
    compensated_from
        The named HOMA-IR cut-off from which a visit with normal glucose counts as compensated (default 1.9).

    Returns
    -------
    pandas.DataFrame or polars.DataFrame
        ``visits`` with the columns of :data:`MARKERS` and ``state``.

    Raises
    ------
    ColumnError
        If a required column is missing or holds another type.
    UsageError
        If a cut-off has no such name.

    Examples
    --------
    >>> visit = pl.DataFrame({"participant_id": ["a"], "years": [0.0], "glucose_mg_dl": [95.0],
    ...                       "insulin_uiu_ml": [10.0]})
    >>> markers(visit).select("homa_ir", "state").row(0)
    (2.345679012345679, 'compensated')
    """
    table = require(to_polars(visits), VISITS)
    if "glycaemia" not in table.columns:
        table = with_glycaemia(table, overrides=cut_offs)
    unknown = set(table["glycaemia"].drop_nulls()) - set(GLYCAEMIA)
    if unknown:
        raise ColumnError("The column glycaemia holds other words than its own.", expected=f"Its words: {GLYCAEMIA}.")
    inputs = {name for marker in MARKERS.values() for name in marker.needs}
    absent = sorted(inputs - set(table.columns))
    computed = table.with_columns(pl.lit(None, dtype=pl.Float64).alias(name) for name in absent)
    computed = computed.with_columns(_finite(marker.formula(_possible)).alias(name) for name, marker in MARKERS.items())
    computed = computed.with_columns(bound for marker in MARKERS.values() for bound in _interval(marker, computed))
    limit = cut_off(compensated_from, cut_offs)
    return kind_of(visits)(computed.with_columns(_state(limit).alias("state")).drop(absent))


def _possible(name: str) -> pl.Expr:
    """Read an input; nothing that is measured here can be negative."""
    return pl.when(pl.col(name) >= 0.0).then(pl.col(name))


def _finite(value: pl.Expr) -> pl.Expr:
    return pl.when(value.is_finite()).then(value)


def _interval(marker: Marker, table: pl.DataFrame) -> list[pl.Expr]:
    """Carry censored inputs through a marker that rises or falls with each of them."""
    censored = [
        name
        for name in (*marker.rises_with, *marker.falls_with)
        if {f"{name}_lower", f"{name}_upper"} <= set(table.columns)
    ]
    if not censored:
        return []
    known = pl.any_horizontal(pl.col(f"{name}{end}").is_not_null() for name in censored for end in ("_lower", "_upper"))

    def bound(upper_end: bool) -> Cell:
        def cell(name: str) -> pl.Expr:
            if name not in censored:
                return pl.col(name)
            lower, upper = pl.col(f"{name}_lower"), pl.col(f"{name}_upper")
            taken = upper.fill_null(math.inf) if (name in marker.rises_with) == upper_end else lower
            return pl.when(lower.is_null() & upper.is_null()).then(pl.col(name)).otherwise(taken)

        return cell

    return [
        pl.when(known).then(_finite(marker.formula(bound(end)))).alias(f"{marker.column}{suffix}")
        for end, suffix in ((False, "_lower"), (True, "_upper"))
    ]


def _state(compensated_from: float) -> pl.Expr:
    """Classify a visit; without insulin a normal glucose leaves it unknown."""
    glycaemia, resistance = pl.col("glycaemia"), pl.col("homa_ir")
    return (
        pl.when(glycaemia.is_in(["prediabetes", "diabetes"]))
        .then(glycaemia)
        .when(glycaemia.is_null() | resistance.is_null())
        .then(pl.lit("unknown"))
        .when(resistance >= compensated_from)
        .then(pl.lit("compensated"))
        .otherwise(pl.lit("sensitive"))
    )
