"""What docs/landmark.md says of the landmark analysis: the example, Cox regression beside it, and known truth.

    python benchmarks/landmark.py [--runs 1000]

The example is a simulated clinic. The same people are put to Cox regression (statsmodels), each event in the middle of
the interval in which it lies. How often 95 % intervals hold the true hazard ratio is counted in simulated trials, and
with flags drawn by lot in a clinic. Last, what it would cost to take people without an event for free of it up to their
last visit, which no later visit can confirm.
"""

from __future__ import annotations

import sys

from detection_trials import made_by

# isort: split
import argparse
import math
from dataclasses import replace

import numpy as np
import polars as pl
from numpy.typing import NDArray
from statsmodels.duration.hazard_regression import PHReg

from ircohort.detection import DetectSettings, detect
from ircohort.evaluation import visits_of
from ircohort.prognosis import LandmarkSettings, landmark
from ircohort.prognosis.models import MODELS, TERMS, bounds
from ircohort.prognosis.people import stand_at
from ircohort.prognosis.weibull import fit_weibull, profile_interval
from ircohort.simulation import DESIGNS, simulate
from ircohort.turnbull import event_free, turnbull

Floats = NDArray[np.float64]

CLINIC = replace(DESIGNS["clinic"], n_visits=16)
AT, SEED = 8.5, 14
COMPARED = ("probability", "flag", "probability_adjusted", "flag_adjusted")


def clinic(people: int, seed: int) -> pl.DataFrame:
    return visits_of(simulate(replace(CLINIC, n_participants=people), seed=seed), units=CLINIC.units)


def cox(people: pl.DataFrame, model: str) -> float:
    """Hazard ratio of the first term of a model, with each event in the middle of its interval."""
    low, high = bounds(people)
    event = np.isfinite(high)
    time = np.where(event, (low + np.where(event, high, low)) / 2, low)
    terms = people.select(TERMS[name].value.alias(name) for name in MODELS[model].terms).to_numpy().astype(float)
    # Newton's method, the default, does not arrive where few are flagged; the other asks for terms of one scale.
    fit = PHReg(time, terms / terms.std(axis=0), status=event.astype(int)).fit(method="bfgs", disp=0)
    return float(np.exp(fit.params[0] / terms[:, 0].std()))


def example() -> list[str]:
    found = landmark(clinic(1000, SEED), AT)
    people = found.people.filter((pl.col("standing") == "followed") & (pl.col("verdict") != "not_assessable"))
    lines = ["## A simulated clinic", "", f"1,000 people, 16 yearly visits, seed {SEED}, landmark at {AT} years.", ""]
    lines += [f"- {standing}: {n:,}" for standing, n in found.counts.items()]
    lines += ["", "| verdict | people | events |", "| --- | ---: | ---: |"]
    lines += [f"| {row['group']} | {row['n']} | {row['n_events']} |" for row in found.groups.iter_rows(named=True)]
    lines += ["", "| model | hazard ratio of | | 95 % interval | Cox |", "| --- | --- | ---: | ---: | ---: |"]
    first = found.coefficients.unique("model", keep="first", maintain_order=True)
    for name in COMPARED:
        row = first.row(by_predicate=pl.col("model") == name, named=True)
        span = f"{row['low']:.3g} to {row['high']:.3g}"
        lines.append(f"| {name} | {row['per']} | {row['hazard_ratio']:.4g} | {span} | {cox(people, name):.4g} |")
    lines += ["", "| model | concordance | 95 % interval |", "| --- | ---: | ---: |"]
    lines += [_ranked(row, row["model"], "concordance") for row in found.models.iter_rows(named=True)]
    lines += ["", "| difference | concordance | 95 % interval |", "| --- | ---: | ---: |"]
    names = found.differences.select(pl.format("{} and {}", "model", "against"), "difference", "low", "high")
    return [
        *lines,
        *(f"| {name} | {value:+.3f} | {low:+.3f} to {high:+.3f} |" for name, value, low, high in names.rows()),
    ]


def _ranked(row: dict[str, object], name: object, key: str) -> str:
    if row[key] is None:
        return f"| {name} | | |"
    return f"| {name} | {row[key]:.3f} | {row[f'{key}_low']:.3f} to {row[f'{key}_high']:.3f} |"


def simulated_trial(rng: np.random.Generator, n: int, hazard_ratio: float) -> tuple[Floats, Floats, Floats]:
    """Events between six yearly visits, each off by up to a fifth of a year, in ``n`` people, 30 % of them flagged."""
    flag = (rng.random(n) < 0.3).astype(float)
    event = rng.exponential(1 / (0.15 * hazard_ratio**flag))
    visits = np.cumsum(rng.uniform(0.8, 1.2, (n, 6)), axis=1)
    place = (visits < event[:, None]).sum(axis=1)
    edges = np.column_stack([np.zeros(n), visits, np.full(n, np.inf)])
    return edges[np.arange(n), place], edges[np.arange(n), place + 1], flag


def holds(low: Floats, high: Floats, flag: Floats, hazard_ratio: float) -> bool:
    X = flag[:, None]
    bottom, top = profile_interval(fit_weibull(low, high, X), low, high, X, 0)
    return bool(bottom <= math.log(hazard_ratio) <= top)


def coverage(runs: int) -> list[str]:
    lines = ["## How often 95 % intervals hold the true hazard ratio", "", "| trial | people | held | of |"]
    lines.append("| --- | ---: | ---: | ---: |")
    for ratio in (1.0, 2.0):
        rng = np.random.default_rng(8)
        held = sum(holds(*simulated_trial(rng, 150, ratio), ratio) for _ in range(runs))
        lines.append(f"| hazard ratio {ratio:g} | 150 | {held} | {runs:,} |")
    visits = clinic(600, 4)
    rules = LandmarkSettings(detection=DetectSettings(refits=0, recalibrate=False, noise_check=False))
    people = stand_at(visits, AT, detect(visits.filter(pl.col("years") <= AT), rules.detection, seed=4), rules)
    people = people.filter((pl.col("standing") == "followed") & (pl.col("verdict") != "not_assessable"))
    low, high = bounds(people)
    rng, lot = np.random.default_rng(5), np.arange(people.height) < people.height // 5
    held = sum(holds(low, high, rng.permutation(lot).astype(float), 1.0) for _ in range(runs))
    lines.append(
        f"| flags drawn by lot in a clinic, {np.isfinite(high).sum()} events | {people.height} | {held} | {runs:,} |"
    )
    return lines


def cut_short() -> list[str]:
    """Share free of the event three years after the landmark, followed to the end and cut short after four years."""
    rules = LandmarkSettings(detection=DetectSettings(refits=0, recalibrate=False, noise_check=False))
    visits, years = clinic(4000, SEED), np.array([3.0])
    detection = detect(visits.filter(pl.col("years") <= AT), rules.detection, seed=SEED)

    def free(until: float, to_last_visit: bool) -> float:
        seen = visits.filter(pl.col("years") <= until)
        people = stand_at(seen, AT, detection, rules).filter(standing="followed")
        low, high = bounds(people)
        if to_last_visit:
            last = seen.group_by("participant_id").agg((pl.col("years").max() - AT).alias("last"))
            known = people.join(last, on="participant_id", how="left", maintain_order="left")["last"].to_numpy()
            low = np.where(np.isfinite(high), low, known)
        return float(event_free(turnbull(low, high), years)[0])

    rows = {
        "to the end": free(np.inf, False),
        "cut short, free up to the last visit but one": free(AT + 4, False),
        "cut short, free up to the last visit": free(AT + 4, True),
    }
    lines = [
        "## Free of prediabetes three years after the landmark, 4,000 people",
        "",
        "| followed | % |",
        "| --- | ---: |",
    ]
    return lines + [f"| {name} | {100 * share:.1f} |" for name, share in rows.items()]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000, help="simulated trials of each kind")
    given = parser.parse_args()
    print(f"# The landmark analysis beside known truth\n\n{made_by('landmark.py')}")
    for part in (example(), coverage(given.runs), cut_short()):
        print("\n" + "\n".join(part), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
