"""How well do the presets ``japan`` and ``us`` meet the published figures they were fitted to?

Made by ``python benchmarks/presets.py > benchmarks/presets.md``. ``python benchmarks/presets.py fit us`` and ``fit
japan`` print the parameters that fit best: least squares from the present ones, in units of the tolerances, with a seed
of its own.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
from scipy.optimize import least_squares

import ircohort as ic
from ircohort.analysis import versions
from ircohort.simulation import DESIGNS, Design, listed, simulate, with_values

SEED = 1
FIT_SEED = 2
MOST_STEPS = 12
AWAY_FROM_ZERO = 20.0  # steps for differences are shares of the parameter: none of them may be near zero
FARTHEST = 12.0  # moves, in steps


@dataclass(frozen=True)
class Figure:
    """A published figure beside the simulated one; ``tolerance`` None: shown, not judged."""

    name: str
    target: float
    reached: float
    tolerance: float | None

    @property
    def within(self) -> bool | None:
        return None if self.tolerance is None else abs(self.reached - self.target) <= self.tolerance


# -- us: NHANES 2017-18, fasting subsample, non-diabetic; mean and SD by sex and age ----------------------------------

Groups = dict[tuple[str, int], tuple[tuple[float, float | None], ...]]

US_GROUPS: Groups = {
    ("male", 20): ((100.2, 8.4), (2.13, 0.73), (4.63, 0.52), (49.5, 12.0), (28.4, 6.9), (6.09, 2.22)),
    ("male", 40): ((104.0, 8.3), (2.20, 0.69), (4.80, 0.58), (49.4, 12.3), (29.1, 5.7), (5.57, 1.71)),
    ("male", 60): ((108.0, 8.5), (2.37, 0.70), (4.72, 0.37), (52.4, 13.4), (28.8, 4.9), (5.71, 1.64)),
    ("female", 20): ((97.3, 8.4), (2.26, 0.70), (4.48, 0.49), (56.8, 15.4), (29.5, 8.4), (6.33, 2.53)),
    ("female", 40): ((100.5, 10.0), (2.09, 0.66), (4.63, 0.48), (60.7, 16.8), (29.1, 7.3), (6.23, 2.39)),
    ("female", 60): ((103.8, 9.8), (2.17, 0.57), (4.68, 0.39), (64.0, 16.5), (28.7, 6.2), (6.09, 1.81)),
}
US_COLUMNS = ("glucose", "ln_insulin", "ln_tg", "hdl", "bmi", "spise")
US_MEAN_TOLERANCE = {"glucose": 2.0, "bmi": 0.7, "spise": 0.4}
US_CORRELATIONS = {
    ("glucose", "ln_insulin"): 0.37,
    ("glucose", "ln_tg"): 0.18,
    ("glucose", "ln_hdl"): -0.14,
    ("glucose", "ln_bmi"): 0.23,
    ("ln_insulin", "ln_tg"): 0.33,
    ("ln_insulin", "ln_hdl"): -0.38,
    ("ln_insulin", "ln_bmi"): 0.62,
    ("ln_tg", "ln_hdl"): -0.49,
    ("ln_tg", "ln_bmi"): 0.25,
    ("ln_hdl", "ln_bmi"): -0.34,
    ("age", "glucose"): 0.29,
    ("age", "ln_insulin"): 0.00,
}
# The same people with a glucose below 100 mg/dL and an HbA1c below 5.7 %; less is published of them.
US_NORMAL_GROUPS: Groups = {
    ("male", 20): ((93.2, 5.4), (1.89, 0.70), (4.60, 0.52), (50.9, 11.9), (26.9, 6.1)),
    ("male", 40): ((94.8, 4.3), (1.74, 0.70), (4.54, 0.46), (52.1, None), (26.4, None)),
    ("male", 60): ((94.7, 3.9), (1.88, 0.69)),
    ("female", 20): ((92.5, 4.7), (2.05, 0.62), (4.38, 0.44), (59.8, 15.8), (28.1, 8.2)),
    ("female", 40): ((93.1, 4.5), (1.76, 0.62), (4.44, 0.44), (66.4, None), (26.2, None)),
    ("female", 60): ((93.7, 5.1), (1.81, 0.47)),
}
US_NORMAL_MEDIAN_INSULIN = 6.48
US_NORMAL_CORRELATIONS = {
    ("glucose", "ln_insulin"): 0.13,
    ("ln_insulin", "ln_tg"): 0.29,
    ("ln_insulin", "ln_hdl"): -0.37,
    ("ln_insulin", "ln_bmi"): 0.58,
}
SD_TOLERANCE, INSULIN_TOLERANCE, CORRELATION_TOLERANCE = 0.15, 0.15, 0.1


def read(design: Design, seed: int) -> pl.DataFrame:
    """Simulate, and name the columns."""
    simulated = simulate(design, seed=seed)
    named = {
        "Glucose (mg/dL)": "glucose",
        "Insulin (uIU/mL)": "insulin",
        "Triglycerides (mg/dL)": "tg",
        "HDL (mg/dL)": "hdl",
        "BMI (kg/m2)": "bmi",
    }
    spise = 600 * pl.col("hdl") ** 0.185 / (pl.col("tg") ** 0.2 * pl.col("bmi") ** 1.338)
    logs = [pl.col(name).cast(pl.Float64).log().alias(f"ln_{name}") for name in named.values()]
    return (
        simulated.labs.rename(named)
        .with_columns(simulated.truth_visits["years"])
        .with_columns(pl.col("glucose").cast(pl.Float64), spise.alias("spise"), *logs)
    )


def us_figures(design: Design, seed: int) -> list[Figure]:
    people = read(design, seed).filter(pl.col("glucose") < 126)
    return [*group_figures(people, US_GROUPS), *correlation_figures(people, US_CORRELATIONS)]


def us_normal_figures(design: Design, seed: int) -> list[Figure]:
    people = read(design, seed).filter(pl.col("glucose") < 100)
    published, reached = US_NORMAL_MEDIAN_INSULIN, float(np.median(people["insulin"].cast(pl.Float64).to_numpy()))
    return [
        *group_figures(people, US_NORMAL_GROUPS),
        Figure("everybody, insulin, median", published, reached, INSULIN_TOLERANCE * published),
        *correlation_figures(people, US_NORMAL_CORRELATIONS),
    ]


def group_figures(people: pl.DataFrame, groups: Groups) -> list[Figure]:
    """Set means and SDs by sex and age beside the published ones, as far as there are any."""
    found: list[Figure] = []
    for (sex, age), published in groups.items():
        last = 200 if age == 60 else age + 19
        group = people.filter((pl.col("sex") == sex) & pl.col("age").is_between(age, last))
        label = f"{'women' if sex == 'female' else 'men'} {age}{'+' if age == 60 else f'-{last}'}"
        for column, (mean, sd) in zip(US_COLUMNS, published, strict=False):
            values = group[column].to_numpy()
            if column == "ln_insulin":
                middle, level = float(np.exp(mean)), float(np.exp(values.mean()))
                found.append(Figure(f"{label}, insulin, geometric mean", middle, level, INSULIN_TOLERANCE * middle))
            else:
                reached = float(values.mean())
                found.append(Figure(f"{label}, {column}, mean", mean, reached, US_MEAN_TOLERANCE.get(column)))
            if sd is not None:
                found.append(Figure(f"{label}, {column}, SD", sd, float(values.std(ddof=1)), SD_TOLERANCE * sd))
    return found


def correlation_figures(people: pl.DataFrame, correlations: dict[tuple[str, str], float]) -> list[Figure]:
    """Set correlations beside the published ones."""
    return [
        Figure(f"correlation of {one} and {other}", target, correlation(people, one, other), CORRELATION_TOLERANCE)
        for (one, other), target in correlations.items()
    ]


def correlation(people: pl.DataFrame, one: str, other: str) -> float:
    return float(np.corrcoef(people[one].to_numpy(), people[other].to_numpy())[0, 1])


US_FREE = {
    **{
        f"population.{name}": step
        for name, step in {
            "bmi_median": 0.3,
            "bmi_log_sd": 0.01,
            "sensitivity_median": 0.03,
            "sensitivity_log_sd": 0.02,
            "set_point_mean": 0.5,
            "set_point_sd": 0.3,
            "set_point_by_sensitivity": 0.5,
            "triglycerides_log_level": 0.03,
            "triglycerides_log_slope": 0.03,
            "triglycerides_log_bmi": 0.05,
            "triglycerides_between_sd": 0.02,
            "hdl_log_level": 0.02,
            "hdl_log_slope": 0.02,
            "hdl_log_bmi": 0.03,
            "hdl_between_sd": 0.01,
            "lipids_correlation": 0.05,
            **{
                f"{name}.{part}": step * factor
                for name, step in {
                    "set_point": 0.5,
                    "bmi": 0.01,
                    "bmi_spread": 0.05,
                    "sensitivity": 0.04,
                    "triglycerides": 0.04,
                    "triglycerides_spread": 0.05,
                    "hdl": 0.02,
                }.items()
                for part, factor in {"women": 1.0, "per_year": 0.04, "per_year_women": 0.04}.items()
            },
        }.items()
    },
}
"""The parameters of ``us`` that are fitted, with a step for each."""


def fitted(start: Design, steps: dict[str, float], misfit: Callable[[Design], list[float]]) -> Design:
    """Fit parameters of a design by least squares, with common random numbers and a weak pull to where they were."""
    values = {parameter.name: parameter.value for parameter in listed(start)}

    def design_at(moves: np.ndarray) -> Design:
        moved = zip(steps.items(), moves - AWAY_FROM_ZERO, strict=True)
        return with_values(start, {name: values[name] + step * float(move) for (name, step), move in moved})

    found = least_squares(
        lambda moves: np.concatenate([misfit(design_at(moves)), 0.05 * (moves - AWAY_FROM_ZERO)]),
        np.full(len(steps), AWAY_FROM_ZERO),
        diff_step=0.5 / AWAY_FROM_ZERO,
        bounds=(AWAY_FROM_ZERO - FARTHEST, AWAY_FROM_ZERO + FARTHEST),
        max_nfev=MOST_STEPS,
    )
    return design_at(found.x)


def misfits(figures: list[Figure]) -> list[float]:
    # Means of lipids have no stated tolerance; a tenth keeps them from wandering.
    return [(each.reached - each.target) / (each.tolerance or 0.1 * abs(each.target)) for each in figures]


def fit_us() -> Design:
    start = replace(DESIGNS["us"], n_participants=12_000)
    return fitted(start, US_FREE, lambda design: misfits(us_figures(design, FIT_SEED)))


# -- japan: Sagesaka 2018, doi:10.1210/js.2018-00071; ten years before the event, future cases and others -------------

JAPAN_TARGETS = {
    ("diabetes", "glucose"): (101.5, 94.5),
    ("diabetes", "bmi"): (24.0, 22.7),
    ("diabetes", "spise"): (7.32, 8.34),
    ("prediabetes", "glucose"): (91.8, 89.6),
    ("prediabetes", "bmi"): (22.6, 22.1),
    ("prediabetes", "spise"): (8.44, 8.82),
}
JAPAN_TOLERANCE = {"glucose": 2.0, "bmi": 0.7, "spise": 0.4}
CUT_OFF = {"diabetes": 126, "prediabetes": 100}
JAPAN_CASES = {"diabetes": 1061, "prediabetes": 4781}
FOLLOW_UP_YEARS = 5.3
LAGS = 10


def aligned(visits: pl.DataFrame, event: str, readings: int) -> pl.DataFrame:
    """Align people without the event at their first visit: future cases at it, the others at their last visit."""
    high = pl.col("glucose") >= CUT_OFF[event]
    if readings == 2:
        high = high & high.shift(-1).over("participant_id").fill_null(False)
    number = pl.int_range(pl.len()).over("participant_id")
    found = visits.with_columns(high=high, prevalent=high.first().over("participant_id")).filter(~pl.col("prevalent"))
    found = found.with_columns(
        case=pl.col("high").any().over("participant_id"),
        zero=pl.when(pl.col("high").any().over("participant_id"))
        .then(pl.when(pl.col("high")).then(pl.col("years")).min().over("participant_id"))
        .otherwise(pl.col("years").max().over("participant_id")),
        number=number,
    )
    lag = (pl.col("zero") - pl.col("years")).round().cast(pl.Int64)
    return found.filter(pl.col("years") <= pl.col("zero")).with_columns(lag=lag).filter(pl.col("lag") <= LAGS)


def modelled(rows: pl.DataFrame, outcome: str) -> tuple[float, float]:
    """Give the means ten years before, cases and others, of a mixed model: group x lag, a random intercept."""
    lags = [(pl.col("lag") == lag).cast(pl.Float64).alias(f"lag_{lag}") for lag in range(1, LAGS + 1)]
    both = [
        ((pl.col("lag") == lag) & pl.col("case")).cast(pl.Float64).alias(f"case_{lag}") for lag in range(1, LAGS + 1)
    ]
    table = rows.with_columns(*lags, *both, pl.col("case").cast(pl.Float64))
    terms = ["case", *(f"lag_{lag}" for lag in range(1, LAGS + 1)), *(f"case_{lag}" for lag in range(1, LAGS + 1))]
    fitted = ic.fit(f"{outcome} ~ {' + '.join(terms)} + (1 | participant_id)", table)
    value = dict(fitted.fixed.select("term", "estimate").iter_rows())
    others = value["Intercept"] + value[f"lag_{LAGS}"]
    return others + value["case"] + value[f"case_{LAGS}"], others


def observed(rows: pl.DataFrame, outcome: str) -> tuple[float, float]:
    """Give the means of those seen ten years before, cases and others."""
    seen = rows.filter(pl.col("lag") == LAGS)
    cases, others = (seen.filter(pl.col("case") == case)[outcome].to_numpy() for case in (True, False))
    return float(cases.mean()), float(others.mean())


def japan_figures(visits: pl.DataFrame, readings: int, mean: Any) -> list[Figure]:
    found = []
    for event in CUT_OFF:
        rows = aligned(visits, event, readings)
        for outcome, tolerance in JAPAN_TOLERANCE.items():
            published = JAPAN_TARGETS[event, outcome]
            for who, target, reached in zip(("future cases", "others"), published, mean(rows, outcome), strict=True):
                found.append(Figure(f"{event}, {who}, {outcome}", target, reached, tolerance))
    return found


JAPAN_FREE = {
    "kappa_median": 0.0005,
    "kappa_log_sd": 0.05,
    "population.bmi_median": 0.1,
    "population.sensitivity_median": 0.03,
    "population.set_point_mean": 0.3,
    "population.set_point_sd": 0.25,
    "population.reserve_median": 0.1,
    "population.toxic_level_mean": 1.0,
    "population.triglycerides_log_level": 0.02,
}
"""The parameters of ``japan`` that are fitted, with a step for each."""


def fit_japan() -> Design:
    """Fit the means of the mixed model, by a first reading and by two alike: it is not known which was published.

    The number of cases with diabetes is drawn in with a low weight.
    """

    def misfit(design: Design) -> list[float]:
        visits = read(design, FIT_SEED)
        cases = aligned(visits, "diabetes", 1).filter("case")["participant_id"].n_unique()
        both = [figure for readings in (1, 2) for figure in japan_figures(visits, readings, modelled)]
        expected = JAPAN_CASES["diabetes"] * design.n_participants / DESIGNS["japan"].n_participants
        return [*misfits(both), 0.5 * float(np.log(cases / expected))]

    return fitted(replace(DESIGNS["japan"], n_participants=15_000), JAPAN_FREE, misfit)


# -- the page ----------------------------------------------------------------------------------------------------------


def table(figures: list[Figure]) -> str:
    rows = ["| figure | published | simulated | room | |", "| --- | --- | --- | --- | --- |"]
    words = {True: "within", False: "MISFIT", None: "not judged"}
    for each in figures:
        room = "" if each.tolerance is None else f"{each.tolerance:.3g}"
        rows.append(f"| {each.name} | {each.target:.4g} | {each.reached:.4g} | {room} | {words[each.within]} |")
    return "\n".join(rows)


def tally(figures: list[Figure]) -> str:
    judged = [each for each in figures if each.within is not None]
    out = [each.name for each in judged if not each.within]
    return f"{len(judged) - len(out)} of {len(judged)} within." + (f" Misfits: {'; '.join(out)}." if out else "")


COUNT_TOLERANCE, FOLLOW_UP_TOLERANCE = 0.15, 0.3


def japan_counts(visits: pl.DataFrame, readings: int) -> list[Figure]:
    found = []
    for event, published in JAPAN_CASES.items():
        cases = aligned(visits, event, readings).filter("case")["participant_id"].n_unique()
        found.append(Figure(f"people who come to {event}", published, cases, COUNT_TOLERANCE * published))
    last = visits.group_by("participant_id", maintain_order=True).agg(pl.col("years").max())["years"].to_numpy()
    return [*found, Figure("mean follow-up, years", FOLLOW_UP_YEARS, float(last.mean()), FOLLOW_UP_TOLERANCE)]


US_WORDS = """\
{people:,} people seen once, those with a glucose below 126 mg/dL. Published: weighted, HbA1c below 6.5 % too. Glucose
in mg/dL, insulin in uIU/mL; SDs hold the variation within people, as published. The medians of insulin by group are not
published here, their geometric means are. Age is uniform in the simulation, so that correlations over all ages weigh
the ages otherwise."""
US_NORMAL_WORDS = """\
The same, of those with a glucose below 100 mg/dL. These figures were not fitted to. Published is also an HbA1c below
5.7 %, which is not simulated. Lipids and BMI are published of people below 60 only."""
JAPAN_WORDS = """\
Ten years before the event; {people:,} people, two separate analyses of those without the event at the first visit. The
others are aligned at their last visit. This, the covariates, the random effects and whether an event was confirmed are
not known of the published analysis, which took HbA1c into account too. The means of the mixed model were fitted, by one
reading and by two alike. No room is stated for counts and follow-up; {count:.0%} and {years} years are taken here."""


def main() -> None:
    said = versions()
    made_by = ", ".join(f"{name} {said[name]}" for name in ("python", "ircohort", "polars"))
    us, japan = DESIGNS["us"], DESIGNS["japan"]
    print("# The presets beside what they were fitted to\n")
    print(f"`python benchmarks/presets.py`; {made_by}; {os.cpu_count()} cores; ", end="")
    print(f"seed {SEED} (fitted with seed {FIT_SEED}).\n\n## us: NHANES 2017-18, fasting subsample\n")
    figures = us_figures(us, SEED)
    print(f"{US_WORDS.format(people=us.n_participants)}\n\n{tally(figures)}\n\n{table(figures)}\n")
    normal = us_normal_figures(us, SEED)
    print(f"### Normal glucose\n\n{US_NORMAL_WORDS}\n\n{tally(normal)}\n\n{table(normal)}\n")
    visits = read(japan, SEED)
    print("## japan: Sagesaka 2018, doi:10.1210/js.2018-00071\n")
    print(JAPAN_WORDS.format(people=japan.n_participants, count=COUNT_TOLERANCE, years=FOLLOW_UP_TOLERANCE))
    for readings, words in ((1, "a first reading"), (2, "two readings in a row")):
        for mean, method in ((modelled, "a mixed model, group x year, random intercept"), (observed, "observed means")):
            figures = japan_figures(visits, readings, mean)
            print(f"\n### Event by {words}; {method}\n\n{tally(figures)}\n\n{table(figures)}")
        print(f"\n### Event by {words}; people\n\n{table(japan_counts(visits, readings))}")


def print_fit(name: str) -> None:
    free, fit = {"us": (US_FREE, fit_us), "japan": (JAPAN_FREE, fit_japan)}[name]
    for parameter in listed(fit()):
        if parameter.name in free:
            print(f"{parameter.name}={parameter.value:.4g}")


if __name__ == "__main__":
    print_fit(sys.argv[2]) if sys.argv[1:2] == ["fit"] else main()
