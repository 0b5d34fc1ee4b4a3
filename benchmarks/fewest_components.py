"""What becomes of the probabilities in small cohorts if a single component may stand where the data ask for no more?

    python benchmarks/fewest_components.py --work DIRECTORY [--cohorts 20] > benchmarks/fewest_components.md

The same cohorts are judged twice: with two components at least, as detection does, and with one at least, the number
being chosen by Akaike's criterion both times. The log score is the mean log of the probability that was stated of what
is true; higher is better.
"""

from __future__ import annotations

from detection_trials import SETTINGS, TRIALS, Job, Pool, cell_of, chosen, judge, made_by, options

# isort: split
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl

from ircohort.detection import growth

DESIGNS = {"at large, 16 annual": 1000, "clinic, 11 annual": 500}
EDGES = np.array([0.0, 0.2, 0.4, 0.6, 0.8, 1.0])
LEAST = 1e-3


@dataclass(frozen=True)
class Trial:
    """One cohort, to be judged with at least so many components."""

    job: Job
    fewest: int

    @property
    def file(self) -> Path:
        """Where what was found is kept."""
        return self.job.file


def judge_with(trial: Trial) -> Path:
    """Judge a cohort with at least so many components."""
    growth.FEWEST_COMPONENTS = trial.fewest
    return judge(trial.job)


def row(name: str, fewest: int, files: list[Path]) -> str:
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
    return f"| {name} | {fewest} | {len(tables)} | {single} | {score:.4f} | " + " | ".join(cells) + " |"


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--cohorts", type=int, default=20)
    given = parser.parse_args()
    print(f"# One component, where the data ask for no more\n\n{made_by('fewest_components.py')}\n")
    bins = " | ".join(f"{low:.1f} to {high:.1f}" for low, high in pairwise(EDGES))
    print("True less stated share, and its standard error, by what was stated.\n")
    print(f"| design | components, at least | cohorts | of one component | log score | {bins} |")
    print("| --- |" + " ---: |" * (4 + len(EDGES) - 1))
    with Pool(given.workers) as workers:
        for name in chosen(list(DESIGNS), given.only):
            people = DESIGNS[name]
            design = replace(TRIALS[name], n_participants=people)
            for fewest in (2, 1):
                directory = given.work / f"fewest_{fewest}"

                def make(number: int, name: str = name, design=design, directory=directory, fewest=fewest) -> Trial:
                    return Trial(Job(name, design, number, directory, SETTINGS), fewest)

                files = workers.until(make, judge_with, lambda _: False, given.cohorts, 60.0)
                print(row(f"{name}, {people:,} people", fewest, files), flush=True)


if __name__ == "__main__":
    main()
