"""Analytes, their canonical units, and the factors that lead there, each with its source.

Conversion is linear, ``canonical = scale * value + offset``. A unit is looked up by its folded spelling (case,
spaces and punctuation do not count); a spelling that is not listed is refused, never guessed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from types import MappingProxyType

from ircohort.errors import UnitError

INSULIN_PMOL_PER_UIU = Decimal("6.00")
"""pmol of insulin in one uIU (Knopp 2019, J Diabetes Sci Technol 13:597, doi:10.1177/1932296818805074)."""

INSULIN_PMOL_PER_UIU_OLD = Decimal("6.945")
"""The factor of older papers and laboratories; about 15 % off (Knopp 2019, doi:10.1177/1932296818805074)."""

INSULIN_FACTORS = (INSULIN_PMOL_PER_UIU, INSULIN_PMOL_PER_UIU_OLD)


@dataclass(frozen=True)
class Conversion:
    """How a value in one unit becomes canonical: ``scale * value + offset``."""

    unit: str
    scale: Decimal
    offset: Decimal = Decimal(0)
    source: str = ""

    def apply(self, value: Decimal) -> Decimal:
        """Convert one value exactly."""
        return self.scale * value + self.offset


@dataclass(frozen=True)
class Analyte:
    """A measurand: its name, the column it fills, and the units it is read in (the canonical one first)."""

    name: str
    column: str
    label: str
    conversions: tuple[Conversion, ...]
    spellings: Mapping[str, str]
    dimension: str = "laboratory"

    @property
    def unit(self) -> str:
        """The canonical unit."""
        return self.conversions[0].unit


@lru_cache(1 << 16)  # headers are held against every name
def fold(text: str) -> str:
    r"""Fold a spelling: lower case, micro signs as ``u``, only letters, digits, ``%`` and ``/`` kept.

    Examples
    --------
    >>> fold("\u00b5IU / mL") == fold("uIU/ml")
    True
    """
    lowered = text.strip().lower().replace("µ", "u").replace("μ", "u")
    return "".join(character for character in lowered if character.isalnum() or character in "%/²")


def _unit_map(table: Mapping[str, str]) -> Mapping[str, str]:
    return MappingProxyType({fold(spelling): unit for unit, row in table.items() for spelling in row.split("|")})


_MASS_OR_MOLES = {
    "mg/dL": "mg/dL|mgs/dL|mg/100mL|mg%|mgdL|mg per dL|mg per deciliter|mg/deciliter|milligram per deciliter"
    "|milligrams per deciliter",
    "mmol/L": "mmol/L|mmols/L|mM|mmol|mmolL|mmol per L|mmol per liter|mmol/liter|millimole per liter"
    "|millimoles per liter",
    "g/L": "g/L|gL|gram per liter|grams per liter",
}
_GRAMS = Conversion("g/L", Decimal(100), source="1 g/L = 100 mg/dL")
_NHANES = "NHANES 2017-2018 laboratory documentation"

ANALYTES: Mapping[str, Analyte] = MappingProxyType(
    {
        analyte.name: analyte
        for analyte in (
            Analyte(
                "glucose",
                "glucose_mg_dl",
                "fasting glucose",
                (
                    Conversion("mg/dL", Decimal(1)),
                    Conversion("mmol/L", Decimal("18.016"), source="molar mass of glucose 180.16 g/mol"),
                    _GRAMS,
                ),
                _unit_map(_MASS_OR_MOLES),
            ),
            Analyte(
                "insulin",
                "insulin_uiu_ml",
                "fasting insulin",
                (
                    Conversion("uIU/mL", Decimal(1)),
                    Conversion("pmol/L", 1 / INSULIN_PMOL_PER_UIU, source="6.00 pmol per uIU, Knopp 2019"),
                ),
                _unit_map(
                    {
                        "uIU/mL": "uIU/mL|uU/mL|mIU/L|mU/L|microU/mL|microIU/mL|mcU/mL|mcIU/mL|uUI/mL|mUI/L|uIE/mL"
                        "|uE/mL|mIE/L|mE/L|uIUmL|mUL"
                        "|micro-international unit per milliliter|microunit per milliliter"
                        "|milli-international unit per liter|milliunit per liter",
                        "pmol/L": "pmol/L|pM|pmol|pmolL|picomole per liter|picomoles per liter",
                    }
                ),
            ),
            Analyte(
                "triglycerides",
                "triglycerides_mg_dl",
                "triglycerides",
                (
                    Conversion("mg/dL", Decimal(1)),
                    Conversion("mmol/L", Decimal("88.57"), source=f"0.01129 mmol/L per mg/dL, {_NHANES}"),
                    _GRAMS,
                ),
                _unit_map(_MASS_OR_MOLES),
            ),
            Analyte(
                "hdl",
                "hdl_mg_dl",
                "HDL cholesterol",
                (
                    Conversion("mg/dL", Decimal(1)),
                    Conversion("mmol/L", Decimal("38.67"), source=f"0.02586 mmol/L per mg/dL, {_NHANES}"),
                    _GRAMS,
                ),
                _unit_map(_MASS_OR_MOLES),
            ),
            Analyte(
                "hba1c",
                "hba1c_pct",
                "HbA1c",
                (
                    Conversion("NGSP %", Decimal(1)),
                    Conversion(
                        "mmol/mol",
                        Decimal("0.0915"),
                        Decimal("2.15"),
                        source="IFCC master equation, NGSP % = 0.0915 IFCC + 2.15 (ifcchba1c.org)",
                    ),
                    Conversion(
                        "JDS %",
                        Decimal("0.0915") * Decimal("10.79"),
                        Decimal("0.0915") * Decimal("-18.7") + Decimal("2.15"),
                        source="IFCC master equations, IFCC = 10.79 JDS - 18.7, then to NGSP (ifcchba1c.org)",
                    ),
                ),
                _unit_map(
                    {
                        "NGSP %": "%|NGSP %|% NGSP|NGSP|DCCT %|% DCCT|percent|per cent|pct|%{HbA1c}|%{of'HGB}|% Hb"
                        "|%total Hb"
                        "|% of total Hb",
                        "mmol/mol": "mmol/mol|IFCC|IFCC mmol/mol|mmol/mol IFCC|mmolmol|mmol/mol Hb|millimole per mole",
                        "JDS %": "JDS %|% JDS|JDS",
                    }
                ),
            ),
            Analyte(
                "c_peptide",
                "c_peptide_ng_ml",
                "C-peptide",
                (
                    Conversion("ng/mL", Decimal(1)),
                    Conversion("nmol/L", Decimal("3.02"), source="3.02 ng/mL per nmol/L, homa2calc"),
                    Conversion("pmol/L", Decimal("0.00302"), source="3.02 ng/mL per nmol/L, homa2calc"),
                ),
                _unit_map(
                    {
                        "ng/mL": "ng/mL|ug/L|mcg/L|ngmL|nanogram per milliliter|microgram per liter",
                        "nmol/L": "nmol/L|nM|nmolL|nanomole per liter",
                        "pmol/L": "pmol/L|pM|pmolL|picomole per liter",
                    }
                ),
            ),
            Analyte(
                "bmi",
                "bmi",
                "body mass index",
                (Conversion("kg/m2", Decimal(1)),),
                _unit_map({"kg/m2": "kg/m2|kg/m²|kg/m^2|kg/m**2|kgm2|kg/sq m|kg/sqm"}),
                dimension="measurement",
            ),
            Analyte(
                "waist",
                "waist_cm",
                "waist circumference",
                (
                    Conversion("cm", Decimal(1)),
                    Conversion("in", Decimal("2.54"), source="international inch, 2.54 cm"),
                ),
                _unit_map(
                    {"cm": "cm|centimetre|centimeter|centimetres|centimeters", "in": "in|inch|inches|[in_i]|[in_us]"}
                ),
                dimension="measurement",
            ),
        )
    }
)


def conversion(analyte: str, unit: str, *, insulin_factor: Decimal = INSULIN_PMOL_PER_UIU) -> Conversion:
    """Find how ``unit`` of ``analyte`` becomes canonical.

    Parameters
    ----------
    analyte
        A key of :data:`ANALYTES`.
    unit
        Any listed spelling of a unit of that analyte.
    insulin_factor
        pmol per uIU of insulin.

    Raises
    ------
    UnitError
        If the spelling is not listed for the analyte.

    Examples
    --------
    >>> conversion("glucose", "mmol/l").apply(Decimal("5.0"))
    Decimal('90.0800')
    >>> conversion("hba1c", "JDS %").apply(Decimal("6.1")).quantize(Decimal("0.01"))
    Decimal('6.46')
    """
    row = ANALYTES[analyte]
    name = row.spellings.get(fold(unit))
    if name is None:
        known = ", ".join(entry.unit for entry in row.conversions)
        raise UnitError(
            f"{unit!r} is not a unit that ircohort reads for {analyte}.",
            expected=f"Read are: {known}.",
            next_step=f"State one of them, for example --unit {analyte}={row.unit}.",
        )
    if analyte == "insulin" and name == "pmol/L":
        return Conversion(name, 1 / insulin_factor, source=f"{insulin_factor} pmol per uIU")
    return next(entry for entry in row.conversions if entry.unit == name)
