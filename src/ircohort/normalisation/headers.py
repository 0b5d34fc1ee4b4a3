"""The names that columns can be given, and what a header says by itself: a name, and a unit or a coding beside it."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ircohort.normalisation.aliases import ALIASES
from ircohort.units import ANALYTES, Analyte, fold

TIMES = ("visit_date", "day", "year")
FLAGS = ("fasting", "glucose_lowering_drug", "insulin_therapy", "pregnant", "ill")
HOURS = ("fasting_hours", "hours_since_exercise")
SET_FLAGS = ("recent_exercise",)
"""Flags that are computed from hours."""
TEXTS = ("assay", "specimen", "site")
PERSON = ("participant_id", "sex", "age", "birth_date", "birth_year")
NAMES = (*PERSON, *TIMES, *ANALYTES, *FLAGS, *HOURS, *TEXTS)
"""Every name that a column can be given."""

_BRACKETED = re.compile(r"^(?P<name>.*?)[\s_.,-]*[(\[](?P<unit>[^()\[\]]+)[)\]]\s*$")

_AS_UNITS_END = re.compile(r"[^\s,;/]+ */ *(100 *)?[cdmuµμ]?(l+|lit(er|re)s?|mol|m2|m²)\.?", re.IGNORECASE)
"""A text in brackets that must be meant for a unit, read or not: something per volume, per mole, per square metre."""

_MOLAR = {"pm": "pM", "nm": "nM", "mm": "mM"}
"""Folded, these may as well be an evening or a length: in a name they count as units only in brackets and this case."""

_SAYS_NOTHING_NEW: Mapping[str, str] = {
    "age": r"years?|yrs?|y",
    **dict.fromkeys(HOURS, r"hours?|hrs?|h"),
    **dict.fromkeys(FLAGS, r"y/n|n/y|yes/no|no/yes|0/1|1/0"),
    "sex": r"m/f|f/m|male/female|female/male",
    # A form with the day after the year is none that a date would be read by, and looks like the one that is.
    **dict.fromkeys(("visit_date", "birth_date"), r"(?=.*y)(?=.*m)(?=.*d)(?!y+[-/.]*d)[ymd./-]+"),
}
"""What a header may hold in brackets, lower case and without blanks: the unit that is read, or how cells are coded."""


def is_alias(name: str, header: str, table: str) -> bool:
    """Say whether a header is one of the listed spellings of a name."""
    own = own_header(header, table)
    stem, bracket = split_unit(own, ANALYTES.get(name))
    if name in ANALYTES or not bracket:
        return fold(stem) in ALIASES[name]
    says_nothing_new = re.fullmatch(_SAYS_NOTHING_NEW.get(name, ""), "".join(bracket.lower().split()))
    return fold(own) in ALIASES[name] or (fold(stem) in ALIASES[name] and says_nothing_new is not None)


def own_header(header: str, table: str) -> str:
    """Give the header as it stands in its own table."""
    return header.removeprefix(f"{table}.") if table else header


def split_unit(header: str, analyte: Analyte | None) -> tuple[str, str]:
    """Split ``Glucose (mg/dL)`` and ``glucose_mg_dl`` into the name and its unit.

    What is no unit of the analyte belongs to the name: ``Glucose (urine)`` is another test than ``Glucose``.
    """
    bracketed = _BRACKETED.match(header)
    if bracketed:
        unit = bracketed["unit"].strip()
        is_unit = analyte is None or (fold(unit) in analyte.spellings and _MOLAR.get(fold(unit), unit) == unit)
        return (bracketed["name"], unit) if is_unit else (header, "")
    if analyte is None:
        return header, ""
    folded = fold(header).replace("/", "")
    for spelling in sorted(set(analyte.spellings) - set(_MOLAR), key=len, reverse=True):
        stem = folded.removesuffix(spelling.replace("/", ""))
        if stem != folded and stem in ALIASES[analyte.name]:
            return stem, spelling
    return header, ""


def states_strange_unit(header: str, name: str) -> bool:
    """Say whether a header would be an analyte, but for a unit in brackets that is not read."""
    bracketed = _BRACKETED.match(header)
    if bracketed is None or fold(bracketed["name"]) not in ALIASES[name]:
        return False
    return _AS_UNITS_END.fullmatch(bracketed["unit"].strip()) is not None
