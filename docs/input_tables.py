"""Write the tables of the page on input from the registries that the code reads by: `python docs/input_tables.py`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path

from ircohort.export import MISSING
from ircohort.intake import SUFFIXES
from ircohort.layouts import LAB_LAYOUTS, TABLE_LAYOUTS
from ircohort.normalisation import RULES
from ircohort.normalisation.aliases import ALIAS_UNITS, ALIASES, LOINC
from ircohort.units import ANALYTES

PAGE = Path(__file__).with_name("input.md")
BETWEEN = r"(?s)(<!-- {name} -->\n).*?(<!-- end -->)"


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Lay out a table."""
    lines = [list(header), ["---"] * len(list(header)), *map(list, rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def rules() -> str:
    """List every rule, the class it leads to, and what it concerns."""
    return table(
        ("rule", "class", "what it says", "of"),
        (
            (f"`{rule.name}`", rule.outcome.replace("_", " "), rule.reason, ", ".join(rule.analytes) or "all")
            for rule in RULES.values()
        ),
    )


def spellings() -> str:
    """List every spelling by which a column is recognised, as it is compared."""
    return table(("name", "spellings"), ((f"`{name}`", ", ".join(words)) for name, words in ALIASES.items()))


def units() -> str:
    """List every unit, its factor, and its spellings as they are compared."""
    rows = []
    for name, analyte in ANALYTES.items():
        for entry in analyte.conversions:
            words = ", ".join(f"`{word}`" for word, unit in analyte.spellings.items() if unit == entry.unit)
            shift = f" {entry.offset:+.4g}" if entry.offset else ""
            factor = "canonical" if entry.scale == 1 and not entry.offset else f"× {entry.scale:.6g}{shift}"
            rows.append((f"`{name}`", entry.unit, factor, words, entry.source))
    return table(("analyte", "unit", "to canonical", "spellings", "source"), rows)


def defined() -> str:
    """List the headers whose unit is part of their definition."""
    return table(("header", "unit"), ((f"`{header}`", unit) for header, unit in ALIAS_UNITS.items()))


def codes() -> str:
    """List the LOINC codes that are read."""
    rows = ((f"`{code}`", analyte, "yes" if fasting else "") for code, (analyte, fasting) in LOINC.items())
    return table(("code", "analyte", "states fasting"), rows)


def layouts() -> str:
    """List the layouts that are known by their headers."""
    rows = [
        (layout.name, ", ".join(f"`{header}`" for header in sorted(layout.headers)))
        for layout in (*LAB_LAYOUTS, *TABLE_LAYOUTS)
    ]
    return table(("layout", "known by"), rows)


def forms() -> str:
    """List the forms of files, and what stands for a missing cell."""
    listed = ", ".join(f"`{word}`" for word in MISSING if word)
    return f"Forms: {', '.join(f'`{suffix}`' for suffix in SUFFIXES)}. Missing: an empty cell, {listed}.\n"


SECTIONS: dict[str, Callable[[], str]] = {
    section.__name__: section for section in (forms, layouts, spellings, codes, units, defined, rules)
}


def written(page: str) -> str:
    """Give the page with all its tables as the registries have them now."""
    for name, section in SECTIONS.items():
        parts = re.split(BETWEEN.format(name=name), page)
        page = section().join(("".join(parts[:2]), "".join(parts[2:])))
    return page


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
