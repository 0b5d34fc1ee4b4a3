"""From a TOML file and options to one frozen record of settings. An unknown key is refused, the nearest one named."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from ircohort.detection import DetectSettings
from ircohort.errors import ConfigurationError, UsageError
from ircohort.export import TableSpec
from ircohort.glycaemia import CRITERIA, CUT_OFFS
from ircohort.intake import STANDARD_INPUT
from ircohort.normalisation import Choice, Columns, Policy, Recognition
from ircohort.normalisation.columns import NAMES
from ircohort.normalisation.readings import CENSORED, DUPLICATES
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


def read_configuration(path: str | Path) -> Section:
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
    if said.get("config") != VERSION:
        raise ConfigurationError(
            f"The configuration {file.name} does not say of which version it is.",
            next_step=f"Write config = {VERSION} on its first line.",
        )
    for table in _section(said, "tables").values():
        if isinstance(table, dict) and isinstance(table.get("files"), list):
            table["files"] = [_beside(file, given) for given in table["files"]]
    return said


def _beside(configuration: Path, given: Any) -> Any:
    if not isinstance(given, str) or given == STANDARD_INPUT:
        return given
    return str(configuration.parent / given)


def overlay(below: Section, above: Mapping[str, Any]) -> Section:
    """Lay one configuration over another: what stands above wins, key by key.

    Examples
    --------
    >>> overlay({"units": {"glucose": "mg/dL"}, "seed": 1}, {"units": {"insulin": "pmol/L"}})
    {'units': {'glucose': 'mg/dL', 'insulin': 'pmol/L'}, 'seed': 1}
    """
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = overlay(merged[key], value) if both else value
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
    return Settings(
        labs=specs.pop(LABS, TableSpec(LABS)),
        joined=tuple(specs.values()),
        columns=_columns(said),
        policy=_policy(_section(said, "policy")),
        detect=_record(DetectSettings, _section(said, "detect"), "detect"),
        model=_record(ModelSettings, _section(said, "model"), "model"),
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
        _expect(name in ANALYTES, "[columns] constant", f"one of {', '.join(ANALYTES)}")
    return Columns(
        named={name: _choice(name, section[name]) for name in NAMES if name in section},
        keep=_texts(section.get("keep", ()), "[columns] keep"),
        constant=constant,
        units=units,
        date_format=_text(section.get("date_format", "%Y-%m-%d"), "[columns] date_format"),
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


def draft(recognition: Recognition, settings: Settings, inputs: Iterable[str]) -> str:
    """Write a configuration for review: what was recognised, and a line for each open question."""
    files = ", ".join(_quoted(given) for given in inputs)
    lines = [f"config = {VERSION}", "", "[tables.labs]", f"files = [{files}]", ""]
    for spec in settings.joined:
        joined = ", ".join(_quoted(given) for given in spec.files)
        via = [f"via = {_quoted(spec.via)}"] if spec.via else []
        lines += [f"[tables.{spec.name}]", f"files = [{joined}]", f"key = {_quoted(spec.key)}", *via, ""]
    lines += ["[columns]", *(f"{column.name} = {_quoted(column.header)}" for column in recognition.columns), ""]
    lines += ["[units]"]
    for column in recognition.analytes:
        known = ", ".join(entry.unit for entry in ANALYTES[column.name].conversions)
        lines.append(
            f"{column.name} = {_quoted(column.unit)}  # {column.unit_from}"
            if column.unit
            else f"# {column.name} = ?  # not stated; read are: {known}"
        )
    if recognition.questions:
        lines += ["", "# Open questions: ircohort reads nothing until they are answered above."]
        lines += [f"# {line}" for question in recognition.questions for line in (*str(question).splitlines(), "")]
    return "\n".join(line.rstrip() for line in lines).rstrip() + "\n"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
