"""When do large cohorts ask for a second component? Six yearly visits of people at large.

    python benchmarks/second_component.py [--people 20000] [--seeds 4] > benchmarks/second_component.md

How much smaller (better) Akaike's criterion is with two components than with one: of the part of the series from which
populations are grown, after the short climb with everyone, where detection asks, and after the long one. Beside it
stands how well people are ranked and how far what is stated is true, where populations begin with two components, as
detection has it, and where they begin with one. The log score is the mean log of the probability that was stated of
what is true; higher is better.
"""

from __future__ import annotations

from detection_trials import TRIALS, made_by

# isort: split
import argparse
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from population_shape import Trial, stated_by, trial_of

from ircohort.detection import growth
from ircohort.detection.climbing import climb
from ircohort.detection.cohort import GROW_FROM, evenly
from ircohort.evaluation.ranking import measures, ranks_of

NAME = "at large, 6 annual"
LEAST = 1e-3


def gains_of(trial: Trial, seed: int) -> Iterator[float]:
    """Give how much better two components are than one: of the part, after the short climb, after the long one."""
    everyone = trial.cohort.sums
    part = everyone.take(evenly(everyone, GROW_FROM))
    common = growth.single(part)
    pull, free = growth.pull_of(common), growth.pull_of(common, z_free=True)
    fits = [climb(growth._start(common, part, k, [seed, k]), part, growth._CYCLES, pull=pull) for k in (1, 2)]
    yield fits[0].criterion - fits[1].criterion
    for cycles, towards in ((growth._FURTHER_CYCLES, pull), (growth._LAST_CYCLES, free)):
        fits = [climb(fit, everyone, cycles, pull=towards) for fit in fits]
        yield fits[0].criterion - fits[1].criterion


def lines_of(people: int, seed: int) -> Iterator[str]:
    """Write two rows of the table."""
    trial = trial_of(replace(TRIALS[NAME], n_participants=people), seed)
    gains = " | ".join(f"{gain:+.0f}" for gain in gains_of(trial, seed))
    everyone = trial.cohort.sums
    part = everyone.take(evenly(everyone, GROW_FROM))
    for fewest in (growth.FEWEST_COMPONENTS, 1):
        growth.FEWEST_COMPONENTS, usual = fewest, growth.FEWEST_COMPONENTS
        kept = growth.families(growth.single(part), part, seed, everyone)
        growth.FEWEST_COMPONENTS = usual
        judged = stated_by(tuple(family[0] for family in kept), trial)
        stated, true = judged["stated"].to_numpy(), judged["hidden_window"].to_numpy()
        score = np.log(np.clip(np.where(true, stated, 1 - stated), LEAST, 1.0)).mean()
        ranks = ranks_of(true, stated)
        ranked = " | ".join(f"{value:.3f}" for value in measures(ranks, np.ones(judged.height)))
        found = " and ".join(str(family[0].components) for family in kept)
        shares = f"{stated.mean():.3f} | {true.mean():.3f}"
        yield f"| {seed} | {gains} | {fewest} | {found} | {shares} | {score:.4f} | {ranked} |"


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=20_000)
    parser.add_argument("--seeds", type=int, default=4)
    given = parser.parse_args()
    print("# A second component in large cohorts\n")
    print(made_by("second_component.py"), f"{given.people:,} people in a cohort.\n")
    print(
        "| seed | gain, part | gain, short climb | gain, long climb | begun with | components of the families "
        "| stated | true | log score | AUC | PPV, top 2 % | PPV, top 5 % | PPV, as many as there are |\n"
        "| ---: | ---: | ---: | ---: | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    )
    for seed in range(given.seeds):
        for line in lines_of(given.people, seed):
            print(line, flush=True)


if __name__ == "__main__":
    main()
