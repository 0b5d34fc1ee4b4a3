"""Options that commands share, and the settings they make."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from ircohort.errors import UsageError

if TYPE_CHECKING:
    from ircohort.configuration import Settings
    from ircohort.simulation import Design

FORMATS = ("csv", "parquet", "json")

Command = Callable[..., Any]


def _pair(_: click.Context, parameter: click.Parameter, given: Sequence[str]) -> dict[str, str]:
    """Read ``NAME=VALUE`` options."""
    pairs = [text.partition("=") for text in given]
    for (name, _equals, value), text in zip(pairs, given, strict=True):
        if not (name and value):
            raise click.BadParameter(f"{text!r} is not NAME=VALUE.", param=parameter)
    return {name: value for name, _equals, value in pairs}


INPUT_OPTIONS = (
    click.argument("inputs", nargs=-1, metavar="[INPUT]..."),
    click.option("--config", type=click.Path(), help="Configuration in TOML; options win over it."),
    click.option("--column", "columns", multiple=True, callback=_pair, metavar="NAME=HEADER", help="Name a column."),
    click.option("--unit", "units", multiple=True, callback=_pair, metavar="NAME=UNIT", help="State a unit."),
    click.option(
        "--date-format",
        "date_formats",
        multiple=True,
        metavar="FORMAT",
        help="Form of dates, as %d/%m/%Y, or excel. Default: %Y-%m-%d.",
    ),
    click.option("--encoding", metavar="NAME", help="Encoding of the export. Default: UTF-8, or by its mark."),
    click.option("--decimal", type=click.Choice([".", ","]), help="Decimal mark of the export. Default: a point."),
    click.option("--thousands", metavar="MARK", help="What sets thousands apart. Default: nothing."),
    click.option("--table", "tables", multiple=True, callback=_pair, metavar="NAME=FILE", help="Join another table."),
    click.option("--key", "keys", multiple=True, callback=_pair, metavar="NAME=COLUMN", help="The key of that table."),
    click.option("--seed", type=click.IntRange(0), help="Seed of all randomness. Default: 0."),
    click.option("--quiet", is_flag=True, help="Print nothing but errors."),
)

FORMAT_OPTION = click.option(
    "--format", "form", type=click.Choice(FORMATS), help="Form of the table. Default: by the name of the file, or csv."
)
REPORT_OPTION = click.option(
    "--identifiers", is_flag=True, default=None, help="Show identifiers and calendar dates in report and figures."
)
TABLE_OUTPUT = click.option("-o", "--output", "out", default="-", help="File for the table. Default: standard output.")

SEED_OPTION = click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of all randomness."
)
QUIET_OPTION = click.option("--quiet", is_flag=True, help="Print nothing but errors.")
DESIGN_OPTIONS = (
    click.option(
        "--design",
        default="population",
        show_default=True,
        help="A named design: clinic, population, japan or us.",
    ),
    click.option("--participants", type=click.IntRange(1), help="People in a cohort."),
    click.option("--visits", type=click.IntRange(1), help="Planned visits of each person."),
    click.option("--years-between", type=float, help="Years between visits."),
    click.option("--missed", type=float, help="Share of visits missed."),
    click.option("--years-before-entry", type=float, help="Longest time the process had gone on at entry."),
    click.option("--sensitivity-loss", type=float, help="Median yearly loss of ln insulin sensitivity."),
    click.option("--sensitivity-loss-log-sd", type=float, help="SD of its logarithm between people."),
    click.option("--units", type=click.Choice(["us", "si"]), help="Units of the export."),
    click.option(
        "--set",
        "parameters",
        multiple=True,
        callback=_pair,
        metavar="NAME=VALUE",
        help="Any other parameter of the design; simulate --list shows them.",
    ),
)


def with_options(*options: Command) -> Callable[[Command], Command]:
    """Put several options on a command, in this order."""

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def settings_for(inputs: Any, said: dict[str, Any], usual: dict[str, Any] | None = None) -> Settings:
    """Lay the options over the configuration, and that over what is usual for a command."""
    from ircohort.analysis import settings_of

    if "labs" in said["tables"] or "labs" in said["keys"]:
        raise UsageError("The laboratory table is named by INPUT, not by --table.")
    tables: dict[str, Any] = {name: {"files": [file]} for name, file in said["tables"].items()}
    for name, key in said["keys"].items():
        tables.setdefault(name, {})["key"] = key
    written = {name: said[name] for name in ("encoding", "decimal", "thousands") if said[name]}
    if inputs or written:
        tables["labs"] = {**({"files": list(inputs)} if inputs else {}), **written}
    columns = {**said["columns"], **({"date_format": list(said["date_formats"])} if said["date_formats"] else {})}
    options: dict[str, Any] = {"tables": tables, "columns": columns, "units": said["units"]}
    if said["seed"] is not None:
        options["seed"] = said["seed"]
    if said.get("identifiers"):
        options["report"] = {"identifiers": True}
    if said.get("bootstrap") is not None:
        options["model"] = {"n_refits": said["bootstrap"]}
    return settings_of(said["config"], options, usual)


def files_of(settings: Settings) -> tuple[str, ...]:
    """List the files that settings name as inputs."""
    return tuple(given for spec in (settings.labs, *settings.joined) for given in spec.files)


def design_for(name: str, changes: dict[str, Any]) -> Design:
    """Take a named design, with the options that were given in place of its own; ``--set`` wins over them."""
    from ircohort.simulation import DESIGNS, read_value, with_values

    if name not in DESIGNS:
        raise UsageError(f"There is no design {name!r}.", expected=f"Known are: {', '.join(DESIGNS)}.")
    fields = {
        "participants": "n_participants",
        "visits": "n_visits",
        "years_between": "years_between_visits",
        "missed": "share_visits_missed",
        "years_before_entry": "years_before_entry_high",
        "sensitivity_loss": "kappa_median",
        "sensitivity_loss_log_sd": "kappa_log_sd",
        "units": "units",
    }
    written = changes.get("parameters") or {}
    named = {option: value for option, value in changes.items() if option != "parameters"}
    given = {fields[option]: value for option, value in named.items() if value is not None}
    given |= {parameter: read_value(DESIGNS[name], parameter, text) for parameter, text in written.items()}
    if "years_between_visits" in given and "visit_jitter_years" not in given:
        # Visits keep their order: the jitter shrinks with the time between them.
        jitter = DESIGNS[name].visit_jitter_years / DESIGNS[name].years_between_visits
        given["visit_jitter_years"] = jitter * float(given["years_between_visits"])
    design: Design = with_values(DESIGNS[name], given)
    return design
