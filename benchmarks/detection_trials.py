"""What the benchmarks of detection share: the designs, cohorts judged side by side and kept, and how tables are headed.

Every cohort is judged once and kept as a Parquet file, named by what made it, so that a run can be stopped and gone on
with. Which cohorts a table is made of depends on their numbers only, not on how many processes there were.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("POLARS_MAX_THREADS", "1")

import argparse
import multiprocessing
import platform
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, replace
from hashlib import shake_256
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ircohort.detection import DetectSettings, detect
from ircohort.detection.selection import select_series
from ircohort.evaluation import visits_of
from ircohort.evaluation.cohorts import cohort_seed, draw_cohort
from ircohort.simulation import DESIGNS, Design, simulate

Floats = NDArray[np.float64]

SEED = 5
MOST_WORKERS = 2

SCHEDULES = {
    "6 annual": {"n_visits": 6},
    "11 annual": {"n_visits": 11},
    "16 annual": {"n_visits": 16},
    "6 biennial": {"n_visits": 6, "years_between_visits": 2.0, "visit_jitter_years": 0.2},
    "irregular, 30 % of insulin missing": {
        "n_visits": 14,
        "years_between_visits": 0.75,
        "visit_jitter_years": 0.33,
        "share_visits_missed": 0.25,
        "share_insulin_missing": 0.3,
    },
}
POPULATIONS = {"at large": Design(), "clinic": DESIGNS["clinic"]}
TRIALS: dict[str, Design] = {
    f"{population}, {schedule}": replace(design, **changes)
    for population, design in POPULATIONS.items()
    for schedule, changes in SCHEDULES.items()
}

SETTINGS = DetectSettings(noise_check=False)

FLAG = SETTINGS.flag_from


def marker_of(design: Design) -> str:
    """Name the marker by which people of a design are judged."""
    return "tg_hdl" if design.share_insulin_missing == 1.0 else "insulin"


def options(about: str) -> argparse.ArgumentParser:
    """Give the options that all benchmarks have."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="directory of judged cohorts, to go on from")
    parser.add_argument("--only", default="", help="designs whose name holds this text")
    parser.add_argument("--workers", type=int, default=MOST_WORKERS, choices=range(1, MOST_WORKERS + 1))
    return parser


def made_by(script: str) -> str:
    """Say how a table was made: command, cores, versions."""
    words = ["DIRECTORY" if before == "--work" else word for before, word in pairwise(sys.argv)]
    command = " ".join([f"python benchmarks/{script}", *(f"'{word}'" if " " in word else word for word in words)])
    packages = ", ".join(f"{name} {version(name)}" for name in ("ircohort", "numpy", "polars", "scipy"))
    return (
        f"`{command}`, {os.cpu_count()} cores, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}, {packages}."
    )


@dataclass(frozen=True)
class Job:
    """One cohort to be judged: the design it comes from, by number, and where what was found is kept."""

    name: str
    design: Design
    number: int
    directory: Path
    settings: DetectSettings = SETTINGS

    @property
    def file(self) -> Path:
        """The file, named by all that makes the cohort."""
        made_of = shake_256(repr((self.design, self.settings, SEED)).encode()).hexdigest(6)
        words = "".join(letter if letter.isalnum() else "_" for letter in self.name)
        return self.directory / f"{words}.{self.design.n_participants}.{made_of}" / f"{self.number:05d}.parquet"

    @property
    def seed(self) -> int:
        """The seed of the cohort: no other design has it."""
        trial = shake_256(f"{self.name}:{self.design.n_participants}".encode()).digest(4)
        return cohort_seed(SEED, int.from_bytes(trial, "little") + self.number)


def judge(job: Job) -> Path:
    """Simulate, judge and keep one cohort: one row per person, with the truth of the series that were judged."""
    cohort = draw_cohort(job.design, seed=job.seed, pattern=None, settings=job.settings)
    begun = time.perf_counter()
    found = detect(cohort.visits, job.settings, seed=job.seed)
    seconds = time.perf_counter() - begun
    stated = found.participants.select("participant_id", "probability", "verdict", "marker")
    people = cohort.truth.select("participant_id", "hidden_window", "hidden_window_planned").join(
        stated, on="participant_id", how="left"
    )
    spread = found.population.filter(pl.col("marker") == marker_of(job.design)).row(0, named=True)
    facts = {
        "number": job.number,
        "seconds": seconds,
        "slope_sd_pct": spread["slope_sd_pct_per_year"],
        "identifiable": spread["identifiable"],
        "components": spread["components"],
    }
    keep(people.with_columns(pl.lit(value).alias(name) for name, value in facts.items()), job.file)
    return job.file


def keep(table: pl.DataFrame, file: Path) -> None:
    """Write a file whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_suffix(".unfinished")
    table.write_parquet(unfinished)
    unfinished.rename(file)


class Task(Protocol):
    """Work that is kept in a file."""

    @property
    def file(self) -> Path:
        """Where what was found is kept."""


AnyTask = TypeVar("AnyTask", bound=Task)


class Pool:
    """Processes that judge cohorts; each works on one core."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(workers, mp_context=context)

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def until(
        self,
        make: Callable[[int], AnyTask],
        work: Callable[[AnyTask], Path],
        enough: Callable[[Path], bool],
        most: int,
        minutes: float,
    ) -> list[Path]:
        """Judge cohorts 0, 1, ... until what is kept is enough, there are ``most``, or the time is over.

        ``enough`` is told of each file in the order of the cohorts. Returned are the files it was told of.
        """
        deadline, told, begun = time.monotonic() + 60 * minutes, [], 0
        running: dict[Future[Path], int] = {}
        done: dict[int, Path] = {}
        while len(told) < most:
            while begun < most and len(running) < self.workers and begun < len(told) + 2 * self.workers:
                job = make(begun)
                if job.file.exists():
                    done[begun] = job.file
                elif time.monotonic() < deadline:
                    running[self._pool.submit(work, job)] = begun
                else:
                    break
                begun += 1
            if running and len(told) not in done:
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    done[running.pop(future)] = future.result()
            if len(told) not in done:
                if not running and begun == len(told):
                    break  # out of time
                continue
            told.append(done.pop(len(told)))
            if enough(told[-1]):
                break
        return told


@dataclass(frozen=True)
class Slopes:
    """How true slopes of the log marker differ, % per year, and the reliability of one person's slope.

    Of the visits that enter detection and have the marker, in people with three or more.
    """

    sd: float
    reliability: float


def slopes_of(design: Design, people: int = 3000) -> Slopes:
    """Measure the slopes of a design, on people of their own."""
    simulated = simulate(replace(design, n_participants=people), seed=SEED)
    marker = marker_of(design)
    entered = select_series(visits_of(simulated, units=design.units), DetectSettings()).readings.drop_nulls(marker)
    value = {"insulin": pl.col("insulin_uiu_ml"), "tg_hdl": pl.col("triglycerides_mg_dl") / pl.col("hdl_mg_dl")}[marker]
    variance = {
        "insulin": design.insulin_log_sd**2,
        "tg_hdl": design.triglycerides_log_sd**2 + design.hdl_log_sd**2,
    }[marker]
    true = simulated.truth_visits.select("participant_id", "years", value.log().alias("true"))
    seen = entered.join(true, on=["participant_id", "years"], maintain_order="left").filter(
        pl.len().over("participant_id") >= 3
    )
    centred = pl.col("years") - pl.col("years").mean()
    slopes = seen.group_by("participant_id", maintain_order=True).agg(
        ((centred * pl.col("true")).sum() / centred.pow(2).sum()).alias("slope"), centred.pow(2).sum().alias("sxx")
    )
    sd = float(slopes["slope"].std())
    noise = float((variance / slopes["sxx"]).mean())
    return Slopes(100 * sd, sd**2 / (sd**2 + noise))


@dataclass(frozen=True)
class Cell:
    """Stated against true among ``n`` people, in cohorts: means, and the standard error of their difference."""

    n: int
    stated: float
    true: float
    error: float

    @property
    def difference(self) -> float:
        """True less stated: below zero is over-confident."""
        return self.true - self.stated


FEW_COHORTS = 5
"""With fewer cohorts the standard error takes people as independent."""


def cell_of(stated: Floats, true: NDArray[np.bool_], cohort: NDArray[np.int64], n_cohorts: int) -> Cell:
    """Compare stated and true in a cell; the standard error is clustered by cohort."""
    n = stated.size
    if not n:
        return Cell(0, np.nan, np.nan, np.nan)
    apart = true - stated
    if n_cohorts < FEW_COHORTS:
        return Cell(n, float(stated.mean()), float(true.mean()), float(np.sqrt(np.sum(stated * (1 - stated))) / n))
    sums = np.bincount(cohort, apart - apart.mean(), n_cohorts)
    error = np.sqrt(n_cohorts / (n_cohorts - 1) * np.sum(sums**2)) / n
    return Cell(n, float(stated.mean()), float(true.mean()), float(error))


def chosen(names: Sequence[str], only: str) -> list[str]:
    """Keep the names that hold a text."""
    return [name for name in names if only in name]
