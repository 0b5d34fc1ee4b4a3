"""From a TOML file and options to one frozen record of settings. An unknown key is refused, the nearest one named."""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import fields
from datetime import date
from decimal import Decimal
from pathlib import Path
from types import NoneType
from typing import Any, TypeVar

import polars as pl

from ircohort.configuration.settings import LABS, VERSION, ReportSettings, Settings
from ircohort.detection import DetectSettings
from ircohort.errors import ConfigurationError, UsageError
from ircohort.export import TableSpec
from ircohort.glycaemia import CRITERIA, CUT_OFFS, cut_off
from ircohort.intake import STANDARD_INPUT
from ircohort.normalisation import Choice, Columns, Policy, UnitSaid
from ircohort.normalisation.columns import CONSTANTS, LONG_ROLES
from ircohort.normalisation.headers import FLAGS, NAMES, TIMES
from ircohort.normalisation.readings import CENSORED, DUPLICATES, THOUSANDS, is_date_format
from ircohort.trajectory import ModelSettings
from ircohort.units import ANALYTES, INSULIN_FACTORS, conversion

Section = dict[str, Any]
T = TypeVar("T")


def read_configuration(path: str | os.PathLike[str]) -> Section:
    """Read a TOML configuration; its paths become relative to where it is used from.

    Raises
    ------
    UsageError
        If the file is not there.
    ConfigurationError
        If it is not TOML, or not of this version.
    """
    file = Path(path)
    try:
        said = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UsageError(f"There is no configuration {path}.") from error
    except (ValueError, OSError) as error:  # what is no TOML, no UTF-8, or a number of thousands of digits
        raise ConfigurationError(f"The configuration {file.name} cannot be read: {error}.") from error
    if said.get("config") != VERSION or said["config"] is True:
        raise ConfigurationError(
            f"The configuration {file.name} does not say of which version it is.",
            next_step=f"Write config = {VERSION} on its first line.",
        )
    for table in _section(said, "tables").values():
        if isinstance(table, dict) and isinstance(table.get("files"), list | str):
            listed = [table["files"]] if isinstance(table["files"], str) else table["files"]
            table["files"] = [_beside(file, given) for given in listed]
    return said


def _beside(configuration: Path, given: Any) -> Any:
    if not isinstance(given, str) or given == STANDARD_INPUT:
        return given
    return str(configuration.parent / given)


def overlay(below: Mapping[str, Any], above: Mapping[str, Any]) -> Section:
    """Lay one configuration over another: what stands above wins, key by key.

    A time column named above replaces one of another kind named below.

    Raises
    ------
    ConfigurationError
        If a table of keys in the one is something else in the other.

    Examples
    --------
    >>> overlay({"units": {"glucose": "mg/dL"}, "seed": 1}, {"units": {"insulin": "pmol/L"}})
    {'units': {'glucose': 'mg/dL', 'insulin': 'pmol/L'}, 'seed': 1}
    """
    merged = dict(below)
    if any(name in above for name in TIMES):
        merged = {key: value for key, value in merged.items() if key not in TIMES}
    for key, value in above.items():
        if isinstance(value, Mapping):
            _expect(isinstance(merged.get(key, {}), Mapping), f"[{key}]", "a table of keys")
            value = overlay(merged.get(key, {}), value)
        merged[key] = value
    return merged


def settings_from(said: Mapping[str, Any]) -> Settings:
    """Build the settings from what a configuration (with options laid over it) says.

    Raises
    ------
    ConfigurationError
        If a key is unknown or a value is of another kind than expected.
    """
    _known(said, ("config", "seed", "tables", "columns", "units", "long", "policy", "detect", "model", "report"), "")
    tables = _section(said, "tables")
    specs = {name: _table(name, _section(tables, name, "tables.")) for name in tables}
    seed = said.get("seed", 0)
    _expect(_is_count(seed), "seed", "a whole number from 0")
    policy = _policy(_section(said, "policy"))
    gate = {"glucose_cut_off_mg_dl": cut_off(f"{policy.criteria}_glucose_prediabetes", policy.cut_offs)}
    return Settings(
        labs=specs.pop(LABS, TableSpec(LABS)),
        joined=tuple(specs.values()),
        columns=_columns(said),
        policy=policy,
        detect=_record(DetectSettings, gate | _section(said, "detect"), "detect"),
        model=_record(ModelSettings, gate | _section(said, "model"), "model"),
        report=_record(ReportSettings, _section(said, "report"), "report"),
        seed=seed,
    )


def _section(said: Mapping[str, Any], name: str, within: str = "") -> Section:
    section = said.get(name, {})
    _expect(isinstance(section, dict), f"[{within}{name}]", "a table of keys")
    return dict(section)


def _known(said: Mapping[str, Any], known: Iterable[str], section: str) -> None:
    listed = list(known)
    for key in said:
        if key not in listed:
            nearest = difflib.get_close_matches(key, listed, n=1)
            where = f"[{section}] {key}" if section else key
            raise ConfigurationError(
                f"The configuration has an unknown key: {where}.",
                expected=f"The nearest known key is {nearest[0]}." if nearest else f"Known are: {', '.join(listed)}.",
            )


def _expect(good: bool, key: str, expected: str) -> None:
    if not good:
        raise ConfigurationError(f"The configuration has {key} of another kind.", expected=f"Expected is {expected}.")


def _texts(value: Any, key: str) -> tuple[str, ...]:
    listed = [value] if isinstance(value, str) else value
    _expect(
        isinstance(listed, list | tuple) and all(isinstance(item, str) for item in listed), key, "text, or a list of it"
    )
    return tuple(listed)


def _text(value: Any, key: str) -> str:
    _expect(isinstance(value, str), key, "text in quotation marks")
    return str(value)


def _table(name: str, said: Section) -> TableSpec:
    section = f"tables.{name}"
    _known(said, [entry.name for entry in fields(TableSpec) if entry.name != "name"], section)
    values: Section = {}
    for key, value in said.items():
        where = f"[{section}] {key}"
        values[key] = _texts(value, where) if key in ("files", "missing") else _text(value, where)
    spec = TableSpec(name, **values)
    _expect(spec.decimal in ("", ".", ","), f"[{section}] decimal", 'a point or a comma, as decimal = ","')
    _expect(spec.thousands in THOUSANDS, f"[{section}] thousands", "a point, a comma, a blank or an apostrophe")
    if spec.thousands and spec.thousands == (spec.decimal or "."):
        raise ConfigurationError(
            f"The decimal mark of the table {name} is also what sets its thousands apart.",
            next_step=f'State both, for example [{section}] decimal = ",", thousands = "."',
        )
    return spec


def _columns(said: Mapping[str, Any]) -> Columns:
    section, units, long = _section(said, "columns"), _section(said, "units"), _section(said, "long")
    _known(section, (*NAMES, "keep", "constant", "date_format"), "columns")
    _known(units, ANALYTES, "units")
    _known(long, LONG_ROLES, "long")
    constant = _texts(section.get("constant", ()), "[columns] constant")
    for name in constant:
        _expect(name in CONSTANTS, "[columns] constant", f"one of {', '.join(CONSTANTS)}")
    forms = _texts(section.get("date_format", Columns().date_format), "[columns] date_format")
    for form in forms:
        _expect(is_date_format(form), "[columns] date_format", "a form with day, month and year, as %d/%m/%Y, or excel")
    _expect(bool(forms), "[columns] date_format", "at least one form")
    return Columns(
        named={name: _choice(name, section[name], bool(long)) for name in NAMES if name in section},
        keep=_texts(section.get("keep", ()), "[columns] keep"),
        constant=constant,
        units={name: _unit(name, unit) for name, unit in units.items()},
        date_format=forms,
        long={key: _text(value, f"[long] {key}") for key, value in long.items()},
    )


def _choice(name: str, said: Any, long: bool) -> Choice:
    where = f"[columns] {name}"
    if isinstance(said, str):
        return Choice(said)
    if isinstance(said, list) and name in ANALYTES:
        return Choice(tests=_texts(said, where))
    _expect(isinstance(said, dict), where, 'a header, or { column = "HEADER", … }')
    words = ("female", "male") if name == "sex" else ("yes", "no") if name in FLAGS else ()
    tests = ("tests",) if name in ANALYTES else ()
    _known(said, ("column", "pattern", *tests, *words), f"columns.{name}")
    in_rows = name in ANALYTES and "column" not in said and ("tests" in said or long)
    _expect(in_rows or isinstance(said.get("column"), str), where, 'a header, or { column = "HEADER", … }')
    pattern = _text(said.get("pattern", ""), f"{where} pattern")
    _expect(not pattern or _has_one_group(pattern), f"{where} pattern", "a regular expression with one group")
    values = {key: _texts(said[key], where) for key in words if key in said}
    return Choice(said.get("column", ""), values, pattern, _texts(said.get("tests", ()), f"{where} tests"))


def _has_one_group(pattern: str) -> bool:
    try:
        return len(pl.Series([""]).str.extract_groups(f"^(?:{pattern})$").struct.fields) == 1
    except pl.exceptions.PolarsError:
        return False


def _unit(analyte: str, said: Any) -> UnitSaid:
    """Read a unit: one for all, or what it varies by."""
    where = f"[units] {analyte}"
    if isinstance(said, str):
        return UnitSaid(conversion(analyte, said).unit)
    forms = 'a unit, { column = "HEADER" }, { file = { "a.csv" = "mg/dL" } } or { year = { "2014" = "mg/dL" } }'
    _expect(isinstance(said, dict), where, forms)
    _known(said, ("column", "units", "file", "year", "otherwise"), f"units.{analyte}")
    by = [key for key in ("column", "file", "year") if key in said]
    _expect(len(by) == 1, where, forms)
    words = said.get("units", {}) if by == ["column"] else said[by[0]]
    _expect(isinstance(words, dict), where, forms)
    units = {str(word): conversion(analyte, _text(unit, where)).unit for word, unit in words.items()}
    rest = conversion(analyte, _text(said["otherwise"], where)).unit if "otherwise" in said else ""
    return UnitSaid(unit=rest, by=by[0], column=_text(said["column"], where) if by == ["column"] else "", units=units)


def _policy(said: Section) -> Policy:
    _known(said, [entry.name for entry in fields(Policy)], "policy")
    for key, allowed in {"duplicates": DUPLICATES, "censored": CENSORED, "criteria": CRITERIA}.items():
        _expect(said.get(key, allowed[0]) in allowed, f"[policy] {key}", f"one of {', '.join(allowed)}")
    cut_offs = _section(said, "cut_offs", "policy.")
    _known(cut_offs, CUT_OFFS, "policy.cut_offs")
    for name, value in cut_offs.items():
        _expect(_is_number(value) and value > 0, f"[policy.cut_offs] {name}", "a number above 0")
    days, as_of = said.get("draw_window_days", 0), said.get("as_of")
    _expect(_is_count(days), "[policy] draw_window_days", "a whole number from 0")
    _expect(type(as_of) in (date, NoneType), "[policy] as_of", "a date, as 2026-01-31")
    trusted = _texts(said.get("trust_units", ()), "[policy] trust_units")
    for name in trusted:
        _expect(name in ANALYTES, "[policy] trust_units", f"one of {', '.join(ANALYTES)}")
    chosen = {**said, "cut_offs": cut_offs, "trust_units": trusted}
    if "insulin_factor" in said:
        factors = {str(float(factor)): factor for factor in INSULIN_FACTORS}
        given = str(float(said["insulin_factor"])) if _is_number(said["insulin_factor"]) else ""
        _expect(given in factors, "[policy] insulin_factor", "6.0 or 6.945 pmol per uIU")
        chosen["insulin_factor"] = factors[given]
    return Policy(**chosen)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def _record(kind: type[T], said: Section, section: str) -> T:
    """Build a record of settings from its section; each value is of the kind of its default."""
    defaults = {entry.name: entry.default for entry in fields(kind)}  # type: ignore[arg-type]
    _known(said, defaults, section)
    values = {key: _like(value, defaults[key], f"[{section}] {key}") for key, value in said.items()}
    try:
        return kind(**values)
    except UsageError as error:
        raise ConfigurationError(error.what, expected=error.expected, next_step=error.next_step) from error


def _like(value: Any, default: Any, key: str) -> Any:
    if isinstance(default, bool):
        _expect(isinstance(value, bool), key, "true or false")
    elif isinstance(default, int):
        _expect(isinstance(value, int) and not isinstance(value, bool), key, "a whole number")
    elif isinstance(default, float):
        _expect(_is_number(value), key, "a number")
        return float(value)
    elif isinstance(default, str):
        return _text(value, key)
    return value
