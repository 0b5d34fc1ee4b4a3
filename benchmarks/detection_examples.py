"""The people of docs/detection.md: `python benchmarks/detection_examples.py`. One core, a few minutes."""

from __future__ import annotations

from detection_trials import made_by

# isort: split
import argparse

import numpy as np
import polars as pl

import ircohort as ic
from ircohort.detection import DetectSettings
from ircohort.evaluation import visits_of

SCATTER = {"insulin_uiu_ml": 0.26, "glucose_mg_dl": 0.05}
YEARS = np.arange(11.0)
AT_ONCE = 4
"""How often each of them stands in one clinic: twenty people more among 500."""

PEOPLE = {
    "doubling": (YEARS, [0, 10], [6, 12], [88, 96]),
    "five visits": (YEARS[:5], [0, 4], [6, 9], [88, 90]),
    "glucose high": (YEARS, [0, 10], [6, 12], [104, 115]),
    "there and back": (YEARS, [0, 5, 10], [6, 12, 6], [88, 92, 88]),
    "steady": (YEARS, [0, 10], [6, 6], [90, 90]),
}
"""Times of the visits; years, insulin (uIU/mL) and glucose (mg/dL) between which logs are straight."""


def readings(name: str, seed: int, copy: int) -> pl.DataFrame:
    """One person with fresh scatter."""
    years, knots, insulin, glucose = PEOPLE[name]
    rng = np.random.default_rng([seed, list(PEOPLE).index(name), copy])
    courses = {"insulin_uiu_ml": insulin, "glucose_mg_dl": glucose}
    return pl.DataFrame(
        {
            "participant_id": [f"example, {name}, {copy}"] * len(years),
            "years": years,
            **{
                column: np.exp(
                    np.interp(years, knots, np.log(values)) + SCATTER[column] * rng.standard_normal(len(years))
                )
                for column, values in courses.items()
            },
        }
    )


def judged(seed: int, design: str) -> pl.DataFrame:
    """Put the people into a simulated clinic, and judge all."""
    clinic = visits_of(ic.simulate(ic.DESIGNS[design], seed=seed)).drop(
        "glycaemia", "glycaemia_by", "state", strict=False
    )
    own = [readings(name, seed, copy) for name in PEOPLE for copy in range(AT_ONCE)]
    columns = ("participant_id", "years", "insulin_uiu_ml", "glucose_mg_dl", "triglycerides_mg_dl", "hdl_mg_dl", "bmi")
    table = pl.concat([clinic.select(columns), *own], how="diagonal")
    found = ic.detect(ic.markers(table), DetectSettings(noise_check=False), seed=seed).participants
    return found.filter(pl.col("participant_id").str.starts_with("example")).with_columns(pl.lit(seed).alias("seed"))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--clinics", type=int, default=10)
    arguments.add_argument("--design", default="clinic")
    said = arguments.parse_args()
    rows = pl.concat([judged(seed, said.design) for seed in range(1, said.clinics + 1)])
    print(f"# The five people of docs/detection.md, {AT_ONCE * said.clinics} times each")
    print(f"\n{made_by('detection_examples.py')}")
    for name, (years, knots, insulin, glucose) in PEOPLE.items():
        own = rows.filter(pl.col("participant_id").str.starts_with(f"example, {name},"))
        print(f"\n## {name[0].upper()}{name[1:]}\n")
        print(
            f"{len(years)} visits; in years {knots} insulin of {insulin} uIU/mL, glucose of {glucose} mg/dL.", end=" "
        )
        print(f"Median probability {own['probability'].median():.2f}.\n")
        for column in ("verdict", "course", "stage", "reason"):
            counts = own[column].value_counts().sort("count", column, descending=[True, False]).rows()
            print(f"- {column}:", "; ".join(f"{word or 'none'}, {count}" for word, count in counts))


if __name__ == "__main__":
    main()
