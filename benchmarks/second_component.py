"""When do large cohorts ask for a second component? Part of the way up, and at the end of the climb.

    python benchmarks/second_component.py [--people 20000] [--seeds 4] [--only NAME] > benchmarks/second_component.md

How much smaller (better) Akaike's criterion is with two components than with one, while nobody's marker bends: of the
part of the series from which populations are grown; after the short climb with everyone, where detection asks for
further components; and after the long one, which shapes the tail too, where it asks for the second. Beside it stands
how many components the criterion then supports. People at large with six annual visits are not asked: their readings
leave open how slopes spread (``upward_population.py``).
"""

from __future__ import annotations

from detection_trials import TRIALS, made_by

# isort: split
import argparse
from collections.abc import Iterator
from dataclasses import replace

from population_shape import everyone_of

from ircohort.detection import growth
from ircohort.detection.climbing import climb
from ircohort.detection.cohort import GROW_FROM, evenly
from ircohort.detection.population import Population
from ircohort.detection.sums import Sums


def gains_of(common: Population, part: Sums, everyone: Sums, seed: int) -> Iterator[float]:
    """Give how much better two components are than one: of the part, after the short climb, after the long one."""
    pull, free = growth.pull_of(common), growth.pull_of(common, growth._Z_PEOPLE)
    fits = [climb(growth._start(common, part, k, [seed, k]), part, growth._CYCLES, pull=pull) for k in (1, 2)]
    yield fits[0].criterion - fits[1].criterion
    for cycles, towards in ((growth._FURTHER_CYCLES, pull), (growth._LAST_CYCLES, free)):
        fits = [climb(fit, everyone, cycles, pull=towards) for fit in fits]
        yield fits[0].criterion - fits[1].criterion


def line_of(name: str, people: int, seed: int) -> str:
    """Write a row of the table."""
    everyone = everyone_of(replace(TRIALS[name], n_participants=people), seed)
    part = everyone.take(evenly(everyone, GROW_FROM))
    common = growth.single(part)
    gains = " | ".join(f"{gain:+,.0f}" for gain in gains_of(common, part, everyone, seed))
    found = growth.grow(common, part, seed, everyone)
    return f"| {name} | {seed} | {gains} | {', '.join(str(fit.components) for fit in found)} |"


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=20_000)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--only", default="", help="designs whose name holds this text")
    given = parser.parse_args()
    print("# A second component in large cohorts\n")
    print(made_by("second_component.py"), f"{given.people:,} people in a cohort.\n")
    print(
        "| design | seed | gain, part | gain, short climb | gain, long climb | components of what is supported |\n"
        "| --- | ---: | ---: | ---: | ---: | --- |"
    )
    for name in TRIALS:
        for seed in range(given.seeds) if given.only in name else ():
            print(line_of(name, given.people, seed), flush=True)


if __name__ == "__main__":
    main()
