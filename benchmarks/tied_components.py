"""What is gained in small cohorts where components of the population may share their covariance?

    python benchmarks/tied_components.py --work DIRECTORY [--cohorts 20] > benchmarks/tied_components.md

The same cohorts are judged twice: with own covariances only, and as detection does, with own or shared ones as Akaike's
criterion says. The log score is the mean log of the probability that was stated of what is true; higher is better.
"""

from __future__ import annotations

from detection_trials import SETTINGS, TRIALS, Job, Pool, cell_of, chosen, judge, made_by, options

# isort: split
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from ircohort.detection import growth

DESIGNS = {"at large, 16 annual": 1000, "clinic, 11 annual": 500}
EDGES = np.array([0.0, 0.2, 0.4, 0.6, 0.8, 1.0])
LEAST = 1e-3


@dataclass(frozen=True)
class Trial:
    """One cohort, to be judged with own covariances only or not."""

    job: Job
    own_only: bool

    @property
    def file(self) -> Path:
        """Where what was found is kept."""
        return self.job.file


def judge_with(trial: Trial) -> Path:
    """Judge a cohort, if need be without the starts whose covariance is shared."""
    begun = growth._tied_and_not

    def own(*args: Any) -> list[growth.Population]:
        return begun(*args)[1:]

    growth._tied_and_not = own if trial.own_only else begun
    try:
        return judge(trial.job)
    finally:
        growth._tied_and_not = begun


def row(name: str, covariances: str, files: list[Path]) -> str:
    """Give the line of a design: log score, components, and true less stated shares in five bins."""
    tables = [pl.read_parquet(file) for file in files]
    seen = pl.concat(tables).drop_nulls("probability")
    stated, true = seen["probability"].to_numpy(), seen["hidden_window"].to_numpy()
    cohort = seen["number"].to_numpy().astype(np.int64)
    score = np.log(np.clip(np.where(true, stated, 1 - stated), LEAST, 1.0)).mean()
    single = sum(table["components"][0] == 1 for table in tables)
    cells = []
    for low, high in pairwise(EDGES):
        inside = (stated >= low) & (stated < high if high < 1 else stated <= high)
        cell = cell_of(stated[inside], true[inside], cohort[inside], len(tables))
        cells.append(f"{cell.difference:+.3f} ± {cell.error:.3f}")
    return f"| {name} | {covariances} | {len(tables)} | {single} | {score:.4f} | " + " | ".join(cells) + " |"


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--cohorts", type=int, default=20)
    given = parser.parse_args()
    print(f"# Covariances that components share\n\n{made_by('tied_components.py')}\n")
    bins = " | ".join(f"{low:.1f} to {high:.1f}" for low, high in pairwise(EDGES))
    print("True less stated share, and its standard error, by what was stated.\n")
    print(f"| design | covariances | cohorts | of one component | log score | {bins} |")
    print("| --- | --- |" + " ---: |" * (3 + len(EDGES) - 1))
    with Pool(given.workers) as workers:
        for name in chosen(list(DESIGNS), given.only):
            people = DESIGNS[name]
            design = replace(TRIALS[name], n_participants=people)
            for own_only, words in ((True, "own"), (False, "own or shared")):
                at = given.work / words.replace(" ", "_")
                base = Job(name, design, 0, at, SETTINGS)

                def make(number: int, base: Job = base, own_only: bool = own_only) -> Trial:
                    return Trial(replace(base, number=number), own_only)

                files = workers.until(make, judge_with, lambda _: False, given.cohorts, 60.0)
                print(row(f"{name}, {people:,} people", words, files), flush=True)


if __name__ == "__main__":
    main()
