"""Mutate the corpus, run the command line on it in this process, and judge what it does.

A case has to end in a result whose ledger adds up, or in a documented error. One that does not is printed with its
seed, and `python tests/fuzzing.py --replay SEED` runs it again with as few of its mutations as still fail;
`--keep DIRECTORY` leaves its files there.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import io
import re
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

import polars as pl

from fuzz_mutations import Case, case_of, corpus, first_line
from fuzz_values import CANARY_PERSON, CANARY_VALUE
from ircohort import cli
from ircohort.normalisation import RULES, Normalised
from ircohort.normalisation.rules import OUTCOMES
from ircohort.units import ANALYTES

DOCUMENTED = (0, 2, 3, 5, 6)
SLOW_SECONDS = 20.0

# --- running and judging ---------------------------------------------------------------------------------------------


@dataclass
class Ran:
    """What a case did: its exit code (None for an exception), both streams, and what was read."""

    code: int | None
    out: str
    err: str
    cohorts: list[Normalised]
    seconds: float
    trace: str = ""


def run(case: Case, directory: Path) -> Ran:
    """Run a case in an empty directory."""
    for entry in directory.iterdir():
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    for path, content in case.files.items():
        target = directory / path
        with contextlib.suppress(OSError, ValueError):
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
    cohorts: list[Normalised] = []
    made = Normalised.__init__

    def remember(self: Normalised, *given: object, **named: object) -> None:
        made(self, *given, **named)
        cohorts.append(self)

    out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.TextIOWrapper(io.BytesIO(), "utf-8", "backslashreplace")
    stdin = io.TextIOWrapper(io.BytesIO(case.files.get(case.stdin, b"") if case.stdin else b""))
    code, trace = None, ""
    started = time.perf_counter()
    with (
        contextlib.chdir(directory),
        warnings.catch_warnings(action="error"),  # each time, not the first time only
        mock.patch.object(Normalised, "__init__", remember),
        mock.patch.object(sys, "stdin", stdin),
        mock.patch.object(cli, "_trace", _where),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            code = cli.exit_code(case.arguments)
        except BaseException as error:  # a panic of polars is no Exception
            if isinstance(error, KeyboardInterrupt):
                raise
            trace = "".join(traceback.format_exception(error))
    seconds = time.perf_counter() - started
    texts = [_written(stream) for stream in (out, err)]
    return Ran(code, *texts, cohorts, seconds, trace)


def _where(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


def _written(stream: io.TextIOWrapper) -> str:
    stream.flush()
    return stream.buffer.getvalue().decode("utf-8", "backslashreplace")  # type: ignore[attr-defined]


def faults(case: Case, ran: Ran, directory: Path) -> list[str]:
    """Say what is wrong with what a case did."""
    if ran.code is None:
        return [f"an exception, {ran.trace.strip().splitlines()[-1]}\n{ran.trace}"]
    wrong = []
    if ran.code not in DOCUMENTED:
        wrong.append(f"exit code {ran.code}")
    if "Traceback" in ran.err:
        wrong.append("a traceback")
    if ran.seconds > SLOW_SECONDS:
        wrong.append(f"it took {ran.seconds:.1f} s")
    written = directory / f"out.{case.form if case.command == 'markers' else 'toml'}"
    if ran.code == 0:
        wrong += [fault for cohort in ran.cohorts for fault in _faults_of_result(cohort)]
        if (
            case.command == "markers"
            and "--format" not in case.options
            and written.suffix == ".csv"
            and written.exists()
        ):
            wrong += _formulas(written)
    else:
        if not ran.err.startswith(("Error: ", "Usage: ")):
            wrong.append("standard error does not begin with the error")
        if written.exists():
            wrong.append("a file was left behind")
    told = ran.err + (ran.out if case.command == "check" else "")
    if frozenset(map(first_line, case.files.values())) <= case.headers:  # else a value may stand in a header
        said = "\n".join(
            [*case.options, *(case.files.get(path, b"").decode("utf-8", "replace") for path in [case.config or ""])]
        )
        wrong += [
            f"{canary} in a message"
            for canary in (CANARY_VALUE, CANARY_PERSON)
            if canary in told and canary not in said
        ]
    return wrong


def _faults_of_result(cohort: Normalised) -> Iterator[str]:
    ledger = cohort.ledger
    for name, counts in (*ledger.rows.items(), *ledger.values.items()):
        if counts["read"] != sum(counts[outcome] for outcome in OUTCOMES):
            yield f"the ledger of {name} does not add up"
    places = cohort.rejected.select("source_file", "source_row", "rule", "reason")
    if any(places.null_count().row(0)):
        yield "a rejected cell without file, line, rule or reason"
    for file, line, rule, _ in places.unique().rows():
        if file not in ledger.rows or line < 1 or RULES[rule].outcome != "rejected":
            yield f"a rejected cell of {file}, {line}, {rule}"
    visits = cohort.visits
    if visits["participant_id"].null_count():
        yield "a visit of nobody"
    numbers = visits.select(pl.selectors.float())
    if not all(column.drop_nulls().is_finite().all() for column in numbers):
        yield "a number of a visit is not finite"
    for analyte, counts in ledger.values.items():
        column = ANALYTES[analyte].column
        bounds = [name for name in (f"{column}_lower", f"{column}_upper") if name in visits.columns]
        there = visits.select(pl.any_horizontal(pl.col(column, *bounds).is_not_null()).sum()).item()
        if there != counts["used"] and ANALYTES[analyte].dimension != "measurement":
            yield f"{counts['used']} values of {analyte} are used, and {there} visits have one"
    dated = visits.filter(pl.col("years").is_not_null())
    if dated.select("participant_id", "years").is_duplicated().any():
        yield "two visits of one participant and time"


def _formulas(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    for cell in (cell for row in rows for cell in row):
        if cell.startswith(("=", "+", "-", "@", "\t", "\r")) and not re.fullmatch(
            r"[+-]?[\d.]+(e[+-]?\d+)?", cell, re.IGNORECASE
        ):
            yield "a written cell begins as a formula does"


# --- many cases ------------------------------------------------------------------------------------------------------


@dataclass
class Tally:
    """What became of many cases: how many ended with each code, and those that were wrong, as text."""

    codes: Counter[int | None] = field(default_factory=Counter)
    failures: dict[int, str] = field(default_factory=dict)
    seconds: float = 0.0
    slowest: tuple[float, int] = (0.0, -1)

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.codes + other.codes,
            self.failures | other.failures,
            self.seconds + other.seconds,
            max(self.slowest, other.slowest),
        )


def fuzz(seeds: Iterable[int], keep_going: bool = True) -> Tally:
    """Run the cases of these seeds."""
    cases, tally = corpus(), Tally()
    with tempfile.TemporaryDirectory(prefix="ircohort-fuzz-") as name:
        directory = Path(name).resolve()
        for seed in seeds:
            case, _ = case_of(seed, cases)
            ran = run(case, directory)
            wrong = faults(case, ran, directory)
            tally.codes[ran.code] += 1
            tally.seconds += ran.seconds
            tally.slowest = max(tally.slowest, (ran.seconds, seed))
            if wrong:
                tally.failures[seed] = report(seed, case, ran, wrong)
                if not keep_going:
                    break
    return tally


def report(seed: int, case: Case, ran: Ran, wrong: list[str]) -> str:
    """Lay out a failure for a reader."""
    lines = [
        f"seed {seed}: {'; '.join(wrong)[:3000]}",
        f"  replay: python tests/fuzzing.py --replay {seed}",
        f"  case: {case.name}",
        *(f"  mutation {entry[:300]}" for entry in case.log),
        f"  ircohort {' '.join(word[:80] for word in map(repr, case.arguments))}",
        f"  exit {ran.code}, {ran.seconds:.2f} s; standard error: {ran.err[-1500:] or '(empty)'}",
    ]
    return "\n".join(lines)


def replay(seed: int, keep: Path | None = None) -> str:
    """Run one seed again, with as few of its mutations as still go wrong in the same way."""
    cases = corpus()
    with tempfile.TemporaryDirectory(prefix="ircohort-fuzz-") as name:
        directory = (keep or Path(name)).resolve()
        directory.mkdir(parents=True, exist_ok=True)

        def attempt(only: list[int] | None) -> tuple[Case, Ran, list[str], int]:
            case, count = case_of(seed, cases, only)
            ran = run(case, directory)
            return case, ran, faults(case, ran, directory), count

        case, ran, wrong, count = attempt(None)
        kept = list(range(count))
        kind = ran.code
        for number in list(kept) if wrong else []:
            fewer = [other for other in kept if other != number]
            answer = attempt(fewer)
            if answer[2] and answer[1].code == kind:
                kept = fewer
        case, ran, wrong, _ = attempt(kept)
        if not wrong:
            return f"seed {seed}: nothing is wrong (exit {ran.code})\n" + report(seed, case, ran, ["as it should be"])
        return report(seed, case, ran, wrong)


def main() -> None:
    """Replay a seed, or run some."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replay", type=int, metavar="SEED")
    parser.add_argument("--keep", type=Path, metavar="DIRECTORY", help="where the files of a replayed case are left")
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    given = parser.parse_args()
    if given.replay is not None:
        print(replay(given.replay, given.keep))  # noqa: T201
        return
    tally = fuzz(range(given.seed, given.seed + given.cases))
    print("\n\n".join(tally.failures.values()))  # noqa: T201
    print(f"\n{tally.codes}, {len(tally.failures)} failures, {tally.seconds:.1f} s, slowest {tally.slowest}")  # noqa: T201
    sys.exit(bool(tally.failures))


if __name__ == "__main__":
    main()
