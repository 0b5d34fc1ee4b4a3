"""From a TOML file and options to one frozen record of settings. An unknown key is refused, the nearest one named."""

from __future__ import annotations

import difflib
import json
import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from ircohort.detection import DetectSettings
from ircohort.errors import ConfigurationError, UsageError
from ircohort.export import TableSpec
from ircohort.glycaemia import CRITERIA, CUT_OFFS, cut_off
from ircohort.intake import STANDARD_INPUT
from ircohort.normalisation import Choice, Columns, Policy, Recognition
from ircohort.normalisation.columns import CONSTANTS, NAMES, TIMES, Recognised
from ircohort.normalisation.readings import CENSORED, DUPLICATES, is_date_format
from ircohort.trajectory import ModelSettings
from ircohort.units import ANALYTES, INSULIN_FACTORS, conversion

VERSION = 1
LABS = "labs"

Section = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True)
class ReportSettings:
    """What the report shows. ``identifiers``: participants' identifiers and calendar dates."""

    identifiers: bool = False


@dataclass(frozen=True)
class Settings:
    """Everything that decides a result, but the data."""

    labs: TableSpec = field(default_factory=lambda: TableSpec(LABS))
    joined: tuple[TableSpec, ...] = ()
    columns: Columns = field(default_factory=Columns)
    policy: Policy = field(default_factory=Policy)
    detect: DetectSettings = field(default_factory=DetectSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
    report: ReportSettings = field(default_factory=ReportSettings)
    seed: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Give the settings as plain values by section, without file paths, for manifest and report."""
        columns = asdict(self.columns)
        named = {name: choice["header"] for name, choice in columns.pop("named").items()}
        return {
            "columns": {**named, **{key: value for key, value in columns.items() if key not in ("units", "long")}},
            "units": dict(self.columns.units),
            "long": dict(self.columns.long),
            "policy": {**asdict(self.policy), "insulin_factor": str(self.policy.insulin_factor)},
            "detect": asdict(self.detect),
            "model": asdict(self.model),
            "report": asdict(self.report),
            "seed": self.seed,
        }


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
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
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
    _expect(isinstance(seed, int) and not isinstance(seed, bool) and seed >= 0, "seed", "a whole number from 0")
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
    if name != LABS and not values.get("key"):
        raise ConfigurationError(
            f"The table {name} has no key.", next_step=f"State the column that names its rows: --key {name}=COLUMN"
        )
    return TableSpec(name, **values)


def _columns(said: Mapping[str, Any]) -> Columns:
    section, units, long = _section(said, "columns"), _section(said, "units"), _section(said, "long")
    _known(section, (*NAMES, "keep", "constant", "date_format"), "columns")
    _known(units, ANALYTES, "units")
    _known(long, ("test", "value", "unit"), "long")
    for analyte, unit in units.items():
        conversion(analyte, _text(unit, f"[units] {analyte}"))
    constant = _texts(section.get("constant", ()), "[columns] constant")
    for name in constant:
        _expect(name in CONSTANTS, "[columns] constant", f"one of {', '.join(CONSTANTS)}")
    date_format = _text(section.get("date_format", "%Y-%m-%d"), "[columns] date_format")
    _expect(is_date_format(date_format), "[columns] date_format", "a form with day, month and year, as %d/%m/%Y")
    return Columns(
        named={name: _choice(name, section[name]) for name in NAMES if name in section},
        keep=_texts(section.get("keep", ()), "[columns] keep"),
        constant=constant,
        units=units,
        date_format=date_format,
        long={key: _text(value, f"[long] {key}") for key, value in long.items()},
    )


def _choice(name: str, said: Any) -> Choice:
    if isinstance(said, str):
        return Choice(said)
    where = f"[columns] {name}"
    _expect(
        isinstance(said, dict) and isinstance(said.get("column"), str), where, 'a header, or { column = "HEADER", … }'
    )
    _known(said, ("column", "female", "male") if name == "sex" else ("column", "yes", "no"), f"columns.{name}")
    return Choice(said["column"], {key: _texts(said[key], where) for key in said if key != "column"})


def _policy(said: Section) -> Policy:
    _known(said, [entry.name for entry in fields(Policy)], "policy")
    for key, allowed in {"duplicates": DUPLICATES, "censored": CENSORED, "criteria": CRITERIA}.items():
        _expect(said.get(key, allowed[0]) in allowed, f"[policy] {key}", f"one of {', '.join(allowed)}")
    cut_offs = _section(said, "cut_offs", "policy.")
    _known(cut_offs, CUT_OFFS, "policy.cut_offs")
    for name, value in cut_offs.items():
        _expect(_is_number(value) and value > 0, f"[policy.cut_offs] {name}", "a number above 0")
    chosen = {**said, "cut_offs": cut_offs}
    if "insulin_factor" in said:
        factors = {str(float(factor)): factor for factor in INSULIN_FACTORS}
        given = str(float(said["insulin_factor"])) if _is_number(said["insulin_factor"]) else ""
        _expect(given in factors, "[policy] insulin_factor", "6.0 or 6.945 pmol per uIU")
        chosen["insulin_factor"] = factors[given]
    return Policy(**chosen)


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


def draft(recognition: Recognition, settings: Settings, beside: Path) -> str:
    """Write a configuration for review: what was recognised, what was said, and a line for each open question.

    Parameters
    ----------
    recognition
        What is known of the columns.
    settings
        What was said; whatever differs from the defaults is written down.
    beside
        The directory of the configuration, to which its paths are relative.
    """
    lines = [f"config = {VERSION}"]
    if settings.seed:
        lines.append(f"seed = {settings.seed}")
    for spec in (settings.labs, *settings.joined):
        values = _differing(spec, TableSpec(spec.name))
        values["files"] = [_relative(given, beside) for given in spec.files]
        lines += ["", f"[tables.{spec.name}]", *_lines(values)]
    columns = {column.name: _said_of(column) for column in recognition.columns}
    plain = {name: getattr(settings.columns, name) for name in ("keep", "constant", "date_format")}
    defaults = Columns()
    columns |= {name: value for name, value in plain.items() if value != getattr(defaults, name)}
    lines += ["", "[columns]", *_lines(columns), "", "[units]"]
    lines += [_unit_line(column) for column in recognition.analytes]
    sections = {
        "long": dict(settings.columns.long),
        "policy": _differing(settings.policy, Policy()),
        "detect": _differing(settings.detect, DetectSettings()),
        "model": _differing(settings.model, ModelSettings()),
        "report": _differing(settings.report, ReportSettings()),
    }
    for name, values in sections.items():
        lines += ["", f"[{name}]", *_lines(values)] if values else []
    if recognition.questions:
        lines += ["", "# Open questions: ircohort reads nothing until they are answered above."]
        lines += [f"# {line}" for question in recognition.questions for line in (*str(question).splitlines(), "")]
    return "\n".join(line.rstrip() for line in lines).rstrip() + "\n"


def _differing(record: Any, default: Any) -> Section:
    pairs = {entry.name: (getattr(record, entry.name), getattr(default, entry.name)) for entry in fields(record)}
    return {name: said for name, (said, usual) in pairs.items() if said != usual}


def _relative(given: str, beside: Path) -> str:
    return given if given == STANDARD_INPUT else Path(os.path.relpath(given, beside)).as_posix()


def _said_of(column: Recognised) -> Any:
    return {"column": column.header, **column.values} if column.values else column.header


def _unit_line(column: Recognised) -> str:
    if column.unit:
        return f"{column.name} = {_toml(column.unit)}  # {column.unit_from}"
    known = ", ".join(entry.unit for entry in ANALYTES[column.name].conversions)
    return f"# {column.name} = ?  # not stated; read are: {known}"


def _lines(values: Mapping[str, Any]) -> list[str]:
    return [f"{key} = {_toml(value)}" for key, value in values.items()]


def _toml(value: Any) -> str:
    """Write a value as TOML; its basic strings are those of JSON."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(_lines(value)) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return str(value) if isinstance(value, Decimal) else json.dumps(value)
