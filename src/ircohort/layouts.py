"""Tables that many exports share, known by all of their headers: a public data model, or a widely used simulator.

A layout says which header is what. It is taken only where every header it names is there, and where nothing else was
said of them; `ircohort check` names it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class LabLayout:
    """A table of results, one in each row.

    ``columns``: ours by their headers; ``long``: the columns of test, value, unit and sign; ``tests``: what stands for
    a LOINC code in the column of tests; ``units`` and ``signs``: what stands for a unit or a sign in theirs;
    ``other_unit``: a second column of units, asked where the first says nothing.
    """

    name: str
    headers: frozenset[str]
    columns: Mapping[str, str]
    long: Mapping[str, str]
    tests: Mapping[str, str] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    signs: Mapping[str, str] = field(default_factory=dict)
    other_unit: str = ""


@dataclass(frozen=True)
class TableLayout:
    """A table of persons: its key, the column of the laboratory table that leads to it, ours by their headers."""

    name: str
    headers: frozenset[str]
    key: str
    via: str
    columns: Mapping[str, str]
    values: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)


# Standard concepts of the OMOP vocabulary that stand for LOINC codes in serum or plasma, for units, and for signs.
# Look-alikes are left out on purpose: 3000483 and 3020491 (whole blood), 3005131 (mean glucose reckoned from HbA1c),
# 9550 (mIU/mL, a thousand times mIU/L).
_OMOP_TESTS: Mapping[str, str] = {
    "3004501": "2345-7",
    "3037110": "1558-6",
    "3013826": "14749-6",
    "3018251": "14771-0",
    "3016244": "20448-7",
    "3022192": "2571-8",
    "3025839": "14927-8",
    "3007070": "2085-9",
    "3023602": "14646-4",
    "3004410": "4548-4",
    "3005673": "17856-6",
    "3003309": "4549-2",
    "3007263": "17855-8",
    "40762352": "59261-8",
    "3010084": "1986-9",
    "3038553": "39156-5",
    "3016258": "8280-0",
}
_OMOP_UNITS: Mapping[str, str] = {
    "8840": "mg/dL",
    "8753": "mmol/L",
    "8636": "g/L",
    "9093": "uIU/mL",
    "9040": "mIU/L",
    "8860": "uU/mL",
    "44777578": "mU/L",
    "8729": "pmol/L",
    "8736": "nmol/L",
    "8842": "ng/mL",
    "8748": "ug/L",
    "8554": "%",
    "8737": "%",
    "9579": "mmol/mol",
    "9531": "kg/m2",
    "8582": "cm",
    "9327": "in",
    "9330": "in",
}
_OMOP_SIGNS = {"4171756": "<", "4171754": "<=", "4172703": "", "4171755": ">=", "4172704": ">"}

LAB_LAYOUTS = (
    LabLayout(
        "OMOP CDM measurement",
        frozenset(
            (
                "measurement_id",
                "person_id",
                "measurement_concept_id",
                "measurement_date",
                "value_as_number",
                "unit_concept_id",
            )
        ),
        {"participant_id": "person_id", "visit_date": "measurement_date"},
        {
            "test": "measurement_concept_id",
            "value": "value_as_number",
            "unit": "unit_concept_id",
            "sign": "operator_concept_id",
        },
        tests=_OMOP_TESTS,
        units=_OMOP_UNITS,
        signs=_OMOP_SIGNS,
        other_unit="unit_source_value",
    ),
    LabLayout(
        "Synthea observations",
        frozenset(("DATE", "PATIENT", "CODE", "DESCRIPTION", "VALUE", "UNITS")),
        {"participant_id": "PATIENT", "visit_date": "DATE"},
        {"test": "CODE", "value": "VALUE", "unit": "UNITS"},
    ),
)

TABLE_LAYOUTS = (
    TableLayout(
        "OMOP CDM person",
        frozenset(("person_id", "gender_concept_id", "year_of_birth")),
        "person_id",
        "person_id",
        {"sex": "gender_concept_id", "birth_year": "year_of_birth", "birth_date": "birth_datetime"},
        {"sex": {"female": ("8532",), "male": ("8507",)}},
    ),
    *(
        TableLayout(
            "Synthea patients",
            frozenset((key, "BIRTHDATE", "GENDER")),
            key,
            "PATIENT",
            {"sex": "GENDER", "birth_date": "BIRTHDATE"},
        )
        for key in ("Id", "ID")  # older releases write the second
    ),
)


def lab_layout(headers: Iterable[str]) -> LabLayout | None:
    """Find the layout of a laboratory table, if it has a known one.

    Examples
    --------
    >>> lab_layout(["DATE", "PATIENT", "ENCOUNTER", "CODE", "DESCRIPTION", "VALUE", "UNITS", "TYPE"]).name
    'Synthea observations'
    """
    there = set(headers)
    return next((layout for layout in LAB_LAYOUTS if layout.headers <= there), None)


def table_layout(headers: Iterable[str]) -> TableLayout | None:
    """Find the layout of a joined table, if it has a known one."""
    there = set(headers)
    return next((layout for layout in TABLE_LAYOUTS if layout.headers <= there), None)
