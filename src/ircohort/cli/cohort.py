"""Commands on an export: the main job and its steps. Rooms are entered only when a command runs."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ircohort.cli.options import (
    FORMAT_OPTION,
    INPUT_OPTIONS,
    REPORT_OPTION,
    TABLE_OUTPUT,
    files_of,
    settings_for,
    with_options,
)
from ircohort.cli.writing import check_file, columns_text, progress, reading_bar, say, write_bytes, write_frame
from ircohort.errors import RefusedError, ThresholdError, UsageError

if TYPE_CHECKING:
    from ircohort.analysis import Analysis
    from ircohort.configuration import Settings


REFITS_AHEAD = 200
"""Refits for what markers tell ahead and for time in the compensated state, at most."""

REFITS_OF_MODEL = 1000
"""Bootstrap refits of `model`, where neither option nor configuration says otherwise; `run` makes fewer."""


@click.command()
@with_options(*INPUT_OPTIONS, REPORT_OPTION)
@click.option("-o", "--output", "out", required=True, type=click.Path(), help="Directory for all results.")
@click.option("--overwrite", is_flag=True, help="Replace an earlier output of ircohort.")
@click.option("--bootstrap", type=click.IntRange(0), help="Refits for intervals. Default: 200.")
@click.option("--visits-csv/--no-visits-csv", default=None, help="Write visits.csv. Default: up to 5 million visits.")
@click.option("--fail-on", metavar="rejected=SHARE", help="Exit with 5 if more rows are rejected, as rejected=5%.")
def run(
    inputs: Any, out: str, overwrite: bool, visits_csv: bool | None, fail_on: str | None, quiet: bool, **said: Any
) -> None:
    """Do the main job: clean visits, markers, findings, models, figures, report.

    INPUT is a laboratory export: a file, a glob, a directory, or - for standard
    input. Other tables are named with --table and --key.
    """
    from datetime import UTC, datetime

    limit = _limit(fail_on)
    started = datetime.now(UTC)
    settings = settings_for(inputs, said)
    from ircohort.analysis import STAGES, analyse
    from ircohort.output import check_target, save

    check_target(Path(out), overwrite=overwrite)
    with progress((*STAGES, "figures and report"), quiet) as tell:
        analysis = analyse(config=settings, on_stage=tell)
        tell("figures and report")
        save(analysis, out, overwrite=overwrite, visits_csv=visits_csv, started=started)
    _say_notes(analysis, quiet)
    say(_summary(analysis), quiet)
    say(f"Report: {Path(out) / 'report.html'}", quiet)
    _hold(limit, analysis)


def _say_notes(analysis: Analysis, quiet: bool) -> None:
    for warning in (*analysis.cohort.notes, *analysis.warnings):
        say(f"Note: {warning}", quiet)


def _summary(analysis: Analysis) -> str:
    from ircohort.report import gather, summary

    facts = gather(analysis)
    rows = [analysis.cohort.ledger.rows[name] for name in analysis.cohort.lab_files]
    why = "" if facts.individuals.n_assessable else " The reasons stand in participants.csv."
    return (
        f"{sum(row['read'] for row in rows):,} rows read, {analysis.visits.height:,} visits of "
        f"{analysis.detection.participants.height:,} participants.\n{summary(facts)}{why}"
    )


def _limit(fail_on: str | None) -> float | None:
    if fail_on is None:
        return None
    name, _equals, share = fail_on.partition("=")
    with contextlib.suppress(ValueError):
        limit = float(share.removesuffix("%")) / (100 if share.endswith("%") else 1)
        if name == "rejected" and 0 <= limit <= 1:
            return limit
    raise UsageError(f"--fail-on {fail_on} cannot be read.", expected="Expected is, for example, rejected=5%.")


def _hold(limit: float | None, analysis: Analysis) -> None:
    """Hold the share of rejected laboratory rows against the limit of the user."""
    labs = [analysis.cohort.ledger.rows[name] for name in analysis.cohort.lab_files]
    read, rejected = (sum(counts[key] for counts in labs) for key in ("read", "rejected"))
    if limit is not None and rejected > limit * read:
        raise ThresholdError(
            f"{rejected} of {read} rows were rejected, more than {limit:.3g} of them.",
            next_step="rejected.csv lists each with its line and reason; all outputs were written.",
        )


@click.command()
@with_options(*INPUT_OPTIONS)
def check(inputs: Any, quiet: bool, **said: Any) -> None:
    """Say what was recognised, and what is an open question; then stop.

    Exits with 3 while a question is open.
    """
    from ircohort.analysis import read_inputs
    from ircohort.normalisation import describe_columns, normalise, recognise

    settings = settings_for(inputs, said)
    with reading_bar(quiet) as tell:
        export = read_inputs((), settings, tell)
    recognition = recognise(export, settings.columns)
    try:
        cohort = normalise(export, settings.columns, settings.policy)
    except RefusedError:
        click.echo(columns_text(describe_columns(export, recognition)))
        raise
    click.echo(columns_text(cohort.columns))
    for name, counts in cohort.ledger.rows.items():
        click.echo(f"{name}, rows: " + ", ".join(f"{counts[key]:,} {key.replace('_', ' ')}" for key in counts))
    if cohort.ledger.not_read:
        click.echo(f"Not read: {', '.join(cohort.ledger.not_read)}")
    for note in cohort.notes:
        say(f"Note: {note}", quiet)


@click.command()
@with_options(*INPUT_OPTIONS)
@click.option("-o", "--output", "out", default="-", help="File for the configuration. Default: standard output.")
def init(inputs: Any, out: str, quiet: bool, **said: Any) -> None:
    """Write a configuration for review: what was recognised, what is open."""
    from ircohort.analysis import read_inputs
    from ircohort.configuration import draft
    from ircohort.normalisation import recognise

    settings = settings_for(inputs, said)
    check_file(out, inputs=files_of(settings))
    if Path(out).exists() and out != "-":
        raise UsageError(f"{out} is there already.", next_step="Answer in it, or choose another name with -o.")
    with reading_bar(quiet) as tell:
        export = read_inputs((), settings, tell)
    recognition = recognise(export, settings.columns)
    unread = [header for header in export.columns if header not in recognition.read]
    text = draft(recognition, settings, Path(out).parent if out != "-" else Path(), unread)
    write_bytes(text.encode(), out)
    n = len(recognition.questions)
    say(f"{n} open question{'' if n == 1 else 's'}.", quiet)


@click.command()
@with_options(*INPUT_OPTIONS, FORMAT_OPTION, TABLE_OUTPUT)
def markers(inputs: Any, out: str, form: str | None, quiet: bool, **said: Any) -> None:
    """Compute the markers at every visit: a table of visits."""
    settings = settings_for(inputs, said)
    check_file(out, form, files_of(settings))
    write_frame(_visits(settings, quiet), out, form)


def _visits(settings: Settings, quiet: bool) -> Any:
    """Read an export, and add the markers."""
    from ircohort.analysis import visits_of

    with reading_bar(quiet) as tell:
        cohort, visits = visits_of(settings, on_progress=tell)
    for note in cohort.notes:
        say(f"Note: {note}", quiet)
    return visits


@click.command()
@with_options(*INPUT_OPTIONS, FORMAT_OPTION, TABLE_OUTPUT)
@click.option("--windows", "windows_file", help="File for the dated windows.")
def detect(inputs: Any, out: str, form: str | None, windows_file: str | None, quiet: bool, **said: Any) -> None:
    """Find the participants whose insulin markers rise while glucose is normal."""
    from ircohort.detection import detect as find

    settings = settings_for(inputs, said)
    if out == windows_file:
        raise UsageError("Participants and windows would be written to the same place.", next_step="Name two files.")
    for name in (out, windows_file or "-"):
        check_file(name, form, files_of(settings))
    found = find(_visits(settings, quiet), settings.detect, seed=settings.seed)
    write_frame(found.participants, out, form)
    if windows_file:
        write_frame(found.windows, windows_file, form)
    for line in _found(found):
        say(line, quiet)
    for note in found.notes:
        say(f"Note: {note}", quiet)


def _found(detection: Any) -> list[str]:
    """Say how many are flagged, how many of these flags are expected to be false, and how much people differ."""
    judged = detection.participants["probability"].count()
    if not judged:
        return ["Nobody can be judged: the reasons stand with the participants."]
    lines = [f"{detection.n_flagged:,} of {judged:,} people judged are flagged"]
    if detection.expected_false is not None:
        between = f"{detection.expected_false_low:.0f} to {detection.expected_false_high:.0f}"
        lines[0] += f", {detection.expected_false:.1f} of these expected to be false (95 % interval {between})"
    lines += [
        f"Yearly change of {row['marker']}: SD between people {row['slope_sd_pct_per_year']:.1f} % (95 % interval "
        f"{row['slope_sd_low']:.1f} to {row['slope_sd_high']:.1f})"
        for row in detection.population.filter("identifiable").to_dicts()
    ]
    return [f"{line}." for line in lines]


@click.command()
@with_options(*INPUT_OPTIONS)
@click.option("-o", "--output", "out", required=True, type=click.Path(), help="New directory for the tables.")
@click.option("--bootstrap", type=click.IntRange(0), help="Refits for intervals. Default: 1000.")
@click.option("--compare", "studies", multiple=True, metavar="STUDY", help="Set beside a study, as sagesaka-2018.")
def model(inputs: Any, out: str, studies: tuple[str, ...], quiet: bool, **said: Any) -> None:
    """Model the cohort: curves, onset, and the hidden window, as tables.

    With --compare also the cohort's numbers beside published ones, by the model
    of that study: sagesaka-2018, tabak-2009, hulman-2017, malmstrom-2018,
    heianza-2012. Exits with 4 if no model can be fitted.
    """
    settings = settings_for(inputs, said, usual={"model": {"n_refits": REFITS_OF_MODEL}})
    from ircohort.output import check_target, save_model
    from ircohort.states import compensated_time
    from ircohort.trajectory import foresee, hidden_window
    from ircohort.trajectory.comparing import design_of

    for study in studies:
        design_of(study)
    check_target(Path(out), overwrite=False)
    visits = _visits(settings, quiet)
    trajectory = hidden_window(visits, settings.model, seed=settings.seed)
    compared = _compared(visits, studies)
    refits, seed = min(settings.model.n_refits, REFITS_AHEAD), settings.seed
    compensated = compensated_time(visits, n_refits=refits, seed=seed)
    more = {
        "foreseen.csv": foresee(visits, settings.model.rule, n_refits=refits, seed=seed),
        "compensated_quartiles.csv": compensated.quartiles,
        "compensated_incidence.csv": compensated.incidence,
    }
    beside = {f"compared_{study}.csv": found.table for study, found in compared.items()}
    save_model(trajectory, out, {**more, **beside})
    for note in (*trajectory.notes, *compensated.notes):
        say(f"Note: {note}", quiet)
    for study, found in compared.items():
        say(f"{study}: {found.source}, doi:{found.doi}", quiet)
        for note in found.notes:
            say(f"Note: {note}", quiet)


def _compared(visits: Any, studies: tuple[str, ...]) -> dict[str, Any]:
    """Set the cohort beside each study, on the time to both events."""
    from ircohort.trajectory import align, compare_cohort
    from ircohort.trajectory.alignment.rules import EVENTS

    aligned = {event: align(visits, to=event, keep_visit_after=True) for event in (EVENTS if studies else ())}
    return {study: compare_cohort(study, aligned) for study in dict.fromkeys(studies)}


@click.command()
@with_options(*INPUT_OPTIONS, REPORT_OPTION)
@click.option("-o", "--output", "out", default="report.html", show_default=True, help="File for the page.")
def report(inputs: Any, out: str, quiet: bool, **said: Any) -> None:
    """Do the main job, and write the one-page report alone."""
    settings = settings_for(inputs, said)
    check_file(out, inputs=files_of(settings))
    from ircohort.analysis import STAGES, analyse
    from ircohort.output import figures, page

    with progress((*STAGES, "figures and report"), quiet) as tell:
        analysis = analyse(config=settings, on_stage=tell)
        tell("figures and report")
        content = page(analysis, figures(analysis)).encode()
    _say_notes(analysis, quiet)
    write_bytes(content, out)
    say(f"Report: {out}", quiet or out == "-")
