"""How often do 95 % intervals of a mixed model hold the truth? Simulated cohorts, small and unbalanced.

    python benchmarks/coverage.py                    # writes benchmarks/coverage.md; some minutes

Each cohort has people, visits and variances of its own. The truth is known: the coefficients, each person's own line,
and a reading that the fit has not seen.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS"):
    os.environ.setdefault(name, "1")  # the cohorts are small, and each worker has a core

import numpy as np  # noqa: E402
import polars as pl  # noqa: E402

FORMULA = "y ~ years * case + age + (1 + years | participant_id)"
TRUTH = {"Intercept": 1.0, "years": 0.03, "case": 0.15, "age": 0.01, "years:case": 0.04}
CONTRASTS = {
    "change of cases in 5 years": {"years": 5.0, "years:case": 5.0},
    "difference at 0 years": {"case": 1.0},
    "difference at 4 years": {"case": 1.0, "years:case": 4.0},
    "mean of cases at 8 years": {"Intercept": 1.0, "years": 8.0, "case": 1.0, "years:case": 8.0},
}
AHEAD = 2.0
"""Years after the last possible visit up to which personal predictions are asked for."""


@dataclass(frozen=True)
class Size:
    """How large the cohorts are: people, and visits a person, both drawn evenly between their ends."""

    people: tuple[int, int]
    visits: tuple[int, int]


SIZES = {
    "60 to 100 people, 4 to 8 visits": Size((60, 100), (4, 8)),
    "50 people, 1 to 5 visits": Size((50, 50), (1, 5)),
    "30 people, 3 to 6 visits": Size((30, 30), (3, 6)),
}
"""The first is what the promise is made for; the others show where it ends."""


@dataclass(frozen=True, eq=False)
class Cohort:
    """Visits, and the truth: rows ahead with the person's own line (``curve``) and a new ``reading``.

    ``newcomers`` and ``newcomers_ahead``: the same for people who are not in the fit, with one to three visits.
    """

    visits: pl.DataFrame
    ahead: pl.DataFrame
    newcomers: pl.DataFrame
    newcomers_ahead: pl.DataFrame


def simulate(size: Size, seed: int, number: int) -> Cohort:
    draw = np.random.default_rng([seed, number])
    people = int(draw.integers(size.people[0], size.people[1] + 1))
    sds = draw.uniform(0.3, 0.6), draw.uniform(0.04, 0.1)
    correlation, noise = draw.uniform(-0.5, 0.5), draw.uniform(0.2, 0.4)
    counts = draw.integers(size.visits[0], size.visits[1] + 1, people)
    new_counts = draw.integers(1, 4, 20)

    def tables(counts: np.ndarray, prefix: str) -> tuple[pl.DataFrame, pl.DataFrame]:
        n = len(counts)
        first, second = draw.normal(size=(2, n))
        level = sds[0] * first
        slope = sds[1] * (correlation * first + np.sqrt(1 - correlation**2) * second)
        case, age = draw.integers(0, 2, n), draw.uniform(-15, 15, n)

        def rows(person: np.ndarray, years: np.ndarray) -> pl.DataFrame:
            mean = TRUTH["Intercept"] + (TRUTH["years"] + TRUTH["years:case"] * case[person]) * years
            curve = mean + TRUTH["case"] * case[person] + TRUTH["age"] * age[person] + level[person]
            curve = curve + slope[person] * years
            return pl.DataFrame(
                {
                    "participant_id": [f"{prefix}{k:03d}" for k in person],
                    "years": years,
                    "case": case[person],
                    "age": age[person],
                    "curve": curve,
                    "y": curve + draw.normal(0, noise, len(person)),
                }
            )

        seen = np.repeat(np.arange(n), counts)
        ahead = np.repeat(np.arange(n), 3)
        return rows(seen, draw.uniform(0, 8, len(seen))), rows(ahead, draw.uniform(0, 8 + AHEAD, len(ahead)))

    return Cohort(*tables(counts, "p"), *tables(new_counts, "q"))


def judged(size: Size, seed: int, number: int) -> dict[str, tuple[int, int]]:
    """For each kind of interval: how many of how many held the truth."""
    from ircohort.lmm import fit
    from ircohort.lmm.inference.contrasts import contrasts
    from ircohort.lmm.prediction.predicting import predict

    made = simulate(size, seed, number)
    found = fit(FORMULA, made.visits.drop("curve"))
    held: dict[str, tuple[int, int]] = {"_at boundary": (int(found.at_boundary), 1)}
    held["_converged"] = (int(found.converged), 1)
    asked = {name: {name: 1.0} for name in TRUTH} | CONTRASTS
    for method in ("satterthwaite", "normal"):
        for row in contrasts(found, asked, freedom=method).iter_rows(named=True):
            truth = sum(weight * TRUTH[term] for term, weight in asked[row["contrast"]].items())
            kind = "contrast" if row["contrast"] in CONTRASTS else "fixed effect"
            held[f"{kind}: {row['contrast']}|{method}"] = (int(row["low"] <= truth <= row["high"]), 1)
    people = {
        "people of the fit": (made.ahead, None),
        "new people, 1 to 3 visits": (made.newcomers_ahead, made.newcomers.drop("curve")),
        "new people, no visit": (made.newcomers_ahead, None),
    }
    for whom, (rows, history) in people.items():
        for target, column in (("curve", "curve"), ("reading", "y")):
            answer = predict(found, rows, target=target, history=history)
            inside = (answer["low"] <= rows[column]) & (rows[column] <= answer["high"])
            held[f"{whom}: {'true curve' if target == 'curve' else 'new reading'}|prediction"] = (
                int(inside.sum()),
                len(inside),
            )
    return held


def every(cohorts: int, size: str, seed: int, workers: int) -> Iterator[dict[str, tuple[int, int]]]:
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from pool.map(
            judged, [SIZES[size]] * cohorts, [seed] * cohorts, range(cohorts), chunksize=max(cohorts // 50, 1)
        )


def section(size: str, results: list[dict[str, tuple[int, int]]]) -> list[str]:
    """Lay out the shares, and their Monte Carlo error between cohorts."""

    def share(key: str) -> tuple[float, float]:
        shares = np.array([of[key][0] / of[key][1] for of in results])
        return float(100 * shares.mean()), float(100 * shares.std(ddof=1) / np.sqrt(len(shares)))

    converged = sum(of["_converged"][0] for of in results)
    boundary = sum(of["_at boundary"][0] for of in results)
    lines = [
        f"## {size}",
        "",
        f"{len(results):,} cohorts; {converged:,} fits converged, {boundary:,} at the boundary (kept).",
        "",
        "| interval | Satterthwaite, % | normal, % | Monte Carlo error |",
        "| --- | --- | --- | --- |",
    ]
    for key in (key for key in results[0] if key.endswith("|satterthwaite")):
        name = key.split("|")[0]
        (ours, error), (normal, _) = share(key), share(f"{name}|normal")
        lines.append(f"| {name} | {ours:.1f} | {normal:.1f} | {error:.1f} |")
    lines += ["", "| personal prediction, averaged over people | % | Monte Carlo error |", "| --- | --- | --- |"]
    for key in (key for key in results[0] if key.endswith("|prediction")):
        ours, error = share(key)
        lines.append(f"| {key.split('|')[0]} | {ours:.1f} | {error:.2f} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cohorts", type=int, default=2_000)
    parser.add_argument("--sizes", nargs="*", default=list(SIZES), choices=list(SIZES))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(".md"))
    asked = parser.parse_args()
    pages = [section(size, list(every(asked.cohorts, size, asked.seed, asked.workers))) for size in asked.sizes]
    introduction = [
        "# Coverage of 95 % intervals",
        "",
        f"`{' '.join(['python benchmarks/coverage.py', *sys.argv[1:]])}`: `{FORMULA}`, REML. Visits at times drawn "
        "evenly over eight years; sd of levels 0.3 to 0.6, of slopes 0.04 to 0.1 a year, correlation -0.5 to 0.5, of "
        "readings 0.2 to 0.4, all drawn anew for each cohort. Predictions are asked for at three times a person, drawn "
        f"evenly from the first year to {AHEAD:.0f} beyond the eighth, for the person's true line and for a reading "
        "that the fit has not seen.",
    ]
    made_by = ", ".join(f"{name} {version(name)}" for name in ("ircohort", "numpy", "scipy", "polars"))
    last = [f"Made on {date.today().isoformat()}: Python {platform.python_version()}, {made_by}, {platform.machine()}."]
    text = "\n\n".join("\n".join(lines) for lines in [introduction, *pages, last]) + "\n"
    asked.output.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
