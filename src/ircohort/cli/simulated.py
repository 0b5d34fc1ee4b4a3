"""Commands on simulated cohorts, and the one that verifies an output."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ircohort.cli.options import (
    DESIGN_OPTIONS,
    FORMAT_OPTION,
    QUIET_OPTION,
    SEED_OPTION,
    TABLE_OUTPUT,
    design_for,
    with_options,
)
from ircohort.cli.writing import say, write_frame
from ircohort.errors import FileError, UsageError


@click.command()
@with_options(*DESIGN_OPTIONS, SEED_OPTION, QUIET_OPTION)
@click.option("-o", "--output", "out", required=True, type=click.Path(), help="Directory for labs.csv and truth.csv.")
def simulate(design: str, seed: int, quiet: bool, out: str, **changes: Any) -> None:
    """Simulate a cohort from physiology, with its known truth beside it."""
    from ircohort.simulation import simulate as draw

    simulated = draw(design_for(design, changes), seed=seed)
    directory = Path(out)
    taken = [name for name in ("labs.csv", "truth.csv") if (directory / name).exists()]
    if taken:
        raise UsageError(f"{directory / taken[0]} is there already.", next_step="Choose another directory with -o.")
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"{out} cannot be made: {error.strerror}.") from error
    write_frame(simulated.labs, str(directory / "labs.csv"), "csv")
    write_frame(simulated.truth, str(directory / "truth.csv"), "csv")
    say(f"Wrote {directory / 'labs.csv'} and {directory / 'truth.csv'}.", quiet)


@click.command()
@with_options(*DESIGN_OPTIONS, SEED_OPTION, FORMAT_OPTION, TABLE_OUTPUT, QUIET_OPTION)
@click.option("--cohorts", type=click.IntRange(1), default=5, show_default=True, help="Cohorts to simulate.")
@click.option("--calibration", "calibration_file", help="File for stated against observed shares.")
def evaluate(
    design: str,
    cohorts: int,
    seed: int,
    out: str,
    form: str | None,
    calibration_file: str | None,
    quiet: bool,
    **changes: Any,
) -> None:
    """Hold detection against the truth of simulated cohorts.

    The table gives sensitivity, specificity, PPV, NPV and FDR with their
    intervals, for flags from probability 0.5 and from 0.8.
    """
    from ircohort.evaluation import evaluate as judge

    found = judge(design_for(design, changes), cohorts=cohorts, seed=seed)
    write_frame(found.rates, out, form)
    if calibration_file:
        write_frame(found.calibration, calibration_file, form)
    summary = found.summary.row(0, named=True)
    say(
        f"{summary['n_participants']:,} people, {summary['n_assessable']:,} assessable; "
        f"{summary['n_true_assessable']:,} of these have a true hidden window.",
        quiet,
    )


@click.command()
@click.argument("directory", type=click.Path())
@click.option("--quiet", is_flag=True, help="Print nothing but errors.")
def verify(directory: str, quiet: bool) -> None:
    """Compare an output directory with its manifest.

    Exits with 6 if a file was changed, is missing, or does not belong there.
    """
    from ircohort.output import verify as compare

    found = compare(directory)
    for kind in ("changed", "missing", "foreign"):
        for name in getattr(found, kind):
            say(f"{kind}: {name}")
    if not found.whole:
        raise FileError(f"{directory} is not as ircohort wrote it.", next_step="Run it again into a new directory.")
    say(f"{len(found.unchanged)} files are as ircohort wrote them.", quiet)
