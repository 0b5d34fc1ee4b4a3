"""A configuration written for review, from what was recognised and what was said."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from ircohort.configuration.settings import VERSION, ReportSettings, Settings, said_of
from ircohort.detection import DetectSettings
from ircohort.export import TableSpec
from ircohort.intake import STANDARD_INPUT
from ircohort.normalisation import Columns, Policy, Recognition, UnitSaid
from ircohort.normalisation.columns import Recognised
from ircohort.trajectory import ModelSettings
from ircohort.units import ANALYTES

_NEEDED = {
    "participant_id": (),
    "visit_date": ("day", "year"),
    "sex": (),
    "age": ("birth_date", "birth_year"),
    "glucose": (),
    "insulin": (),
    "triglycerides": (),
    "hdl": (),
    "fasting": ("fasting_hours",),
}
"""What the main job needs of columns, and what would do instead."""


def draft(recognition: Recognition, settings: Settings, beside: Path, unread: Iterable[str] = ()) -> str:
    """Write a configuration for review: what was recognised and how, what was said, a line for each open question.

    Parameters
    ----------
    recognition
        What is known of the columns.
    settings
        What was said; whatever differs from the defaults is written down.
    beside
        The directory of the configuration, to which its paths are relative.
    unread
        Headers of columns that are not read, any of which could be kept.
    """
    lines = [
        "# What ircohort recognised, for review. `ircohort run --config` takes it as it is.",
        f"config = {VERSION}",
    ]
    if settings.seed:
        lines.append(f"seed = {settings.seed}")
    for spec in (settings.labs, *settings.joined):
        values = _differing(spec, TableSpec(spec.name))
        values["files"] = [_relative(given, beside) for given in spec.files]
        lines += ["", f"[tables.{_key(spec.name)}]", *_lines(values)]
    lines += ["", "[columns]", *(_column_line(column, recognition) for column in recognition.columns)]
    lines += [f'# {name} = "HEADER"  # not recognised{hint}' for name, hint in _not_recognised(recognition)]
    plain = {name: getattr(settings.columns, name) for name in ("keep", "constant", "date_format")}
    defaults = Columns()
    lines += _lines({name: value for name, value in plain.items() if value != getattr(defaults, name)})
    if listed := [header for header in unread if header not in settings.columns.keep]:
        lines.append(f"# not read; any of them can be carried through to the visits: keep = {_toml(listed)}")
    units = settings.columns.units
    lines += ["", "[units]", *(_unit_line(column, units.get(column.name)) for column in recognition.analytes)]
    sections = {
        "long": {} if recognition.layout else dict(recognition.long),
        "policy": _differing(settings.policy, Policy()),
        "detect": _differing(settings.detect, DetectSettings()),
        "model": _differing(settings.model, ModelSettings()),
        "report": _differing(settings.report, ReportSettings()),
    }
    for name, values in sections.items():
        lines += ["", f"[{name}]", *_lines(values)] if values else []
    if recognition.questions:
        lines += ["", "# Open questions: ircohort reads nothing until they are answered above."]
        lines += [
            f"# {_comment(line)}" for question in recognition.questions for line in (*str(question).split("\n"), "")
        ]
    return "\n".join(line.rstrip() for line in lines).rstrip() + "\n"


def _column_line(column: Recognised, recognition: Recognition) -> str:
    """Write what a column was recognised as; what a known layout says of itself need not be said again."""
    line = f"{column.name} = {_toml(said_of(column))}"
    by_layout = recognition.layout and column.rule not in ("named", "spelling")
    return f"# {line}  # {column.rule}" if by_layout else f"{line}  # {column.rule}"


def _not_recognised(recognition: Recognition) -> Iterator[tuple[str, str]]:
    """List what the main job needs and no column was recognised as, each with what else would do."""
    for name, others in _NEEDED.items():
        if not any(recognition[each] for each in (name, *others)):
            yield name, f"; or {', '.join(others)}" if others else ""


def _differing(record: Any, default: Any) -> dict[str, Any]:
    pairs = {entry.name: (getattr(record, entry.name), getattr(default, entry.name)) for entry in fields(record)}
    return {name: said for name, (said, usual) in pairs.items() if said != usual}


def _relative(given: str, beside: Path) -> str:
    return given if given == STANDARD_INPUT else Path(os.path.relpath(given, beside)).as_posix()


def _unit_line(column: Recognised, said: UnitSaid | None) -> str:
    """Write the unit of a column; one that is found by row again need not be said."""
    if said is not None:
        return f"{column.name} = {_toml(said_of(said))}  # {_comment(column.unit_from)}"
    if column.varying:
        return f"# {column.name}: by row, {_comment(column.unit_from)}"
    if column.unit:
        return f"{column.name} = {_toml(column.unit)}  # {_comment(column.unit_from)}"
    known = ", ".join(entry.unit for entry in ANALYTES[column.name].conversions)
    return f"# {column.name} = ?  # not stated; read are: {known}"


def _lines(values: Mapping[str, Any]) -> list[str]:
    return [f"{_key(key)} = {_toml(value)}" for key, value in values.items()]


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _toml(name)


def _toml(value: Any) -> str:
    """Write a value as TOML; its basic strings are those of JSON."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(_lines(value)) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _comment(text: str) -> str:
    """Make one line of a comment, without the characters that TOML forbids there."""
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())
