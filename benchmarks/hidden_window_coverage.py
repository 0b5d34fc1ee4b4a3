"""Does the interval of the hidden window hold the truth, and is an onset claimed where there is none?

    python benchmarks/hidden_window_coverage.py truth --work DIRECTORY
    python benchmarks/hidden_window_coverage.py coverage --work DIRECTORY [--cohorts 500] [--minutes 60]
    python benchmarks/hidden_window_coverage.py null --work DIRECTORY [--cohorts 1000] [--minutes 60]
    python benchmarks/hidden_window_coverage.py null-random --work DIRECTORY [--cohorts 1000] [--minutes 60]
    python benchmarks/hidden_window_coverage.py choices --work DIRECTORY

``truth`` applies the analysis itself, without refits, to the noise-free values of a million people whose events are
those of their noisy readings. ``coverage`` simulates cohorts, takes the interval of each, and holds it against that
truth; beside it stands the naive analysis: events by a single reading, the readings next to them kept as if they were
like others, the onset where the difference becomes significant. ``null`` gives people event dates that are drawn
independently of all markers. Cases are then met earlier in their follow-up than the others at their last visit, whose
markers have had longer to rise; ``null-random`` anchors the others at a random visit instead. Run again, each goes on
where it stopped. ``choices`` sets the analysis of one large cohort, under several settings, beside the same without
noise.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import shake_256
from pathlib import Path
from typing import Any

import detection_trials  # first: it sets the number of threads
import numpy as np
import polars as pl
from detection_trials import Pool, keep, made_by, options
from numpy.typing import NDArray

import ircohort as ic
from ircohort.evaluation import visits_of
from ircohort.evaluation.cohorts import cohort_seed
from ircohort.simulation import DESIGNS, Design, Simulated, simulate
from ircohort.trajectory import ModelSettings
from ircohort.trajectory.landmarks import find_onsets, find_windows
from ircohort.trajectory.measuring import Measured, measure
from ircohort.trajectory.record import GLUCOSE
from ircohort.trajectory.tables import onset_row

Floats = NDArray[np.float64]

MARKER = "homa_ir"
SEED = 6
DESIGN = replace(DESIGNS["clinic"], n_visits=11)
PEOPLE = {"truth": 100_000, "coverage": 2000, "null": 500, "null-random": 500}
MOST = {"truth": 10, "coverage": 500, "null": 1000, "null-random": 1000}
REFITS = {"truth": 0, "coverage": 400, "null": 200, "null-random": 200}
SHARE_WITH_EVENT = 0.3
SIGNIFICANT = 1.959964
LOWEST, HIGHEST, MOST_CLAIMED = 0.925, 0.975, 0.065


@dataclass(frozen=True)
class Job:
    """One cohort: what is asked of it, its number, and where the answer is kept."""

    part: str
    number: int
    directory: Path

    @property
    def settings(self) -> ModelSettings:
        """Those of the analysis."""
        outcomes = (MARKER,) if self.part.startswith("null") else (MARKER, GLUCOSE)
        anchor = "random_visit" if self.part == "null-random" else "last_visit"
        return ModelSettings(n_refits=REFITS[self.part], outcomes=outcomes, comparison=anchor, sensitivity=False)

    @property
    def design(self) -> Design:
        """The design with as many people as the part takes."""
        return replace(DESIGN, n_participants=PEOPLE[self.part])

    @property
    def file(self) -> Path:
        """The file, named by all that makes the cohort."""
        made_of = shake_256(repr((self.design, self.settings, SEED)).encode()).hexdigest(6)
        return self.directory / f"window_{self.part}.{made_of}" / f"{self.number:05d}.parquet"

    @property
    def seed(self) -> int:
        """The seed of the cohort."""
        return cohort_seed(SEED, 10_000 * list(PEOPLE).index(self.part) + self.number)


def work(job: Job) -> Path:
    """Simulate one cohort, and keep the row of its finding."""
    simulated = simulate(job.design, seed=job.seed)
    visits = ic.markers(visits_of(simulated, units=job.design.units))
    naive: dict[str, Any] = {}
    if job.part == "truth":
        visits = without_noise(visits, simulated)
    if job.part.startswith("null"):
        visits = with_drawn_events(visits, job.seed)
    if job.part == "coverage":
        naive = naive_window(visits, job.settings)
    found = measure(visits, job.settings, job.seed)
    row = onset_row(found.courses[MARKER], found.courses.get(GLUCOSE), job.settings)
    keep(pl.DataFrame([{**row, **naive, "cases": found.aligned.counts["cases"]}], infer_schema_length=None), job.file)
    return job.file


def without_noise(visits: pl.DataFrame, simulated: Simulated) -> pl.DataFrame:
    """Put true values in the place of readings; what the readings say of glycaemia stays."""
    true = simulated.truth_visits.select("participant_id", "visit_date", g="glucose_mg_dl", i="insulin_uiu_ml")
    joined = visits.join(true, on=["participant_id", "visit_date"], how="left", maintain_order="left")
    return joined.with_columns(glucose_mg_dl="g", homa_ir=pl.col("g") * pl.col("i") / 405).drop("g", "i")


def with_drawn_events(visits: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Let a share of people have an event at one of their visits but the first, drawn by lot."""
    rng = np.random.default_rng(seed)
    ordered = visits.sort("participant_id", "years")
    counts = ordered.group_by("participant_id", maintain_order=True).len()["len"].to_numpy()
    first = np.where(
        (rng.random(len(counts)) < SHARE_WITH_EVENT) & (counts > 2), 1 + rng.integers(0, np.maximum(counts - 2, 1)), 999
    )
    place = np.concatenate([np.arange(count) for count in counts])
    event = pl.Series(place >= np.repeat(first, counts))
    return ordered.with_columns(
        glycaemia=pl.when(event).then(pl.lit("prediabetes")).otherwise(pl.lit("normal")), glycaemia_by=pl.lit("glucose")
    )


def naive_window(visits: pl.DataFrame, settings: ModelSettings) -> dict[str, Any]:
    """Date the onset where the difference becomes significant, pointwise, events being single readings."""
    plain = replace(settings, event_dated="single", selected_readings="kept", by_time_seen=False, n_refits=200)
    found: Measured = measure(visits, plain, 0)
    course = found.courses[MARKER]
    error = course.difference[1:].std(axis=0)
    onset = find_onsets(course.times, (course.difference[0] / error)[None, :], SIGNIFICANT)
    inside = np.maximum(onset, course.times[0])
    assert course.glucose is not None
    assert course.glucose_times is not None
    years = find_windows(course.glucose_times, inside, course.glucose[:1], settings.glucose_cut_off_mg_dl).years[0]
    return {"naive_onset": float(inside[0]), "naive_window": float(years)}


def read(files: list[Path]) -> pl.DataFrame:
    """Join the rows of all cohorts."""
    return pl.concat([pl.read_parquet(file) for file in files], how="diagonal_relaxed")


def truth_of(directory: Path) -> tuple[float, float, float, int]:
    """Give the true window and onset, the standard error of the window, and how many people they rest on."""
    files = sorted(Job("truth", 0, directory).file.parent.glob("*.parquet"))
    rows = read(files)
    error = float(rows["hidden_window_years"].std()) / np.sqrt(len(files)) if len(files) > 1 else float("nan")
    people = PEOPLE["truth"] * len(files)
    return float(rows["hidden_window_years"].mean()), float(rows["onset_years"].mean()), error, people


def report_truth(rows: pl.DataFrame, directory: Path) -> None:
    """Say what the analysis finds without noise."""
    print(f"{truth_words(directory)}\n\nStatuses: {', '.join(sorted(set(rows['hidden_window_status'])))}.")


def truth_words(directory: Path) -> str:
    """Write the truth with its Monte Carlo error."""
    window, onset, error, people = truth_of(directory)
    return (
        f"Truth, from {people:,} people: onset {-onset:.2f} years before, window {window:.2f} years (SE {error:.3f})."
    )


def report_coverage(rows: pl.DataFrame, directory: Path) -> None:
    """Hold intervals and estimates against the truth, and the naive analysis beside."""
    window, onset, *_ = truth_of(directory)
    made = f"{rows.height} cohorts of {PEOPLE['coverage']:,} people ({rows['cases'].mean():.0f} cases)"
    print(f"{truth_words(directory)} {made}, {REFITS['coverage']} refits.\n")
    print("| years | truth | mean estimate | bias | median | SD | covered | 95 % of the share | |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- | --- |")
    for name, true in (("hidden_window", window), ("onset", onset)):
        low = rows[f"{name}_low"].fill_null(-np.inf).to_numpy()
        high = rows[f"{name}_high"].fill_null(np.inf).to_numpy()
        share = float(((low <= true) & (true <= high)).mean())
        ends = "{:.3f} to {:.3f}".format(*interval_of(share, rows.height))
        verdict = "" if name == "onset" else "pass" if LOWEST <= share <= HIGHEST else "**FAIL**"
        estimates = rows[f"{name}_years"].drop_nulls().to_numpy()
        print(f"| {estimate_words(name, true, estimates)} | {share:.3f} | {ends} | {verdict} |")
    for name, true in (("naive_window", window), ("naive_onset", onset)):
        estimates = rows[name].to_numpy()
        estimates = estimates[np.isfinite(estimates)]
        print(f"| {estimate_words(name, true, estimates)} | | | {rows.height - len(estimates)} without onset |")
    print("\nAn end of an interval that lies beyond the data holds everything there. Cohorts without an onset have a")
    print("window of 0 years, and no part in the means of the onset.")


def estimate_words(name: str, true: float, estimates: Floats) -> str:
    """Write the first cells of a row; onsets as years before the event."""
    sign = -1 if name.endswith("onset") else 1
    mean, median = sign * estimates.mean(), sign * np.median(estimates)
    numbers = (f"{sign * true:.2f}", f"{mean:.2f}", f"{mean - sign * true:+.2f}", f"{median:.2f}")
    return " | ".join((name.replace("_", " "), *numbers, f"{estimates.std():.2f}"))


def report_null(rows: pl.DataFrame, _directory: Path) -> None:
    """Count the claims where there is nothing to claim."""
    claimed, dated = float(rows["onset_claimed"].mean()), (rows["onset_status"] != "none").mean()
    ends = "{:.3f} to {:.3f}".format(*interval_of(claimed, rows.height))
    made = f"{rows.height} cohorts of {PEOPLE['null']} people ({rows['cases'].mean():.0f} cases)"
    print(f"{made}, {REFITS['null']} refits; event dates are drawn by lot.\n")
    verdict = "pass" if claimed <= MOST_CLAIMED else "**FAIL**"
    print(f"An onset is claimed in {claimed:.3f} of them (95 % {ends}; wanted: at most {MOST_CLAIMED}): {verdict}.")
    print(f"The estimate alone, without its refits, has an onset in {dated:.3f}.")


def interval_of(share: float, n: int) -> tuple[float, float]:
    """Give the Wilson interval of a share."""
    z2 = SIGNIFICANT**2
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = SIGNIFICANT / (1 + z2 / n) * np.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return max(middle - half, 0.0), min(middle + half, 1.0)


REPORTS = {"truth": report_truth, "coverage": report_coverage, "null": report_null, "null-random": report_null}


CHOICES = {
    "as by default": {},
    "selected readings kept": {"selected_readings": "kept"},
    "selected readings dropped": {"selected_readings": "dropped"},
    "whoever is seen when": {"by_time_seen": False},
    "anchored at a random visit": {"comparison": "random_visit"},
}
PEOPLE_OF_CHOICES = 20_000


def report_choices() -> None:
    """Print what noise does to the finding under each choice."""
    design = replace(DESIGN, n_participants=PEOPLE_OF_CHOICES)
    simulated = simulate(design, seed=SEED)
    noisy = ic.markers(visits_of(simulated, units=design.units))
    pairs = (("readings", noisy), ("without noise", without_noise(noisy, simulated)))
    print(f"One cohort of {PEOPLE_OF_CHOICES:,} people. Difference in SD, glucose of the cases in mg/dL.\n")
    print("| choice | values | onset | window | difference at -8 | at -3 | at 0 | glucose at -3 | at 0 |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for name, choice in CHOICES.items():
        settings = ModelSettings(n_refits=0, outcomes=(MARKER, GLUCOSE), sensitivity=False, **choice)
        for values, visits in pairs:
            found = measure(visits, settings, SEED)
            course, glucose = found.courses[MARKER], found.courses[GLUCOSE]
            row = onset_row(course, glucose, settings)
            onset = "none" if row["onset_years"] is None else f"{-row['onset_years']:.2f}"
            apart = (f"{at(course.times, course.difference[0], years):.3f}" for years in (-8.0, -3.0, 0.0))
            level = (f"{at(glucose.times, glucose.curves.cases[0], years):.2f}" for years in (-3.0, 0.0))
            cells = (name, values, onset, f"{row['hidden_window_years']:.2f}", *apart, *level)
            print(f"| {' | '.join(cells)} |")


def at(times: Floats, curve: Floats, years: float) -> float:
    """Read a curve at one time."""
    return float(np.interp(years, times, curve))


def main() -> None:
    parser = options(__doc__ or "")
    parser.add_argument("part", choices=(*REPORTS, "choices"))
    parser.add_argument("--cohorts", type=int)
    parser.add_argument("--minutes", type=float, default=600.0, help="for new cohorts")
    given = parser.parse_args()
    print(f"# The hidden window in simulated clinics: {given.part}\n")
    print(f"{made_by('hidden_window_coverage.py')} HOMA-IR, 11 annual visits, seed {SEED}.\n")
    if given.part == "choices":
        report_choices()
        return
    most = given.cohorts or MOST[given.part]
    with Pool(given.workers) as pool:
        files = pool.until(lambda k: Job(given.part, k, given.work), work, lambda _: False, most, given.minutes)  # type: ignore[arg-type, return-value]
    REPORTS[given.part](read(files), given.work)


if __name__ == "__main__":
    assert detection_trials.MOST_WORKERS
    main()
