"""Measure detection against simulated truth, and print the tables of docs/detection.md.

    python benchmarks/detection_calibration.py [--cohorts 10] [--only NAME] [--settings refits=0]

Every row pools simulated cohorts. Stated and observed are the mean probability of the people at or above a limit, and
the share of them whose noise-free course holds a hidden window.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from scipy.stats import rankdata

from ircohort.detection import DetectSettings, detect
from ircohort.evaluation import visits_of
from ircohort.simulation import DESIGNS, Design, simulate

LIMITS = (0.5, 0.7, 0.8, 0.9)


@dataclass(frozen=True)
class Trial:
    """A design, how its visits are spoilt before detection, and how many cohorts of it are pooled at most."""

    design: Design
    permuted: bool = False
    half_life_years: float | None = None
    cohorts: int = 1000


def _clinic(**changes: float) -> Design:
    return replace(DESIGNS["clinic"], **changes)


TRIALS = {
    "clinic, 500 people, 12 annual": Trial(_clinic()),
    "clinic, 500 people, 6 annual": Trial(_clinic(n_visits=6)),
    "clinic, 100 people, 12 annual": Trial(_clinic(n_participants=100)),
    "clinic, 300 people, 12 annual": Trial(_clinic(n_participants=300)),
    "clinic, 100 people, 6 annual": Trial(_clinic(n_participants=100, n_visits=6)),
    "clinic, 300 people, 6 annual": Trial(_clinic(n_participants=300, n_visits=6)),
    "clinic, 3,000 people, 12 annual": Trial(_clinic(n_participants=3000), cohorts=3),
    "population, 500 people, 12 annual": Trial(DESIGNS["population"]),
    "population, 3,000 people, 12 annual": Trial(replace(DESIGNS["population"], n_participants=3000), cohorts=3),
    "clinic, 500, 12 annual, visits permuted": Trial(_clinic(), permuted=True),
    "no loss of sensitivity, 500, 12 annual": Trial(_clinic(kappa_median=0.0)),
    "clinic, 500, 12 annual, serial correlation": Trial(_clinic(), half_life_years=1.0),
}


def permute(visits: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Deal each participant's readings out to that participant's visits at random."""
    rng = np.random.default_rng(seed)
    order = visits.with_columns(pl.Series("shuffle", rng.random(visits.height))).sort("participant_id", "shuffle")
    times = visits.sort("participant_id", "years")["years"]
    return order.with_columns(times.alias("years")).drop("shuffle").sort("participant_id", "years")


def correlate(visits: pl.DataFrame, half_life: float, log_sd: float, seed: int) -> pl.DataFrame:
    """Add to log insulin a wandering of as much variance as a reading has, whose memory fades by the half-life."""
    rng = np.random.default_rng(seed)
    ordered = visits.sort("participant_id", "years")
    gaps = ordered["years"].diff().fill_null(0.0).to_numpy()
    begins = (ordered["participant_id"] != ordered["participant_id"].shift(1)).fill_null(True).to_numpy()
    kept = np.where(begins, 0.0, 0.5 ** (gaps / half_life))
    noise, drift = rng.normal(0, log_sd, ordered.height), np.zeros(ordered.height)
    for i in range(ordered.height):
        drift[i] = kept[i] * drift[i - 1] + np.sqrt(1 - kept[i] ** 2) * noise[i]
    return ordered.with_columns(pl.col("insulin_uiu_ml") * pl.Series(np.exp(drift)))


def judge(trial: Trial, settings: DetectSettings, seed: int) -> tuple[pl.DataFrame, pl.DataFrame, int, float]:
    """Simulate and judge one cohort: people with truth, population, flags, seconds."""
    simulated = simulate(trial.design, seed=seed)
    visits = visits_of(simulated, units=trial.design.units)
    if trial.permuted:
        visits = permute(visits, seed)
    if trial.half_life_years is not None:
        visits = correlate(visits, trial.half_life_years, trial.design.insulin_log_sd, seed)
    begun = time.perf_counter()
    found = detect(visits, settings, seed=seed)
    seconds = time.perf_counter() - begun
    truth = simulated.truth.select("participant_id", "hidden_window")
    people = found.participants.select("participant_id", "probability", "verdict")
    return people.join(truth, on="participant_id"), found.population, found.n_flagged, seconds


def area_under_curve(probability: np.ndarray, truth: np.ndarray) -> float:
    """Probability that a person with a window is ranked above one without."""
    if truth.all() or not truth.any():
        return float("nan")
    ranks = rankdata(probability)
    return float((ranks[truth].mean() - (truth.sum() + 1) / 2) / (~truth).sum())


def row(name: str, trial: Trial, settings: DetectSettings, cohorts: int) -> str:
    """One line of the table."""
    judged = [judge(trial, settings, 1000 + seed) for seed in range(min(cohorts, trial.cohorts))]
    people = pl.concat([part[0] for part in judged])
    seen = people.drop_nulls("probability")
    probability, truth = seen["probability"].to_numpy(), seen["hidden_window"].to_numpy()
    insulin = pl.concat([part[1].filter(pl.col("marker") == "insulin") for part in judged])
    spread = insulin["slope_sd_pct_per_year"].mean()
    flags = sorted(part[2] for part in judged)
    refused = sum(not part[0]["probability"].count() for part in judged)
    cells = []
    for limit in LIMITS:
        above = probability >= limit
        pair = f"{probability[above].mean():.2f} / {truth[above].mean():.2f} ({above.sum()})" if above.any() else "-"
        cells.append(pair)
    middle = float(np.median([part[3] for part in judged]))
    return " | ".join(
        [
            f"| {name}",
            f"{len(judged)} ({refused})",
            "-" if spread is None else f"{spread:.1f}",
            f"{truth.mean():.2f} / {probability.mean():.2f}" if len(seen) else "-",
            f"{area_under_curve(probability, truth):.2f}" if len(seen) else "-",
            *cells,
            f"{flags[0]}, {flags[len(flags) // 2]}, {flags[-1]}",
            f"{middle:.1f} |",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cohorts", type=int, default=10)
    parser.add_argument("--only", default="", help="trials whose name holds this text")
    parser.add_argument("--settings", nargs="*", default=[], help="settings of whole numbers, such as refits=0")
    given = parser.parse_args()
    settings = DetectSettings(**{key: int(value) for key, value in (pair.split("=") for pair in given.settings)})
    limits = " | ".join(f"from {limit:g}: stated / observed (n)" for limit in LIMITS)
    print(
        f"| design | cohorts (refused) | slope SD, % per year | true share / mean probability | AUC | {limits} "
        "| flagged: least, median, most | seconds |"
    )
    print("|" + " --- |" * (7 + len(LIMITS)))
    for name, trial in TRIALS.items():
        if given.only in name:
            print(row(name, trial, settings, given.cohorts), flush=True)


if __name__ == "__main__":
    main()
