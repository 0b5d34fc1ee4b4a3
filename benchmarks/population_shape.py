"""Can readings tell in what shape courses spread? The population of detection beside one learned from clear readings.

    python benchmarks/population_shape.py [--people 8000] [--seeds 3] > benchmarks/population_shape.md

The same simulated people are read twice: as laboratories read them, and with insulin that varies by 8 % only. Three
populations then judge the ordinary readings: the one that detection would learn from 4,000 series; the one learned from
the clear readings of the same, with the residuals of the ordinary ones; and that one after it has climbed on the
ordinary readings. Beside what they make of the ordinary readings of these 4,000 (log likelihood) stand the stated and
the true share of all people with a hidden window.
"""

from __future__ import annotations

from detection_trials import TRIALS, made_by

# isort: split
import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ircohort.detection import DetectSettings
from ircohort.detection.climbing import climb
from ircohort.detection.cohort import GROW_FROM, Cohort, evenly, fit_cohort
from ircohort.detection.growth import grow, pull_of, single
from ircohort.detection.judging import Drawn, window_draws
from ircohort.detection.population import Population, expect, residual_covariance
from ircohort.detection.posterior import draw_courses, make_noise
from ircohort.detection.selection import Series, select_series
from ircohort.detection.sums import Sums, make_sums
from ircohort.evaluation.cohorts import draw_cohort
from ircohort.simulation import Design

Floats = NDArray[np.float64]

NAMES = ("clinic, 11 annual", "clinic, 16 annual")
CLEAR_LOG_SD = 0.08
SETTINGS = DetectSettings(noise_check=False, refits=0, learn_up_to=GROW_FROM, refit_up_to=0, recalibrate=False)
DRAWS = 128
RESIDUAL_STEPS = 15
CYCLES = 60
LOW, HIGH = 0.3, 0.7


@dataclass(frozen=True)
class Trial:
    """A cohort read twice: its series, the model of the ordinary readings, and the sums of the clear ones."""

    series: Series
    cohort: Cohort
    clear: Sums
    truth: pl.DataFrame

    @property
    def part(self) -> NDArray[np.intp]:
        """The series that set the population, as detection takes them of cohorts beyond ``refit_up_to``."""
        return evenly(self.cohort.sums, GROW_FROM)


def trial_of(design: Design, seed: int) -> Trial:
    """Read the people of a design twice."""
    cohorts = [
        draw_cohort(replace(design, insulin_log_sd=sd), seed=seed, pattern=None, settings=SETTINGS)
        for sd in (design.insulin_log_sd, CLEAR_LOG_SD)
    ]
    series = [select_series(cohort.visits, SETTINGS) for cohort in cohorts]
    ordinary, clear = (fit_cohort(each, SETTINGS, seed) for each in series)
    if ordinary is None or clear is None or not ordinary.keys.equals(clear.keys):
        raise SystemExit("The two readings are not of the same series.")
    sums = make_sums(clear.readings, clear.keys.height, ordinary.axes)
    return Trial(series[0], ordinary, sums, cohorts[0].truth)


def everyone_of(design: Design, seed: int) -> Sums:
    """Draw a cohort of a design, and give the sums over each person's visits from which populations are learned."""
    visits = draw_cohort(design, seed=seed, pattern=None, settings=SETTINGS).visits
    cohort = fit_cohort(select_series(visits, SETTINGS), SETTINGS, seed)
    if cohort is None:
        raise SystemExit("No model can be fitted.")
    return cohort.sums


def populations_of(trial: Trial, seed: int) -> Iterator[tuple[str, Population]]:
    """Give the three populations, by name."""
    ordinary, clear = trial.cohort.sums.take(trial.part), trial.clear.take(trial.part)
    own = trial.cohort.populations[0]
    yield "learned from the ordinary readings", own
    learned = reread(grow(single(clear), clear, seed)[0], own, ordinary)
    yield "learned from clear readings", learned
    yield "the same, climbed on", climb(learned, ordinary, CYCLES, pull=pull_of(single(ordinary)))


def reread(learned: Population, own: Population, ordinary: Sums) -> Population:
    """Give a population the residuals of the ordinary readings, from those of ``own`` on."""
    learned = replace(learned, residual=own.residual)
    for _ in range(RESIDUAL_STEPS):
        found = expect(learned, ordinary, np.ones(ordinary.n))
        learned = replace(learned, residual=residual_covariance(found, ordinary.seen, learned.residual))
    return learned


def stated_by(populations: tuple[Population, ...], trial: Trial) -> pl.DataFrame:
    """State each judged person's probability of a window; series are joined as independent."""
    judged = trial.series.segments.filter(pl.col("obstacle").is_null() & (pl.col("marker") == "insulin"))
    places = trial.cohort.keys.with_row_index("place")
    judged = judged.join(places, on=["participant_id", "segment"], how="inner", maintain_order="left")
    sums = trial.cohort.sums.take(judged["place"].to_numpy())
    follow_up = (judged["last"] - judged["first"]).to_numpy()
    noise = make_noise(sums.axes.size, DRAWS, 0)
    share = [
        window_draws(
            Drawn(sums.axes, draw_courses(populations, block, noise), follow_up[place]),
            "insulin",
            SETTINGS.definition,
        ).mean(axis=1)
        for place, block in sums.blocks
    ]
    none = judged.with_columns(none=pl.Series(1 - np.concatenate(share)))
    people = none.group_by("participant_id", maintain_order=True).agg((1 - pl.col("none").product()).alias("stated"))
    return people.join(trial.truth.select("participant_id", "hidden_window"), on="participant_id")


def lines_of(name: str, design: Design, seed: int) -> Iterator[str]:
    """Write a row of the table for each population."""
    trial = trial_of(design, seed)
    ordinary = trial.cohort.sums.take(trial.part)
    base = None
    for label, population in populations_of(trial, seed):
        height = expect(population, ordinary, np.ones(ordinary.n)).log_likelihood
        base = height if base is None else base
        people = stated_by((population,), trial)
        middle = people.filter(pl.col("stated").is_between(LOW, HIGH))
        means = [table[column].mean() for table in (people, middle) for column in ("stated", "hidden_window")]
        stated, true, stated_middle, true_middle = means
        yield (
            f"| {name} | {seed} | {label} | {population.components} | {population.n_parameters} | {height - base:+.0f} "
            f"| {stated:.3f} | {true:.3f} | {middle.height:,} | {stated_middle:.3f} | {true_middle:.3f} |"
        )


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=8000)
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    print("# What readings say of the shape in which courses spread\n")
    print(made_by("population_shape.py"), f"{given.people:,} people in a cohort.\n")
    print(
        "| design | seed | population | components | parameters | log likelihood beside the first "
        f"| stated | true | people from {LOW} to {HIGH} | stated there | true there |\n"
        "| --- | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    )
    for name in NAMES:
        for seed in range(given.seeds):
            for line in lines_of(name, replace(TRIALS[name], n_participants=given.people), seed):
                print(line, flush=True)
    print(
        "\nLearned from the readings it is then judged by, a population has on average a log likelihood higher than "
        "that of the truth by half of its number of parameters."
    )


if __name__ == "__main__":
    main()
