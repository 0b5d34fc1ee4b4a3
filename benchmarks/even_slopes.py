"""What is stated where slopes of insulin spread evenly upwards and downwards, as the simulator's do not.

    python benchmarks/even_slopes.py --work DIRECTORY [--cohorts 40] > benchmarks/even_slopes.md

Slopes of log insulin are normal around a small rise; courses are straight, glucose hardly moves, readings vary as
usual. True is the share of people whose noise-free course holds a hidden window up to their last visit used.
"""

from __future__ import annotations

from detection_trials import SETTINGS, Pool, keep, made_by, options

# isort: split
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from detection_calibration import pool, tables_of
from numpy.typing import NDArray

from ircohort.detection import detect
from ircohort.estimand import find_windows

Floats = NDArray[np.float64]

WITHIN = 0.05
INSULIN_LOG_SD, GLUCOSE_LOG_SD, TG_HDL_LOG_SD = 0.26, 0.05, 0.22
GRID = 4  # times a year at which true courses are searched


@dataclass(frozen=True)
class Even:
    """Cohorts of ``people`` with ``visits`` a year apart, whose slopes have an SD of ``slope_sd`` a year."""

    people: int
    visits: int
    slope_sd: float

    def __str__(self) -> str:
        return f"{self.people:,} people, {self.visits} annual visits, slopes with an SD of {100 * self.slope_sd:.1f} %"


DESIGNS = (Even(500, 16, 0.018), Even(1000, 11, 0.022), Even(1000, 16, 0.018), Even(20_000, 6, 0.022))
PEOPLE = 80_000  # at most, of a design


@dataclass(frozen=True)
class EvenJob:
    """One cohort to be judged, and where what was found is kept."""

    design: Even
    number: int
    directory: Path

    @property
    def file(self) -> Path:
        """The file, named by what makes the cohort."""
        made_of = f"even.{self.design.people}.{self.design.visits}.{1000 * self.design.slope_sd:.0f}"
        return self.directory / made_of / f"{self.number:05d}.parquet"


def courses(design: Even, rng: np.random.Generator, years: Floats) -> tuple[Floats, Floats, Floats]:
    """Log insulin, log glucose and log TG:HDL (people, times) without noise; drawn anew by the same generator state."""
    level, slope, glucose, drift, ratio, climb = rng.standard_normal((6, design.people, 1))
    return (
        np.log(7.0) + 0.45 * level + (0.012 + design.slope_sd * slope) * years,
        np.log(91.0) + 0.045 * glucose + 0.015 * level + (0.002 + 0.001 * slope + 0.003 * drift) * years,
        np.log(1.8) + 0.5 * ratio + (0.008 + 0.012 * climb) * years,
    )


def judge_even(job: EvenJob) -> Path:
    """Draw, judge and keep one cohort."""
    design = job.design
    seed = [design.people, design.visits, job.number]
    visits, grid = np.arange(float(design.visits)), np.arange(GRID * (design.visits - 1) + 1) / GRID
    noise = np.random.default_rng([*seed, 1]).standard_normal((3, design.people, design.visits))
    read = courses(design, np.random.default_rng(seed), visits)
    scatter = (INSULIN_LOG_SD, GLUCOSE_LOG_SD, TG_HDL_LOG_SD)
    values = [np.exp(true + sd * own).ravel() for true, sd, own in zip(read, scatter, noise, strict=True)]
    names = [f"{i:05d}" for i in range(design.people)]
    table = pl.DataFrame(
        {
            "participant_id": np.repeat(names, design.visits),
            "years": np.tile(visits, design.people),
            **dict(zip(("insulin_uiu_ml", "glucose_mg_dl", "tg_hdl_mg"), values, strict=True)),
        }
    )
    found = detect(table, SETTINGS, seed=job.number).participants.sort("participant_id")
    insulin, glucose, _ = courses(design, np.random.default_rng(seed), grid)
    present = np.zeros(design.people, dtype=bool)
    used = found["span_years"].fill_null(0.0).to_numpy()
    for span in np.unique(used):
        rows, seen = used == span, grid <= span + 1e-9
        if span > 0:
            present[rows] = find_windows(grid[seen], insulin[rows][:, seen], np.exp(glucose[rows][:, seen])).present
    facts = {
        "hidden_window": present,
        "hidden_window_planned": present,
        "number": np.full(design.people, job.number, dtype=np.int32),
        "seconds": np.zeros(design.people),
        "slope_sd_pct": np.zeros(design.people),
    }
    keep(found.select("probability", "verdict").with_columns(pl.Series(k, v) for k, v in facts.items()), job.file)
    return job.file


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--cohorts", type=int, default=40)
    given = parser.parse_args()
    print(f"# Slopes that spread evenly\n\n{made_by('even_slopes.py')}")
    with Pool(given.workers) as workers:
        for design in (one for one in DESIGNS if given.only in str(one)):

            def make(number: int, design: Even = design) -> EvenJob:
                return EvenJob(design, number, given.work)

            most = min(given.cohorts, PEOPLE // design.people)
            files = workers.until(make, judge_even, lambda _: False, most, 60.0)
            found = pool(files)
            print(f"\n## {design}\n\n{found.n_cohorts} cohorts, {found.n_refused} refused.\n", flush=True)
            print("\n".join(tables_of(found, WITHIN)), flush=True)


if __name__ == "__main__":
    main()
