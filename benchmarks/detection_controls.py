"""What detection does where there is nothing to find, where something looks like a rise, and where readings mislead.

    python benchmarks/detection_controls.py noise --work DIRECTORY [--cohorts 200] [--large-cohorts 40]
    python benchmarks/detection_controls.py traits --work DIRECTORY [--trait-cohorts 20]
    python benchmarks/detection_controls.py stress --work DIRECTORY [--minutes 60]

``noise``: cohorts whose visits are dealt out anew within each person, and cohorts in which nobody loses sensitivity; at
most 1 in 1,000 assessable people may reach 0.8, in 95 % of the cohorts. ``traits``: changes of assay, puberty, regained
weight. ``stress``: stated against true probabilities where readings break the assumptions, which is reported, not
passed. Run again, all go on where they were.
"""

from __future__ import annotations

from detection_trials import FLAG, SETTINGS, TRIALS, Job, Pool, chosen, judge, keep, made_by, options

# isort: split
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from detection_calibration import WITHIN, Tally, about, pool, slopes_of, tables_of

from ircohort.detection import Detection, detect
from ircohort.estimand import COURSES
from ircohort.evaluation import visits_of
from ircohort.simulation import Design, Simulated, simulate, with_values

SIZES = (300, 1000, 20_000)
LARGE = 20_000
AT_MOST, IN_COHORTS = 1 / 1000, 0.95
BASES = ("at large, 11 annual", "clinic, 11 annual")
BASE = "clinic, 11 annual"

_STAY = ("participant_id", "visit_date", "years", "age", "sex")


# -- nothing to find --------------------------------------------------------------------------------------------------


def permute(visits: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Deal the readings of each participant out to the own visits at random; what was read at one visit stays so."""
    ordered = visits.sort("participant_id", "years")
    chance = pl.Series("chance", np.random.default_rng(seed).random(visits.height))
    dealt = ordered.with_columns(chance).sort("participant_id", "chance").select(pl.exclude(*_STAY, "chance"))
    return pl.concat([ordered.select(_STAY), dealt], how="horizontal")


def judge_nothing(job: Job, *, permuted: bool) -> Path:
    """Judge a cohort in which there is nothing to find, and count who reaches the limit."""
    simulated = simulate(job.design, seed=job.seed)
    visits = visits_of(simulated, units=job.design.units)
    found = detect(permute(visits, job.seed) if permuted else visits, SETTINGS, seed=job.seed)
    people = found.participants
    counts = {
        "n_assessable": people["probability"].count(),
        "n_over": int((people["probability"] >= FLAG).sum()),
        "n_flagged": found.n_flagged,
        "n_true": int(simulated.truth["hidden_window"].sum()),
    }
    keep(pl.DataFrame(counts), job.file)
    return job.file


def nothing(given: Any) -> int:
    """Print the negative controls; give the number of failures."""
    failed = 0
    print(
        "\n| control | people | cohorts | refused | assessable | from 0.8, mean and most in a cohort "
        "| cohorts with at most 1 in 1,000 | |\n| --- |" + " ---: |" * 6 + " --- |"
    )
    with Pool(given.workers) as workers:
        for base in chosen(BASES, given.only):
            for kind in ("permuted", "flat"):
                for size in given.sizes:
                    flat = {"kappa_median": 0.0} if kind == "flat" else {}
                    design = replace(TRIALS[base], n_participants=size, **flat)
                    cohorts = given.large_cohorts if size >= LARGE else given.cohorts

                    def make(number: int, name: str = f"{kind}, {base}", design: Design = design) -> Job:
                        return Job(name, design, number, given.work)

                    work = partial(judge_nothing, permuted=kind == "permuted")
                    files = workers.until(make, work, lambda _: False, cohorts, given.minutes)
                    line, good = nothing_row(f"{kind}, {base}", size, files)
                    failed += not good
                    print(line, flush=True)
    return failed


def nothing_row(name: str, size: int, files: list[Path]) -> tuple[str, bool]:
    """Give the line of a control, and whether it holds."""
    if not files:
        return f"| {name} | {size:,} | 0 | | | | | not measured |", True
    table = pl.concat([pl.read_parquet(file) for file in files])
    within = float((table["n_over"] <= AT_MOST * table["n_assessable"]).mean())
    judged = table.filter(pl.col("n_assessable") > 0)
    assessable = f"{judged['n_assessable'].mean():,.0f}" if judged.height else "nobody"
    said = "pass" if within >= IN_COHORTS else "**FAIL**"
    refused = 1 - judged.height / table.height
    reached = f"{table['n_over'].mean():.2f}, {table['n_over'].max()}"
    line = f"| {name} | {size:,} | {table.height} | {refused:.0%} | {assessable} | {reached} | {within:.1%} | {said} |"
    return line, within >= IN_COHORTS


# -- what looks like a rise -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Trait:
    """A trait: what is changed in the usual design, what is counted in a cohort, and how the counts read."""

    changes: dict[str, Any]
    count: Callable[[Simulated, Detection], dict[str, int]]
    read: Callable[[dict[str, int]], tuple[str, bool | None]]


def _flags(simulated: Simulated, found: Detection, chosen_people: pl.Expr) -> tuple[int, int]:
    """Count those without a true window who are judged, and who of them reach the limit, among some people."""
    table = simulated.traits.join(simulated.truth, on="participant_id").join(found.participants, on="participant_id")
    judged = table.filter(chosen_people & ~pl.col("hidden_window") & pl.col("probability").is_not_null())
    return judged.height, int((judged["probability"] >= FLAG).sum())


def count_spanning(simulated: Simulated, found: Detection) -> dict[str, int]:
    """Count windows that begin before a person's first visit with the new assay, and last to that visit or longer."""
    visits = visits_of(simulated, units="us")
    new = pl.col("assay") != pl.col("assay").first().over("participant_id", order_by="years")
    first = visits.filter(new).group_by("participant_id").agg(pl.col("years").min().alias("changed"))
    windows = found.windows.join(first, on="participant_id")
    spanning = windows.filter(pl.col("changed").is_between("window_start", "window_end", closed="right"))
    judged, over = _flags(simulated, found, pl.col("assay_change_years").is_not_null())
    return {"windows": windows.height, "spanning": spanning.height, "judged": judged, "over": over}


def read_spanning(total: dict[str, int]) -> tuple[str, bool]:
    """Say how many windows span a change."""
    words = (
        f"{total['spanning']} of {total['windows']:,} windows span the change; of {total['judged']:,} changed people "
        f"without a window {total['over']:,} reach {FLAG:g}"
    )
    return words, total["windows"] > 0 and not total["spanning"]


def count_step(_: Simulated, found: Detection) -> dict[str, int]:
    """Count whether a step of the cohort was reported."""
    return {"cohorts": 1, "reported": int(any("step by" in note for note in found.notes)), "flagged": found.n_flagged}


def read_step(total: dict[str, int], *, there: bool) -> tuple[str, bool]:
    """Say in how many cohorts a step was reported."""
    share = total["reported"] / total["cohorts"]
    words = f"reported in {total['reported']} of {total['cohorts']} cohorts; {total['flagged']:,} flagged in all"
    return words, share >= IN_COHORTS if there else share <= 1 - IN_COHORTS


def count_own_change(simulated: Simulated, found: Detection) -> dict[str, int]:
    """Count who is flagged, with and without a change of assay of the own that nobody recorded."""
    changed = pl.col("assay_change_years").is_not_null()
    names = ("changed", "changed_over", "others", "others_over")
    parts = (*_flags(simulated, found, changed), *_flags(simulated, found, ~changed))
    return dict(zip(names, parts, strict=True))


def read_own_change(total: dict[str, int]) -> tuple[str, None]:
    """Say what an unrecorded change makes of people; it cannot be recognised."""
    shares = [f"{total[f'{who}_over'] / max(total[who], 1):.1%} of {total[who]:,}" for who in ("changed", "others")]
    return f"without a window and yet from {FLAG:g}: {shares[0]} changed, {shares[1]} others", None


def count_children(simulated: Simulated, found: Detection) -> dict[str, int]:
    """Count what is said of people whose every visit was under 18."""
    oldest = simulated.labs.group_by("participant_id").agg(pl.col("age").max())
    table = found.participants.join(oldest.filter(pl.col("age") < 18), on="participant_id")
    return {"children": table.height, "judged": table.filter(pl.col("verdict") != "not_assessable").height}


def read_children(total: dict[str, int]) -> tuple[str, bool]:
    """Say how many children were judged."""
    words = f"{total['judged']} of {total['children']:,} who were never 18 are judged"
    return words, total["children"] > 0 and not total["judged"]


def count_courses(simulated: Simulated, found: Detection) -> dict[str, int]:
    """Count how the courses of those are named who truly regained their weight, and with it their insulin.

    Only of people whose judged series go on to the last visit: a series that ended before saw no relapse. Beside them
    those whose true course had no turn.
    """
    true = simulated.traits.select("participant_id", "weight", pl.col("course").alias("true"))
    ends = simulated.truth.select("participant_id", "follow_up_years")
    people = found.participants.join(true, on="participant_id").join(ends, on="participant_id")
    whole = (pl.col("span_years") >= pl.col("follow_up_years") - 1e-9) & pl.col("probability").is_not_null()
    regained = people.filter(whole & (pl.col("weight") == "lost and regained") & (pl.col("true") == "relapsed"))
    straight = people.filter(whole & pl.col("true").is_in(["steady", "rising", "falling"]))
    courses = dict(regained.group_by("course").len().rows())
    return {
        "regained": regained.height,
        **{kind: courses.get(kind, 0) for kind in COURSES},
        "straight": straight.height,
        "straight_relapsed": straight.filter(pl.col("course") == "relapsed").height,
    }


def read_courses(total: dict[str, int], *, plain: bool) -> tuple[str, bool | None]:
    """Say how they were named; a plain loss that was regained asks for most as relapsed, and few who did not turn."""
    named = ", ".join(f"{total[kind]:,} {kind}" for kind in COURSES if total[kind]) or "nobody judged"
    words = (
        f"of {total['regained']:,} who regained: {named}; of {total['straight']:,} without a turn "
        f"{total['straight_relapsed']:,} relapsed"
    )
    right = 2 * total["relapsed"] > total["regained"] and total["straight_relapsed"] <= 0.05 * total["straight"]
    return words, right if plain else None


_LOSING = {
    "weight.share_losing": 0.3,
    "weight.share_regaining": 0.8,
    "weight.begins_low": 1.0,
    "weight.begins_high": 3.0,
}

TRAITS = {
    "assay changes, recorded": Trait({"assay.share_changed": 0.5}, count_spanning, read_spanning),
    "assay of all changes at one date, not recorded": Trait(
        {"assay.cohort_date": 2010.5, "assay.recorded": False}, count_step, partial(read_step, there=True)
    ),
    "no change of assay": Trait({}, count_step, partial(read_step, there=False)),
    "assay of single people changes, not recorded": Trait(
        {"assay.share_changed": 0.1, "assay.recorded": False}, count_own_change, read_own_change
    ),
    "puberty": Trait(
        {"age_low": 7.0, "age_high": 20.0, "puberty.present": True, "n_visits": 9}, count_children, read_children
    ),
    "a third of the weight lost, kept off for four years, regained": Trait(
        _LOSING | {"weight.loss_mean": 0.35, "weight.loss_sd": 0.02, "weight.years_kept": 4.0},
        count_courses,
        partial(read_courses, plain=True),
    ),
    "a quarter of the weight lost in two years, kept off for one, regained in three": Trait(
        _LOSING
        | {
            "weight.loss_mean": 0.25,
            "weight.years_losing": 2.0,
            "weight.years_kept": 1.0,
            "weight.years_regaining": 3.0,
        },
        count_courses,
        partial(read_courses, plain=False),
    ),
}


def judge_trait(job: Job, *, trait: str) -> Path:
    """Judge a cohort with a trait, and keep the counts."""
    simulated = simulate(job.design, seed=job.seed)
    found = detect(visits_of(simulated, units=job.design.units), SETTINGS, seed=job.seed)
    keep(pl.DataFrame(TRAITS[trait].count(simulated, found)), job.file)
    return job.file


def traits(given: Any) -> int:
    """Print what is made of each trait; give the number of failures."""
    failed = 0
    print(f"\n{given.people:,} people in a cohort of {BASE}, changed as said.\n")
    print("| trait | cohorts | | |\n| --- | ---: | --- | --- |")
    with Pool(given.workers) as workers:
        for name in chosen(list(TRAITS), given.only):
            design = replace(with_values(TRIALS[BASE], TRAITS[name].changes), n_participants=given.people)

            def make(number: int, name: str = name, design: Design = design) -> Job:
                return Job(name, design, number, given.work)

            work = partial(judge_trait, trait=name)
            files = workers.until(make, work, lambda _: False, given.trait_cohorts, given.minutes)
            if not files:
                print(f"| {name} | 0 | | not measured |", flush=True)
                continue
            total = pl.concat([pl.read_parquet(file) for file in files]).sum().row(0, named=True)
            words, good = TRAITS[name].read(total)
            failed += good is False
            verdict = "reported" if good is None else "pass" if good else "**FAIL**"
            print(f"| {name} | {len(files)} | {words} | {verdict} |", flush=True)
    return failed


# -- readings that mislead --------------------------------------------------------------------------------------------

STRESS = {
    "as assumed": {},
    "half of the variance of readings lasts, with a half-life of a year": {"readings.serial_share": 0.5},
    "3 % of draws after a meal": {"readings.share_not_fasting": 0.03},
    "errors of insulin and glucose of one draw correlated by 0.3": {"readings.draw_correlation": 0.3},
}


def stress(given: Any) -> int:
    """Print stated against true probabilities under stress; nothing of it is passed or failed."""
    print(
        f"\n{given.people:,} people in a cohort of {BASE}, readings as said. FAIL marks a gap beyond {WITHIN:g} and "
        "two standard errors; it is reported, not asked for."
    )
    with Pool(given.workers) as workers:
        for name in chosen(list(STRESS), given.only):
            most = 500_000 // given.people
            design = replace(with_values(TRIALS[BASE], STRESS[name]), n_participants=given.people)

            def make(number: int, name: str = name, design: Design = design) -> Job:
                return Job(f"stress, {name}", design, number, given.work)

            files = workers.until(make, judge, Tally().enough, most, given.minutes)
            print(f"\n## {name}\n")
            if not files:
                print("Not measured: no cohort was judged in the time given.", flush=True)
                continue
            found = pool(files)
            over = found.stated >= FLAG
            gap = f"{found.cell(over).difference:+.3f}" if over.any() else "none to be had"
            held = sum(not (table["verdict"] == "hidden_window").any() for table in map(pl.read_parquet, files))
            print(
                f"Gap from {FLAG:g} on (true less stated): {gap}. In {held} of {len(files)} cohorts nobody is flagged."
            )
            print("\n".join(["", about(found, slopes_of(design)), "", *tables_of(found, WITHIN)]), flush=True)
    return 0


PARTS = {"noise": nothing, "traits": traits, "stress": stress}


def main() -> int:
    parser = options(__doc__)
    parser.add_argument("what", choices=PARTS)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), help="people in a cohort, noise")
    parser.add_argument("--cohorts", type=int, default=200, help="cohorts of each control, noise")
    parser.add_argument("--large-cohorts", type=int, default=40, help=f"the same from {LARGE:,} people on")
    parser.add_argument("--trait-cohorts", type=int, default=20, help="cohorts of each trait")
    parser.add_argument("--people", type=int, default=2000, help="people in a cohort, traits and stress")
    parser.add_argument("--minutes", type=float, default=60.0, help="for new cohorts of each line")
    given = parser.parse_args()
    titles = {
        "noise": "# Nothing to find",
        "traits": "# What looks like a rise",
        "stress": "# Readings that mislead",
    }
    print(f"{titles[given.what]}\n\n{made_by('detection_controls.py')}", flush=True)
    failed = PARTS[given.what](given)
    if given.what != "stress":
        print(f"\n{failed} beyond their limit.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
