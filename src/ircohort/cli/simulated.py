"""Commands on simulated cohorts, and the one that verifies an output."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ircohort.cli.options import DESIGN_OPTIONS, QUIET_OPTION, SEED_OPTION, design_for, with_options
from ircohort.cli.writing import say, write_frame
from ircohort.errors import FileError, UsageError


@click.command()
@with_options(*DESIGN_OPTIONS, SEED_OPTION, QUIET_OPTION)
@click.option("-o", "--output", "out", type=click.Path(), help="Directory for labs.csv and truth.csv.")
@click.option("--details", is_flag=True, help="Write traits.csv (people) and truth_visits.csv (visits) too.")
@click.option("--list", "listing", is_flag=True, help="List the parameters of the design, and stop.")
def simulate(
    design: str, seed: int, quiet: bool, out: str | None, details: bool, listing: bool, **changes: Any
) -> None:
    """Simulate a cohort from physiology, with its known truth beside it.

    What may happen to people and readings (puberty, weight, treatment, assay,
    drop-out and more) is set with --set, as --set puberty.present=yes.
    """
    chosen = design_for(design, changes)
    if listing:
        click.echo(_parameters_text(chosen))
        return
    if out is None:
        raise UsageError("No output directory is named.", next_step="Name one with -o.")
    from ircohort.simulation import simulate as draw

    directory = Path(out)
    names = ("labs", "truth", *(("traits", "truth_visits") if details else ()))
    files = {name: directory / f"{name}.csv" for name in names}
    if taken := [file for file in files.values() if file.exists()]:
        raise UsageError(f"{taken[0]} is there already.", next_step="Choose another directory with -o.")
    simulated = draw(chosen, seed=seed)
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"{out} cannot be made: {error.strerror}.") from error
    for name, file in files.items():
        write_frame(getattr(simulated, name), str(file), "csv")
    written = [str(file) for file in files.values()]
    say(f"Wrote {', '.join(written[:-1])} and {written[-1]}.", quiet)


def _parameters_text(design: Any) -> str:
    """List the parameters of a design, one a line, for a terminal."""
    from ircohort.simulation import listed

    shown = [(f"{each.name}={_shown(each.value)}", f"{each.meaning}; {each.expected}") for each in listed(design)]
    width = max(len(name) for name, _ in shown)
    return "\n".join(f"{name.ljust(width)}  {meaning}" for name, meaning in shown)


def _shown(value: Any) -> str:
    words = {True: "yes", False: "no", None: "none"}
    return words[value] if value is None or isinstance(value, bool) else str(value)


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
