"""The command that holds detection against simulated truth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from ircohort.cli.options import (
    DESIGN_OPTIONS,
    FORMAT_OPTION,
    INPUT_OPTIONS,
    TABLE_OUTPUT,
    design_for,
    files_of,
    settings_for,
    with_options,
)
from ircohort.cli.writing import check_file, reading_bar, say, write_bytes, write_frame
from ircohort.errors import FileError, UsageError

TABLES = ("summary", "counts", "rates", "calibration", "calibration_above", "rules", "detection_time", "lead", "alarms")
"""What ``--tables`` writes, beside ``people``."""

_FIGURES = (".png", ".svg")
_PLANNED = ("visits", "years_between", "missed")


def _parameter(option: Callable[..., Any]) -> str:
    """Give the name of the parameter that an option makes."""

    def bare() -> None:
        """Carry one option."""

    return str(option(bare).__click_params__[0].name)


# --unit of INPUT and --units of a simulated export would make the same parameter; --set units=si remains.
_OWN_DESIGN_OPTIONS = {name: option for option in DESIGN_OPTIONS if (name := _parameter(option)) != "units"}
_INPUT_NAMES = tuple(name for option in INPUT_OPTIONS if (name := _parameter(option)) not in ("inputs", "quiet"))


@dataclass(frozen=True)
class _Wanted:
    """Where things are written: the table, calibration, the directory of all tables, the figure."""

    out: str
    form: str | None
    calibration: str | None
    directory: str | None
    figure: str | None
    quiet: bool


@click.command()
@with_options(*INPUT_OPTIONS, *_OWN_DESIGN_OPTIONS.values(), FORMAT_OPTION, TABLE_OUTPUT)
@click.option("--cohorts", type=click.IntRange(1), default=5, show_default=True, help="Cohorts to simulate.")
@click.option("--over-time", is_flag=True, help="Detect at every visit too: time to detection, lead, false alarms.")
@click.option("--grid", is_flag=True, help="Compare schedules instead: what more visits or years would buy.")
@click.option("--per-year", multiple=True, type=float, help="Visits per year of the grid; can be repeated.")
@click.option("--for-years", multiple=True, type=float, help="Years of follow-up of the grid; can be repeated.")
@click.option("--calibration", "calibration_file", help="File for stated against observed shares.")
@click.option("--tables", "tables_directory", type=click.Path(), help="New directory for every table, as CSV.")
@click.option("--figure", "figure_file", help="File for the figure: .png or .svg.")
def evaluate(
    inputs: Any,
    out: str,
    form: str | None,
    quiet: bool,
    cohorts: int,
    over_time: bool,
    grid: bool,
    per_year: tuple[float, ...],
    for_years: tuple[float, ...],
    calibration_file: str | None,
    tables_directory: str | None,
    figure_file: str | None,
    **said: Any,
) -> None:
    """Hold detection against the truth of simulated cohorts.

    With INPUT, simulated people come when yours came, and have measured what
    yours had; else at the visits of the design. The table gives sensitivity,
    specificity, PPV, NPV and FDR with their intervals, for flags from
    probability 0.5 and from 0.8. All of it depends on the physiology that
    --design names: try clinic (people at risk) beside population.
    """
    settings = settings_for(inputs, {name: said[name] for name in _INPUT_NAMES})
    changes = {name: said[name] for name in _OWN_DESIGN_OPTIONS}
    given = files_of(settings)
    wanted = _Wanted(out, form, calibration_file, tables_directory, figure_file, quiet)
    _check_targets(wanted, given)
    _check_together(changes, grid, bool(given), bool(per_year or for_years), wanted, over_time)
    from ircohort.detection import DetectSettings

    plan: dict[str, Any] = {
        "settings": settings.detect or DetectSettings(),
        "cohorts": cohorts,
        "seed": settings.seed,
    }
    name = changes.pop("design")
    design = design_for(name, changes)
    if grid:
        _compare_schedules(design, plan, per_year, for_years, wanted)
        return
    visits = None
    if given:
        visits = _read(settings, quiet)
        if changes["participants"] is None:
            from ircohort.evaluation import pattern_of

            design = replace(design, n_participants=pattern_of(visits, plan["settings"]).n_people)
    _evaluate(design, visits, over_time, plan, wanted)


def _check_targets(wanted: _Wanted, inputs: tuple[str, ...]) -> None:
    for file in (wanted.out, wanted.calibration or "-"):
        check_file(file, wanted.form, inputs)
    if wanted.calibration and wanted.calibration == wanted.out:
        raise UsageError("Rates and calibration would be written to the same place.", next_step="Name two files.")
    if wanted.figure and Path(wanted.figure).suffix not in _FIGURES:
        raise UsageError(f"{wanted.figure} is of a form that is not drawn.", expected="Drawn are .png and .svg.")
    if wanted.directory and Path(wanted.directory).exists():
        raise UsageError(f"{wanted.directory} is there already.", next_step="Choose another directory with --tables.")


def _check_together(
    changes: dict[str, Any], grid: bool, given: bool, of_grid: bool, wanted: _Wanted, over_time: bool
) -> None:
    """Refuse options that cannot be meant together, before work begins."""
    if of_grid and not grid:
        raise UsageError("--per-year and --for-years are of the grid.", next_step="Add --grid.")
    if given and grid:
        raise UsageError("--grid makes schedules, and INPUT brings one.", next_step="Leave one of them out.")
    planned = [name for name in _PLANNED if changes[name] is not None]
    if planned and (given or grid):
        option, other = planned[0].replace("_", "-"), "INPUT brings" if given else "--grid makes"
        raise UsageError(f"--{option} plans visits, and {other} them.", next_step="Leave one of them out.")
    for name, there in (("over-time", over_time), ("calibration", wanted.calibration), ("tables", wanted.directory)):
        if grid and there:
            raise UsageError(f"--{name} does not go with --grid.", next_step="Leave one of them out.")


def _read(settings: Any, quiet: bool) -> Any:
    from ircohort.analysis import visits_of

    with reading_bar(quiet) as tell:
        cohort, visits = visits_of(settings, on_progress=tell)
    for note in cohort.notes:
        say(f"Note: {note}", quiet)
    return visits


def _evaluate(design: Any, visits: Any, over_time: bool, plan: dict[str, Any], wanted: _Wanted) -> None:
    from ircohort.evaluation import evaluate as judge

    found = judge(design, visits=visits, over_time=over_time, **plan)
    write_frame(found.rates, wanted.out, wanted.form)
    if wanted.calibration:
        write_frame(found.calibration, wanted.calibration, wanted.form)
    if wanted.directory:
        _write_tables(found, Path(wanted.directory))
    if wanted.figure:
        from ircohort.plot.evaluation import detection_quality

        _write_figure(detection_quality(found), wanted.figure)
    _tell(found, wanted.quiet)


def _tell(found: Any, quiet: bool) -> None:
    summary, counts = found.summary.row(0, named=True), found.counts.row(-1, named=True)
    say(
        f"{summary['n_participants']:,} people, {summary['n_assessable']:,} assessable; "
        f"{summary['n_true_assessable']:,} of these have a true hidden window.",
        quiet,
    )
    if counts["n_flagged"]:
        say(
            f"{counts['n_flagged']:,} were flagged from {counts['threshold']:g}; false flags: "
            f"{counts['expected_false']:.1f} expected, {counts['false_positive']:,} there.",
            quiet,
        )
    for note in found.notes:
        say(f"Note: {note}", quiet)


def _compare_schedules(
    design: Any, plan: dict[str, Any], per_year: tuple[float, ...], for_years: tuple[float, ...], wanted: _Wanted
) -> None:
    from ircohort.evaluation import schedules

    chosen: dict[str, Any] = {"visits_per_year": per_year, "years": for_years}
    named = {name: values for name, values in chosen.items() if values}
    table = schedules(design, on_cell=lambda words: say(f"{words} ...", wanted.quiet), **named, **plan)
    write_frame(table, wanted.out, wanted.form)
    if unjudged := (table["n_assessable"] == 0).sum():
        asked = plan["settings"].asks_for
        say(f"Note: under {unjudged} of {table.height} schedules nobody was judged: that takes {asked}.", wanted.quiet)
    if wanted.figure:
        from ircohort.plot.evaluation import schedules as draw

        _write_figure(draw(table), wanted.figure)


def _write_tables(found: Any, directory: Path) -> None:
    try:
        directory.mkdir(parents=True)
    except OSError as error:
        raise FileError(f"{directory} cannot be made: {error.strerror}.") from error
    for name in (*TABLES, "people"):
        write_frame(getattr(found, name), str(directory / f"{name}.csv"), "csv")


def _write_figure(figure: Any, file: str) -> None:
    from ircohort.plot import to_png, to_svg

    write_bytes((to_png if Path(file).suffix == ".png" else to_svg)(figure), file)
