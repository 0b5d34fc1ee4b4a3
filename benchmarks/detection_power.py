"""Hold detection against the oracle and against simple rules, and print the table of ``detection_power.md``.

    python benchmarks/detection_power.py --work DIRECTORY [--people 20000] [--cohorts 2] [--library 60000]

Each row of a design is one way to rate the same assessable people: the oracle (``benchmarks/oracle.py``: the readings
that enter detection, the true population, the true variation; beside it the oracle on all readings, those after a
confirmed event too, which detection does not look at, and on these without TG:HDL), detection, and each simple rule
behind each gate. Differences come with the standard error of a bootstrap over people, paired, with the oracle's
library as given. People of all cohorts are ranked together; the last rows of a table rank them within their own
cohort. The best rule is chosen for each measure after the fact.

A second table holds the rules against detection as people use them: who is flagged, and how many of as many people from
the top of detection are right.
"""

from __future__ import annotations

from detection_trials import FEW_COHORTS, FLAG, SETTINGS, TRIALS, Job, Pool, chosen, keep, made_by, options, slopes_of

# isort: split
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from oracle import Library, ask, make_library, readings_of

from ircohort.detection import DetectSettings, detect
from ircohort.detection.selection import select_series
from ircohort.evaluation import GATES, RULES, apply_rules
from ircohort.evaluation.cohorts import draw_cohort
from ircohort.evaluation.ranking import MEASURES, measures, ranks_of
from ircohort.simulation import Design

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

AUC_WITHIN, AUC_WITHIN_SIX_ANNUAL, PPV_SHARE = 0.03, 0.04, 0.9
_BOOTSTRAP = 200
_ORACLES = ("oracle", "oracle, all readings", "oracle, all readings but TG:HDL")
_LIBRARIES: dict[tuple[Design, int], Library] = {}  # of this process


@dataclass(frozen=True)
class Rated:
    """Assessable people of all cohorts: ``truth``, ``cohort`` (n,), ratings and flags (n,) by name; what is known."""

    truth: Bools
    cohort: NDArray[np.intp]
    ratings: dict[str, Floats]
    flags: dict[str, Bools]
    people: int
    effective: Floats


def rate(job: Job, library_size: int) -> Path:
    """Simulate a cohort, rate its people in every way, and keep that."""
    key = (replace(job.design, n_participants=1), library_size)
    if key not in _LIBRARIES:
        _LIBRARIES.clear()  # of another design
        _LIBRARIES[key] = make_library(job.design, library_size)
    library = _LIBRARIES[key]
    cohort = draw_cohort(job.design, seed=job.seed, pattern=None, settings=SETTINGS)
    readings = readings_of(cohort.visits, library.planned)
    answer = ask(library, readings_of(entering(cohort.visits), library.planned, readings))
    everything = ask(library, readings)
    without = ask(library, replace(readings, value=readings.value * np.array([1, 1, np.nan])[:, None, None]))
    oracles = dict(zip(_ORACLES, (answer, everything, without), strict=True))
    found = detect(cohort.visits, SETTINGS, seed=job.seed).participants
    table = cohort.truth.select("participant_id", "hidden_window")
    for more in (
        pl.DataFrame({"participant_id": answer.participants} | {k: v.probability for k, v in oracles.items()}),
        pl.DataFrame({"participant_id": answer.participants, "effective": everything.effective}),
        found.select("participant_id", detect="probability"),
        apply_rules(cohort.visits),
    ):
        table = table.join(more, on="participant_id", how="left")
    keep(table, job.file)
    return job.file


def rated(files: list[Path]) -> Rated:
    """Read the ratings of all cohorts of a design."""
    everyone = pl.concat([pl.read_parquet(file).with_columns(cohort=number) for number, file in enumerate(files)])
    assessable = everyone.drop_nulls("detect")
    ratings = {name: assessable[name].to_numpy() for name in (*_ORACLES, "detect")}
    flags = {f"detect, from {FLAG:g}": ratings["detect"] >= FLAG}
    for gate in GATES:
        passes = assessable[f"gate_{gate}"].to_numpy()
        for rule in RULES:
            name = rule if gate == "none" else f"{rule}, {gate}"
            ratings[name] = np.where(passes, assessable[rule].fill_null(-np.inf).to_numpy(), -np.inf)
            if f"{rule}_flagged" in assessable.columns:
                flags[name] = passes & assessable[f"{rule}_flagged"].to_numpy()
    truth = assessable["hidden_window"].to_numpy()
    cohort = assessable["cohort"].to_numpy().astype(np.intp)
    return Rated(truth, cohort, ratings, flags, everyone.height, everyone["effective"].to_numpy())


def entering(visits: pl.DataFrame) -> pl.DataFrame:
    """Keep the visits that enter detection."""
    used = select_series(visits, DetectSettings()).readings.select("participant_id", "years")
    return visits.join(used, on=["participant_id", "years"], how="semi", maintain_order="left")


@dataclass(frozen=True)
class Drawn:
    """Measures of each rating: ``once`` (ratings, 4) and in resamples of people ``again`` (replicates, ratings, 4)."""

    names: list[str]
    once: Floats
    again: Floats

    def of(self, name: str, measure: str) -> float:
        return float(self.once[self.names.index(name), MEASURES.index(measure)])

    def apart(self, one: str, other: str, measure: str, factor: float = 1.0) -> tuple[float, float]:
        """One less a multiple of another, with its standard error."""
        i, j, k = self.names.index(one), self.names.index(other), MEASURES.index(measure)
        difference = self.again[:, i, k] - factor * self.again[:, j, k]
        return float(self.once[i, k] - factor * self.once[j, k]), float(np.nanstd(difference))


def measure(found: Rated) -> Drawn:
    ranks = [ranks_of(found.truth, rating) for rating in found.ratings.values()]
    generator = np.random.default_rng(0)
    n = found.truth.size
    weights = [np.bincount(generator.integers(n, size=n), minlength=n).astype(float) for _ in range(_BOOTSTRAP)]
    once = np.array([measures(each, np.ones(n)) for each in ranks], dtype=float)
    again = np.array([[measures(each, weight) for each in ranks] for weight in weights], dtype=float)
    return Drawn(list(found.ratings), once, again)


def verdicts(drawn: Drawn, auc_within: float) -> list[str]:
    """Hold the measures against what is asked for; differences with their standard error."""
    lines = []
    short, error = drawn.apart("oracle", "detect", "auc")
    lines.append(_line(auc_within - short, error, _auc(short, error, auc_within)))
    short, error = drawn.apart(_ORACLES[1], "detect", "auc")
    lines.append(f"- beside it: AUC {short:.3f} ± {error:.3f} below the oracle that sees all readings")
    for name in MEASURES[1:]:
        beyond, error = drawn.apart("detect", "oracle", name, PPV_SHARE)
        share = drawn.of("detect", name) / drawn.of("oracle", name)
        lines.append(_line(beyond, error, _ppv(name, share, beyond, error)))
    for name in MEASURES:
        best = max(drawn.names[len(_ORACLES) + 1 :], key=lambda rule, name=name: drawn.of(rule, name))
        gain, error = drawn.apart("detect", best, name)
        lines.append(_line(gain, error, f"{name}: {gain:+.3f} ± {error:.3f} against the best rule ({best})"))
    return lines


def _line(margin: float, error: float, words: str) -> str:
    """Say whether a margin is there, is missing, or is missing by less than two standard errors."""
    verdict = "PASS" if margin >= 0 else "SHORT, within two standard errors" if margin >= -2 * error else "FAIL"
    return f"- {verdict}: {words}"


_WITHIN = ("oracle", "detect", "ols_slope")


def within(found: Rated) -> Floats:
    """Give the measures (cohorts, ratings, 4) of :data:`_WITHIN` in each cohort, people ranked among their own."""
    parts = [found.cohort == number for number in np.unique(found.cohort)]
    each = [
        [measures(ranks_of(found.truth[own], found.ratings[name][own]), np.ones(own.sum())) for name in _WITHIN]
        for own in parts
    ]
    return np.array(each, dtype=float)


def verdicts_within(each: Floats, auc_within: float) -> list[str]:
    """Hold the means over cohorts against what is asked for, where there are cohorts enough for a standard error."""
    if len(each) < FEW_COHORTS:
        return []
    oracle, detect = each[:, 0], each[:, 1]
    room = detect - np.append(oracle[:, :1] - auc_within, PPV_SHARE * oracle[:, 1:], axis=1)
    margin, error = room.mean(axis=0), room.std(axis=0, ddof=1) / np.sqrt(len(each))
    short, share = (oracle - detect).mean(axis=0), detect.mean(axis=0) / oracle.mean(axis=0)
    words = [_auc(short[0], error[0], auc_within)]
    words += [_ppv(name, share[k], margin[k], error[k]) for k, name in enumerate(MEASURES[1:], start=1)]
    return [_line(margin[k], error[k], f"within a cohort, {line}") for k, line in enumerate(words)]


def _auc(short: float, error: float, allowed: float) -> str:
    return f"AUC {short:.3f} ± {error:.3f} below the oracle, allowed {allowed}"


def _ppv(name: str, share: float, beyond: float, error: float) -> str:
    return f"{name}: {share:.0%} of the oracle's, asked {PPV_SHARE:.0%} ({beyond:+.3f} ± {error:.3f})"


def as_used(found: Rated) -> list[str]:
    """Give the table of who is flagged, beside as many people from the top of detection; the gain with its SE."""
    lines = [
        "| flagged by | people | sensitivity | PPV | PPV of detection, as many people | gain |",
        "| --- |" + " ---: |" * 5,
    ]
    order = np.argsort(-found.ratings["detect"], kind="stable")
    for name, flagged in found.flags.items():
        n = int(flagged.sum())
        if not n:
            lines.append(f"| {name} | 0 |" + " |" * 4)
            continue
        top = np.zeros(flagged.size, dtype=bool)
        top[order[:n]] = True
        own, other = found.truth[flagged].mean(), found.truth[top].mean()
        error = np.sqrt(np.sum((top * (found.truth - other) - flagged * (found.truth - own)) ** 2)) / n
        sensitivity = found.truth[flagged].sum() / found.truth.sum()
        line = f"| {name} | {n:,} | {sensitivity:.2f} | {own:.2f} | {other:.2f} | {other - own:+.3f} ± {error:.3f} |"
        lines.append(line)
    return lines


def report(design: Design, found: Rated, library: int) -> None:
    """Print what was found of a design."""
    n, effective, slopes = found.truth.size, np.quantile(found.effective, [0.1, 0.5]), slopes_of(design)
    print(
        f"Slope of true log insulin: SD {slopes.sd:.2f} % per year, reliability of one person's slope "
        f"{slopes.reliability:.2f}. {n:,} of {found.people:,} people assessable"
        + (f", {found.truth.mean():.1%} with a window. " if n else ". ")
        + f"Oracle: {library:,} trajectories, of which effective, given all readings, {effective[0]:.0f} (10 %) and "
        f"{effective[1]:.0f} (median)."
    )
    if n < 200 or not found.truth.any() or found.truth.all():
        print("\nNot reachable in this design: fewer than 200 people are judged.", flush=True)
        return
    drawn = measure(found)
    print("\n| rating | AUC | PPV, top 2 % | PPV, top 5 % | PPV, as many as there are |\n| --- |" + " ---: |" * 4)
    for rating in drawn.names:
        print(f"| {rating} | " + " | ".join(f"{drawn.of(rating, name):.3f}" for name in MEASURES) + " |")
    each = within(found)
    for name, values in zip(_WITHIN, each.mean(axis=0), strict=True):
        print(f"| {name}, within a cohort | " + " | ".join(f"{value:.3f}" for value in values) + " |")
    print("\n" + "\n".join(as_used(found)))
    six_annual = design.n_visits == 6 and design.years_between_visits == 1
    asked = AUC_WITHIN_SIX_ANNUAL if six_annual else AUC_WITHIN
    print("\n" + "\n".join([*verdicts(drawn, asked), *verdicts_within(each, asked)]), flush=True)


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--people", type=int, default=20_000)
    parser.add_argument("--cohorts", type=int, default=2)
    parser.add_argument("--library", type=int, default=60_000)
    parser.add_argument("--minutes", type=float, default=60.0, help="for new cohorts of each design")
    given = parser.parse_args()
    print(f"# Detection beside the oracle and beside simple rules\n\n{made_by('detection_power.py')}")
    with Pool(given.workers) as workers:
        for name in chosen(list(TRIALS), given.only):
            design = replace(TRIALS[name], n_participants=given.people)

            def make(number: int, name: str = name, design: Design = design) -> Job:
                return Job(f"power, {given.library}, {name}", design, number, given.work)

            work = partial(rate, library_size=given.library)
            files = workers.until(make, work, lambda _: False, given.cohorts, given.minutes)
            print(f"\n## {name}\n")
            if not files:
                print("Not measured: no cohort was judged in the time given.", flush=True)
                continue
            report(design, rated(files), given.library)


if __name__ == "__main__":
    main()
