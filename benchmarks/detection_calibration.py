"""Are the probabilities of detection true? Stated against true shares, in every design, and in small cohorts.

    python benchmarks/detection_calibration.py pooled --work DIRECTORY [--minutes 60] [--only TEXT] [--tg-hdl]
        [--people 20000] [--refit-up-to 500000]
    python benchmarks/detection_calibration.py small --work DIRECTORY [--cohorts 200] [--judge-from 400] [--only TEXT]

``pooled`` takes cohorts, five at least, until 700 people have a probability of 0.8 or more, 500,000 people are judged,
or the minutes of a design are over. ``small`` takes cohorts of 100, 300 and 1,000 people. Run again, both go on where
they were. With ``--tg-hdl`` insulin is never measured: people are judged by TG:HDL, which must rise in a true window.
With a low ``--refit-up-to`` cohorts are judged as very large ones are.

*True* is the share of people whose noise-free course holds a hidden window within a series that was judged. A cell is
within its limit if stated and true differ by at most the limit and two Monte Carlo standard errors, clustered by
cohort (with fewer than five cohorts, of independent people). A cell of fewer than 200 people is not reachable.
"""

from __future__ import annotations

import sys

from detection_trials import (
    FEW_COHORTS,
    FLAG,
    SETTINGS,
    TRIALS,
    Cell,
    Job,
    Pool,
    Slopes,
    cell_of,
    chosen,
    judge,
    made_by,
    options,
    slopes_of,
)

# isort: split
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

LIMITS = (0.0, 0.5, 0.7, 0.8, 0.9, 0.95)
BINS = 10
WITHIN, WITHIN_SMALL = 0.03, 0.05
FLAGGED_ENOUGH, PEOPLE_ENOUGH = 700, 500_000
REACHABLE_FROM = 200
SIZES = (100, 300, 1000)


@dataclass
class Tally:
    """Counts over the cohorts so far, to know when there are enough."""

    flagged: int = 0
    people: int = 0
    cohorts: int = 0

    def enough(self, file: Path) -> bool:
        """Add a cohort, and say whether there are enough."""
        stated = pl.read_parquet(file, columns=["probability"])["probability"]
        self.flagged += int((stated >= FLAG).sum())
        self.people += stated.len()
        self.cohorts += 1
        enough = self.flagged >= FLAGGED_ENOUGH and self.cohorts >= FEW_COHORTS
        return enough or self.people >= PEOPLE_ENOUGH


@dataclass(frozen=True)
class Pooled:
    """The people of all cohorts who have a probability, and what is known of the cohorts."""

    stated: np.ndarray
    true: np.ndarray
    cohort: np.ndarray
    flagged: np.ndarray
    n_cohorts: int
    n_refused: int
    n_people: int
    n_true: int
    n_true_planned: int
    slope_sd: float | None
    seconds: float

    def cell(self, inside: np.ndarray) -> Cell:
        """Compare stated and true among some people."""
        return cell_of(self.stated[inside], self.true[inside], self.cohort[inside], self.n_cohorts)


def pool(files: list[Path]) -> Pooled:
    """Read the cohorts of a design."""
    tables = [pl.read_parquet(file) for file in files]
    columns = ("number", "probability", "hidden_window", "hidden_window_planned", "verdict")
    people = pl.concat([table.select(columns) for table in tables])
    seen = people.drop_nulls("probability")
    spreads = [table["slope_sd_pct"][0] for table in tables if table["slope_sd_pct"][0] is not None]
    return Pooled(
        stated=seen["probability"].to_numpy(),
        true=seen["hidden_window"].to_numpy(),
        cohort=seen["number"].to_numpy().astype(np.int64),
        flagged=(seen["verdict"] == "hidden_window").to_numpy(),
        n_cohorts=len(tables),
        n_refused=sum(table["probability"].null_count() == table.height for table in tables),
        n_people=people.height,
        n_true=int(people["hidden_window"].sum()),
        n_true_planned=int(people["hidden_window_planned"].sum()),
        slope_sd=float(np.mean(spreads)) if spreads else None,
        seconds=float(np.median([table["seconds"][0] for table in tables])),
    )


def verdict(cell: Cell, within: float) -> str:
    """Say whether a cell is within its limit."""
    if cell.n < REACHABLE_FROM:
        return "not reachable"
    beyond = abs(cell.difference) - within
    return "pass" if beyond <= 2 * cell.error else "**FAIL**"


def row(name: str, cell: Cell, within: float) -> str:
    """Give a cell as a line of a table."""
    numbers = f"{cell.stated:.3f} | {cell.true:.3f} | {cell.difference:+.3f} | {cell.error:.3f}" if cell.n else "| | |"
    return f"| {name} | {cell.n:,} | {numbers} | {verdict(cell, within)} |"


def tables_of(found: Pooled, within: float) -> list[str]:
    """Give the table of a design: ten bins, above the limits, and the flagged."""
    lines = ["| stated probability | n | stated | true | difference | SE | |", "| --- |" + " ---: |" * 5 + " --- |"]
    edges = np.linspace(0, 1, BINS + 1)
    which = np.minimum((found.stated * BINS + 1e-9).astype(int), BINS - 1)
    lines += [row(f"{edges[j]:.1f} to {edges[j + 1]:.1f}", found.cell(which == j), within) for j in range(BINS)]
    lines += [row(f"from {limit:g}" if limit else "all", found.cell(found.stated >= limit), within) for limit in LIMITS]
    return [*lines, row("flagged", found.cell(found.flagged), within)]


def failures(found: Pooled, within: float) -> int:
    """Count the cells beyond their limit."""
    return sum("FAIL" in line for line in tables_of(found, within))


def about(found: Pooled, slopes: Slopes) -> str:
    """Say what was simulated, and how hard the design is."""
    spread = "not given" if found.slope_sd is None else f"{found.slope_sd:.2f} %"
    return (
        f"Slope of the true log marker: SD {slopes.sd:.2f} % per year (as estimated by detection: {spread}); "
        f"reliability of one person's slope {slopes.reliability:.2f}. {found.n_people:,} people in "
        f"{found.n_cohorts:,} cohorts ({found.n_refused:,} refused), {found.stated.size:,} judged, "
        f"{int((found.stated >= FLAG).sum()):,} from "
        f"{FLAG:g}, {int(found.flagged.sum()):,} flagged. A window within a judged series: {found.n_true:,} people; "
        f"of insulin within the whole follow-up: {found.n_true_planned:,}. {found.seconds:.1f} s a cohort (median)."
    )


def pooled(given) -> int:
    """Print the tables of all designs; give the number of failures."""
    failed, settings = 0, replace(SETTINGS, refit_up_to=given.refit_up_to)
    with Pool(given.workers) as workers:
        for name in chosen(list(TRIALS), given.only):
            design = replace(TRIALS[name], n_participants=given.people)
            if given.tg_hdl:
                name, design = f"{name}, TG:HDL", replace(design, share_insulin_missing=1.0)
            most = -(-PEOPLE_ENOUGH // given.people)

            def make(number: int, name: str = name, design=design) -> Job:
                return Job(name, design, number, given.work, settings)

            files = workers.until(make, judge, Tally().enough, most, given.minutes)
            print(f"\n## {name}\n")
            if not files:
                print("Not measured: no cohort was judged in the time given.", flush=True)
                continue
            found = pool(files)
            failed += failures(found, WITHIN)
            print("\n".join([about(found, slopes_of(design)), "", *tables_of(found, WITHIN)]), flush=True)
    return failed


def small(given) -> int:
    """Print one line for each design and size of cohort; give the number of failures."""
    failed, settings = 0, replace(SETTINGS, judge_from=given.judge_from)
    head = " | ".join(f"from {limit:g}: n, stated / true" if limit else "all: n, stated / true" for limit in LIMITS)
    print(f"\n| design | people | cohorts | refused | {head} | beyond {WITHIN_SMALL} |")
    print("| --- |" + " ---: |" * (3 + len(LIMITS)) + " --- |")
    with Pool(given.workers) as workers:
        for name in chosen(list(TRIALS), given.only):
            for size in given.sizes:
                design = replace(TRIALS[name], n_participants=size)

                def make(number: int, name: str = name, design=design) -> Job:
                    return Job(name, design, number, given.work, settings)

                files = workers.until(make, judge, lambda _: False, given.cohorts, given.minutes)
                if not files:
                    print(f"| {name} | {size:,} | 0 |" + " |" * (2 + len(LIMITS)), flush=True)
                    continue
                found = pool(files)
                failed += failures(found, WITHIN_SMALL)
                print(small_row(name, size, found), flush=True)
    return failed


def small_row(name: str, size: int, found: Pooled) -> str:
    """Give the line of a design and size: cells in the large, and which of all cells are beyond the limit."""
    cells = [found.cell(found.stated >= limit) for limit in LIMITS]
    shown = [f"{cell.n:,}, {cell.stated:.2f} / {cell.true:.2f}" if cell.n else "0" for cell in cells]
    beyond = [line.split("|")[1].strip() for line in tables_of(found, WITHIN_SMALL) if "FAIL" in line]
    said = "**FAIL**: " + "; ".join(beyond) if beyond else "refused" if not found.stated.size else "none"
    refused = f"{found.n_refused / found.n_cohorts:.0%}"
    return f"| {name} | {size:,} | {found.n_cohorts} | {refused} | " + " | ".join(shown) + f" | {said} |"


def main() -> int:
    parser = options(__doc__)
    parser.add_argument("what", choices=("pooled", "small"))
    parser.add_argument("--people", type=int, default=20_000, help="people in a pooled cohort")
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), help="people in the small cohorts")
    parser.add_argument("--cohorts", type=int, default=200, help="small cohorts of each design and size")
    parser.add_argument(
        "--judge-from", type=int, default=SETTINGS.judge_from, help="people from which small cohorts are judged"
    )
    parser.add_argument(
        "--refit-up-to",
        type=int,
        default=SETTINGS.refit_up_to,
        help="people above which pooled cohorts are judged quickly",
    )
    parser.add_argument("--tg-hdl", action="store_true", help="pooled cohorts in which insulin is never measured")
    parser.add_argument("--minutes", type=float, default=60.0, help="for new cohorts of each design (and size)")
    given = parser.parse_args()
    titles = {"pooled": "# Stated against true probabilities", "small": "# The same in small cohorts"}
    print(f"{titles[given.what]}\n\n{made_by('detection_calibration.py')}")
    failed = pooled(given) if given.what == "pooled" else small(given)
    print(f"\n{failed} cells beyond their limit.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
