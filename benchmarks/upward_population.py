"""Whom do populations rank highest that fit the readings alike? Six yearly visits of people at large.

    python benchmarks/upward_population.py [--people 20000] [--seeds 4] > benchmarks/upward_population.md

The same simulated people are read twice: as laboratories read them, and with insulin that varies by 8 % only. The
ordinary readings are judged by the best population that they support by Akaike's criterion, by one component, by one
upward component, by either of the first two beside the upward one, and by the population learned from the clear
readings, with the residuals of the ordinary ones. Beside each stands what it makes of the ordinary readings of all (log
likelihood), and how well it ranks the people: AUC, and the share of true windows among those rated highest.

Then, for every design: by how many standard errors one component foretells more than the upward one. Detection keeps
both where that is three or less.
"""

from __future__ import annotations

from detection_trials import TRIALS, made_by

# isort: split
import argparse
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from population_shape import Trial, everyone_of, reread, stated_by, trial_of

from ircohort.detection import growth
from ircohort.detection.cohort import GROW_FROM, evenly
from ircohort.detection.growth import ahead, families, grow, kinds, single
from ircohort.detection.population import Population, log_likelihoods
from ircohort.evaluation.ranking import measures, ranks_of

NAME = "at large, 6 annual"


def populations_of(trial: Trial, seed: int) -> Iterator[tuple[str, tuple[Population, ...]]]:
    """Give the populations, by name."""
    ordinary, clear = trial.cohort.sums, trial.clear
    part = evenly(ordinary, GROW_FROM)
    common = single(ordinary.take(part))
    best = grow(common, ordinary.take(part), seed, ordinary)[0]
    kept = families(common, ordinary.take(part), seed, ordinary).kept
    yield "best that is supported", (best,)
    if len(kept) > 1:
        (either,), (upward,) = kept
        yield "one component", (either,)
        yield "upward", (upward,)
        yield "one and upward", (either, upward)
        yield "best and upward", (best, upward)
    learned = grow(single(clear.take(part)), clear.take(part), seed, clear)[0]
    yield "learned from clear readings", (reread(learned, best, ordinary),)


def lines_of(people: int, seed: int) -> Iterator[str]:
    """Write a row of the table for each."""
    trial = trial_of(replace(TRIALS[NAME], n_participants=people), seed)
    first = None
    for label, populations in populations_of(trial, seed):
        alone = len(populations) == 1
        height = log_likelihoods(populations[0], trial.cohort.sums).sum()
        first = height if first is None else first
        judged = stated_by(populations, trial)
        ranks = ranks_of(judged["hidden_window"].to_numpy(), judged["stated"].to_numpy())
        ranked = " | ".join(f"{value:.3f}" for value in measures(ranks, np.ones(judged.height)))
        fit = f"{populations[0].n_parameters} | {height - first:+.0f}" if alone else " | "
        stated, true = judged["stated"].mean(), judged["hidden_window"].mean()
        yield f"| {seed} | {label} | {fit} | {stated:.3f} | {true:.3f} | {ranked} |"


def apart_of(name: str, people: int, seed: int) -> str:
    """Write a row of the second table."""
    everyone = everyone_of(replace(TRIALS[name], n_participants=people), seed)
    common = single(everyone.take(evenly(everyone, GROW_FROM)))
    either, upward = kinds(common, everyone, growth.pull_of(common, growth._Z_PEOPLE_OPEN))
    higher = either.log_likelihood - upward.log_likelihood
    more = either.n_parameters - upward.n_parameters
    return f"| {name} | {seed} | {higher:.0f} | {more} | {ahead(either, upward, everyone):.1f} |"


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=20_000)
    parser.add_argument("--seeds", type=int, default=4)
    given = parser.parse_args()
    print("# Populations that fit six yearly visits alike, and whom they rank highest\n")
    print(made_by("upward_population.py"), f"{given.people:,} people in a cohort.\n")
    print(
        "| seed | population | parameters | log likelihood beside the first | stated | true "
        "| AUC | PPV, top 2 % | PPV, top 5 % | PPV, as many as there are |\n"
        "| ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    )
    for seed in range(given.seeds):
        for line in lines_of(given.people, seed):
            print(line, flush=True)
    print(
        "\n## How far readings tell the two kinds apart\n\n"
        "| design | seed | log likelihood of one component beside the upward one | parameters more "
        "| standard errors by which it foretells more |\n| --- | ---: | ---: | ---: | ---: |"
    )
    for name in TRIALS:
        for seed in range(given.seeds):
            print(apart_of(name, given.people, seed), flush=True)


if __name__ == "__main__":
    main()
