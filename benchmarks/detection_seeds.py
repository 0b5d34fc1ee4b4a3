"""How much of what detection says hangs on its seed: the same cohorts judged again with other seeds.

    python benchmarks/detection_seeds.py > benchmarks/detection_seeds.md

Refits, drawn courses and the drawn cohorts of the correction are random, with a seed. The readings stay as they are.
"""

from __future__ import annotations

from detection_trials import FLAG, SEED, SETTINGS, TRIALS, made_by

# isort: split
import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

import ircohort as ic
from ircohort.detection import detect
from ircohort.evaluation.cohorts import draw_cohort

SAMPLE = Path(__file__).parents[1] / "data" / "sample" / "labs.csv"
DESIGNS = {"clinic, 11 annual": (1000, 20_000), "at large, 16 annual": (1000,)}


def cohorts() -> Iterator[tuple[str, pl.DataFrame]]:
    """Give the visits of each cohort, by name."""
    yield "`data/sample`", ic.markers(ic.read(SAMPLE).visits)
    for name, sizes in DESIGNS.items():
        for people in sizes:
            design = replace(TRIALS[name], n_participants=people)
            yield f"{name}, {people:,} people", draw_cohort(design, seed=SEED, pattern=None, settings=SETTINGS).visits


def row(name: str, visits: pl.DataFrame, seeds: int) -> str:
    """Judge a cohort with every seed, and give the line of the table."""
    parts = [
        detect(visits, SETTINGS, seed=seed).participants.sort("participant_id")["probability"] for seed in range(seeds)
    ]
    stated = np.array([part.fill_null(np.nan).to_numpy() for part in parts])
    stated = stated[:, np.isfinite(stated).all(axis=0)]
    flagged = stated >= FLAG
    ever, always, often = flagged.any(axis=0), flagged.all(axis=0), 2 * flagged.sum(axis=0) > seeds
    counts = flagged.sum(axis=1)
    sd = stated.std(axis=0, ddof=1)
    between = (stated.mean(axis=0) >= 0.3) & (stated.mean(axis=0) < 0.95)
    return (
        f"| {name} | {seeds} | {stated.shape[1]:,} | {counts.min():,} to {counts.max():,} | {ever.sum():,} | "
        f"{often.sum():,} | {always.sum():,} | {np.median(sd[between]):.3f} | {np.quantile(sd[between], 0.9):.3f} | "
        f"{stated.mean(axis=1).min():.3f} to {stated.mean(axis=1).max():.3f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=9, help="seeds of cohorts of fewer than 10,000 people")
    parser.add_argument("--seeds-large", type=int, default=4, help="seeds of larger ones")
    given = parser.parse_args()
    print(f"# What hangs on the seed\n\n{made_by('detection_seeds.py')}\n")
    print(
        "SD: of one person's probability from seed to seed, median and 90 % point of those whose mean is 0.3 to 0.95.\n"
    )
    print(
        "| cohort | seeds | judged | from 0.8, by seed | with any seed | with most | with every seed | SD | SD, 90 % "
        "point | mean probability, by seed |\n| --- |" + " ---: |" * 9
    )
    for name, visits in cohorts():
        large = visits["participant_id"].n_unique() >= 10_000
        print(row(name, visits, given.seeds_large if large else given.seeds), flush=True)


if __name__ == "__main__":
    main()
