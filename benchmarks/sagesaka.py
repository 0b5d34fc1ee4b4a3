"""The yearly models after Sagesaka 2018 on a simulated cohort of its size, with a thousand refits each.

Made by ``python benchmarks/sagesaka.py > benchmarks/sagesaka.md``. The cohort is the preset ``japan``: 27,392 people,
5.3 years of follow-up on average. Events are single readings and the models have no covariates, as the preset was
fitted; what the published analysis did is not known.
"""

from __future__ import annotations

import os
import platform
import time
from importlib.metadata import version

import polars as pl

import ircohort as ic
from ircohort.evaluation import visits_of
from ircohort.trajectory import EventRule
from ircohort.trajectory.published import targets
from ircohort.trajectory.specifications import resample_curves

SEED = 1
REFITS = 1000
YEARS = -10.0
OUTCOMES = {"glucose_mg_dl": 2.0, "bmi": 0.7, "spise": 0.4}
MOST_MINUTES = 10.0


def main() -> None:
    design = ic.DESIGNS["japan"]
    visits = ic.markers(visits_of(ic.simulate(design, seed=SEED), units=design.units))
    follow_up = visits.group_by("participant_id").agg(pl.col("years").max())["years"].mean()
    rows, models = [], []
    begun = time.perf_counter()
    for event in ("prediabetes", "diabetes"):
        aligned = ic.align(visits, rule=EventRule(to=event, by="glucose", dated="single"))
        for outcome, room in OUTCOMES.items():
            started = time.perf_counter()
            found = ic.fit_specification(aligned, outcome, "sagesaka", covariates=(), own_terms=(), simultaneous=False)
            curves = resample_curves(found, n_refits=REFITS, seed=SEED)
            models.append((event, outcome, found.fit.participants, found.fit.visits, time.perf_counter() - started))
            rows += beside(event, outcome, room, curves)
    minutes = (time.perf_counter() - begun) / 60
    packages = ", ".join(f"{name} {version(name)}" for name in ("ircohort", "numpy", "polars", "scipy"))
    print("# Yearly models after Sagesaka 2018\n")
    print(
        f"`python benchmarks/sagesaka.py`, {os.cpu_count()} cores, {platform.system()} {platform.machine()}, ", end=""
    )
    print(f"Python {platform.python_version()}, {packages}; seed {SEED}.\n")
    print(f"{design.n_participants:,} people, {visits.height:,} visits, {follow_up:.1f} years of follow-up on average.")
    verdict = "pass" if minutes <= MOST_MINUTES else "**FAIL**"
    print(f"Six models with {REFITS:,} refits each, alignment included: {minutes:.1f} minutes: {verdict}.\n")
    print("| event | outcome | people | visits | seconds |\n| --- | --- | ---: | ---: | ---: |")
    for event, outcome, people, n_visits, seconds in models:
        print(f"| {event} | {outcome} | {people:,} | {n_visits:,} | {seconds:.0f} |")
    print("\nTen years before the event, beside the published means (doi:10.1210/js.2018-00071):\n")
    print("| event | outcome | group | published | simulated (95 %) | room | |")
    print("| --- | --- | --- | ---: | ---: | ---: | --- |")
    for row in rows:
        print(row)


def beside(event: str, outcome: str, room: float, curves: pl.DataFrame) -> list[str]:
    """Write a row for each group."""
    published = targets("sagesaka-2018").filter(event=event, outcome=outcome, years_to_event=YEARS)
    rows = []
    for group, target in published.select("group", "value").iter_rows():
        own = curves.filter(group=group, years_to_event=YEARS)
        if own.is_empty():
            rows.append(f"| {event} | {outcome} | {group} | {target:g} | not supported | {room:g} | **MISFIT** |")
            continue
        fitted, low, high = own.select("fitted", "low", "high").row(0)
        verdict = "within" if abs(fitted - target) <= room else "**MISFIT**"
        own_words = f"{fitted:.2f} ({low:.2f} to {high:.2f})"
        rows.append(f"| {event} | {outcome} | {group} | {target:g} | {own_words} | {room:g} | {verdict} |")
    return rows


if __name__ == "__main__":
    main()
