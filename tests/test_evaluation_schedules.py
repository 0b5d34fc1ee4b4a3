"""What more visits would buy: schedules, the figures, the command, and the oracle that detection is held against."""

from __future__ import annotations

import re
import shlex
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from ircohort.cli import exit_code
from ircohort.cli.evaluated import TABLES
from ircohort.detection import DetectSettings
from ircohort.errors import UsageError
from ircohort.evaluation import GATES, RULES, evaluate, schedules, visits_of
from ircohort.evaluation.cohorts import draw_cohort
from ircohort.evaluation.schedules import schedule_schema, seen_by
from ircohort.plot import to_png
from ircohort.plot import to_svg as svg
from ircohort.plot.evaluation import detection_quality
from ircohort.plot.evaluation import schedules as draw_schedules
from ircohort.simulation import DESIGNS, simulate

CLINIC = replace(DESIGNS["clinic"], n_participants=80)
ROOT = Path(__file__).parents[1]
BENCHMARKS = ROOT / "benchmarks"


def by_slope(visits: pl.DataFrame) -> pl.DataFrame:
    corrected = pl.corr("years", "insulin_uiu_ml").fill_nan(None)
    return visits.group_by("participant_id", maintain_order=True).agg(
        ((corrected + 1) / 2).clip(0, 1).alias("probability")
    )


@pytest.fixture(scope="module")
def table() -> pl.DataFrame:
    return schedules(CLINIC, visits_per_year=[0.5, 1], years=[4, 10], detector=by_slope, cohorts=2, seed=1)


# -- schedules --------------------------------------------------------------------------------------------------------


def test_every_schedule_has_a_row_with_the_columns_that_are_promised(table: pl.DataFrame) -> None:
    assert table.schema == pl.Schema(schedule_schema())
    assert table.select("visits_per_year", "years", "n_visits").rows() == [
        (0.5, 4, 3),
        (0.5, 10, 6),
        (1, 4, 5),
        (1, 10, 11),
    ]
    assert (table["n_participants"] == 160).all()


def test_more_years_hold_more_windows_and_more_visits_rank_better(table: pl.DataFrame) -> None:
    true = dict(
        table.select(
            pl.struct("visits_per_year", "years").map_elements(lambda cell: tuple(cell.values()), pl.Object), "n_true"
        ).iter_rows()
    )
    assert true[(1.0, 10.0)] > true[(1.0, 4.0)]
    auc = {(row["visits_per_year"], row["years"]): row["auc"] for row in table.to_dicts()}
    assert auc[(1.0, 10.0)] > auc[(0.5, 4.0)]


def test_a_cell_is_the_evaluation_of_its_design(table: pl.DataFrame) -> None:
    found = evaluate(seen_by(CLINIC, 1, 10), detector=by_slope, cohorts=2, seed=1, rules=False)
    row = table.filter((pl.col("visits_per_year") == 1) & (pl.col("years") == 10)).row(0, named=True)
    assert row["auc"] == found.summary["auc"].item()
    ppv = found.rates.filter((pl.col("rate") == "ppv") & (pl.col("threshold") == 0.8))
    assert (row["ppv_0.8"], row["ppv_0.8_low"]) == ppv.select("estimate", "low").row(0)


def test_people_are_the_same_under_every_schedule() -> None:
    often, seldom = (simulate(seen_by(CLINIC, rate, 10), seed=3).truth["kappa_per_year"] for rate in (2, 0.5))
    assert often.equals(seldom)


@pytest.mark.parametrize(("often", "years"), [(0.5, 5), (0, 5), (-1, 4), (1, 0)])
def test_a_schedule_that_does_not_fit_is_refused(often: float, years: float) -> None:
    with pytest.raises(UsageError, match="do not fit"):
        seen_by(CLINIC, often, years)


# -- figures ----------------------------------------------------------------------------------------------------------


def words(figure: object) -> str:
    found = [text.get_text() for axes in figure.axes for text in axes.texts]
    return " | ".join(found + [text.get_text() for text in figure.texts])


def test_the_figure_of_schedules_shows_three_measures(table: pl.DataFrame) -> None:
    figure = draw_schedules(table)
    assert [axes.texts[0].get_text() for axes in figure.axes] == [
        "True windows flagged",
        "Flags that are right",
        "Ranking",
    ]
    drawn = [line.get_ydata() for line in figure.axes[2].get_lines()]
    assert [list(line) for line in drawn] == [table["auc"].to_list()[:2], table["auc"].to_list()[2:]]
    assert to_png(figure) == to_png(draw_schedules(table.to_pandas()))
    assert svg(figure).startswith(b"<?xml")


def test_schedules_under_which_nobody_is_flagged_can_be_drawn(table: pl.DataFrame) -> None:
    empty = [name for name in table.columns if name.startswith(("ppv", "auc"))]
    bare = table.with_columns(pl.lit(None, pl.Float64).alias(name) for name in empty)
    assert to_png(draw_schedules(bare))
    assert "no schedule" in words(draw_schedules(table.head(0)))


def test_the_figure_of_an_evaluation_names_every_rule_that_flags() -> None:
    found = evaluate(CLINIC, detector=by_slope, cohorts=2, seed=1)
    figure = detection_quality(found)
    formatter = figure.axes[1].yaxis.get_major_formatter()
    labels = [formatter(place, None) for place in figure.axes[1].get_yticks()]
    assert [label.split("\n")[0] for label in labels[:2]] == ["ircohort, from 0.5", "ircohort, from 0.8"]
    assert len(labels) == 7
    assert "160 simulated people" in words(figure)
    assert "whatever glucose is" in words(detection_quality(found, gate="none"))
    shown = found.calibration.filter(pl.col("n") >= 20)
    dots = np.asarray(figure.axes[0].collections[1].get_offsets())
    assert dots == pytest.approx(shown.select("stated", "observed").to_numpy())


def test_an_evaluation_of_nobody_says_so() -> None:
    nobody = evaluate(CLINIC, detector=lambda visits: by_slope(visits).head(0), seed=1)
    assert "Nobody could be assessed" in words(detection_quality(nobody))


# -- the command ------------------------------------------------------------------------------------------------------


def run(*arguments: object) -> int:
    return exit_code(["evaluate", *map(str, arguments), "--quiet"])


def test_the_command_writes_every_table_and_the_figure(tmp_path: Path) -> None:
    few = ("--design", "clinic", "--participants", 40, "--visits", 6, "--cohorts", 1, "--seed", 1)
    out = (tmp_path / "rates.csv", tmp_path / "tables", tmp_path / "quality.svg")
    assert run(*few, "--over-time", "-o", out[0], "--tables", out[1], "--figure", out[2]) == 0
    rates = pl.read_csv(out[0])
    assert rates["rate"].unique().sort().to_list() == sorted(
        ["fdr", "npv", "ppv", "sensitivity", "share_of_all_true", "specificity"]
    )
    assert pl.read_csv(out[1] / "alarms.csv")["look"].unique().sort().to_list() == ["every_visit", "once"]
    assert pl.read_csv(out[1] / "people.csv").height == 40
    assert out[2].read_bytes().startswith(b"<?xml")
    assert run(*few, "--tables", out[1]) == 2  # it is there already


def test_the_command_takes_the_visits_of_an_export(tmp_path: Path) -> None:
    simulate(replace(CLINIC, n_participants=12, n_visits=4), seed=1).labs.write_csv(tmp_path / "labs.csv")
    common = (tmp_path / "labs.csv", "--cohorts", 1, "-o", tmp_path / "rates.csv")
    assert run(*common, "--tables", tmp_path / "tables") == 0
    assert pl.read_csv(tmp_path / "tables" / "summary.csv")["n_participants"].item() == 12
    assert run(*common, "--visits", 5) == 2
    assert run(*common, "--grid") == 2
    assert run(tmp_path / "labs.csv", "-o", tmp_path / "labs.csv") == 2


def test_the_grid_of_the_command_is_the_one_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    few = ("--design", "clinic", "--participants", 25, "--cohorts", 1, "--grid", "--per-year", 1)
    out = tmp_path / "grid.csv"
    wanted = (*few, "--for-years", 3, "--for-years", 5, "-o", out, "--figure", tmp_path / "grid.png")
    assert exit_code(["evaluate", *map(str, wanted)]) == 0
    assert pl.read_csv(out).select("visits_per_year", "years").rows() == [(1.0, 3.0), (1.0, 5.0)]
    assert (tmp_path / "grid.png").read_bytes().startswith(b"\x89PNG")
    assert "under 2 of 2 schedules nobody was judged: that takes 400 people" in capsys.readouterr().err


@pytest.mark.parametrize(
    "wrong",
    [
        ("--per-year", 1),
        ("--grid", "--over-time"),
        ("--grid", "--tables", "there"),
        ("--grid", "--visits", 4),
        ("--figure", "quality.pdf"),
        ("-o", "one.csv", "--calibration", "one.csv"),
        ("--design", "nowhere"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_work_begins(wrong: tuple[object, ...]) -> None:
    assert run(*wrong) == 2


def test_the_commands_of_the_page_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8")
    lines = [line for block in re.findall(r"```sh\n(.*?)```", page, flags=re.DOTALL) for line in block.splitlines()]
    assert len(lines) == 3
    (tmp_path / "data").symlink_to(ROOT / "data")
    monkeypatch.chdir(tmp_path)
    for line in lines:
        program, *arguments = shlex.split(line)
        assert (program, exit_code([*arguments, "--quiet"])) == ("ircohort", 0), line
    assert {path.name for path in tmp_path.iterdir()} >= {"evaluation", "quality.svg", "grid.csv", "calibration.csv"}
    assert (pl.read_csv("grid.csv")["n_assessable"] > 0).all()
    for rates in ("rates.csv", "evaluation/rates.csv"):
        assert pl.read_csv(rates).filter(rate="sensitivity")["estimate"].null_count() == 0


def test_the_page_names_every_table_rule_and_gate() -> None:
    page = (ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8")
    assert not [name for name in (*TABLES, *RULES, *GATES) if f"`{name}`" not in page]


# -- the oracle -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def oracle() -> object:
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import oracle
    finally:
        sys.path.remove(str(BENCHMARKS))
    return oracle


def test_the_oracle_equals_a_posterior_computed_person_by_person(oracle: object) -> None:
    design = replace(DESIGNS["clinic"], n_participants=6, n_visits=7, share_insulin_missing=0.2)
    library = oracle.make_library(design, 400)
    readings = oracle.readings_of(visits_of(simulate(design, seed=2)), library.planned)
    found = oracle.ask(library, readings)
    for i in range(6):
        log_weights = np.zeros(400)
        for outcome in range(3):
            there = np.isfinite(readings.value[outcome, i])
            truth = library.level[outcome][:, there] + readings.moved[i, there] * library.change[outcome][:, there]
            residual = readings.value[outcome, i, there] - library.middle[outcome] - truth
            covariance = library.sd[outcome] ** 2 * np.eye(there.sum())
            if outcome == 2:
                covariance += library.deviation_sd**2
            log_weights -= 0.5 * np.einsum("ij,jk,ik->i", residual, np.linalg.inv(covariance), residual)
        weights = np.exp(log_weights - log_weights.max())
        assert (readings.stretches.person == np.arange(6)).all()  # one series each, from the first visit
        last = np.flatnonzero(library.months <= readings.stretches.last[i] + 1e-9)[-1]
        expected = weights[library.opened[last] >= 0].sum() / weights.sum()
        assert found.probability[i] == pytest.approx(expected, abs=2e-3)  # single precision
        assert found.effective[i] == pytest.approx(weights.sum() ** 2 / np.square(weights).sum(), rel=0.02)


def test_the_truth_of_a_trajectory_is_that_of_a_person_with_the_same_follow_up(oracle: object) -> None:
    design = replace(DESIGNS["clinic"], n_participants=300, n_visits=9, until_diabetes=False, share_visits_missed=0.0)
    library = oracle.make_library(design, 300, seed=11)
    for n_visits in (5, 9):
        shorter = replace(design, n_visits=n_visits, visit_jitter_years=0.0)
        truth = simulate(shorter, seed=11).truth
        assert int((library.opened[12 * (n_visits - 1)] >= 0).sum()) == truth["hidden_window"].sum()


def test_the_oracle_is_calibrated_and_ranks_better_than_a_slope(oracle: object) -> None:
    from ircohort.evaluation import area_under_curve

    design = replace(DESIGNS["clinic"], n_participants=500)
    cohort = draw_cohort(design, seed=3, pattern=None, settings=DetectSettings())
    library = oracle.make_library(design, 6000)
    answer = oracle.ask(library, oracle.readings_of(cohort.visits, library.planned))
    truth = cohort.truth.sort("participant_id")["hidden_window"].to_numpy()
    assert answer.probability.mean() == pytest.approx(truth.mean(), abs=0.06)
    crude = by_slope(cohort.visits)["probability"].fill_null(0.5).to_numpy()
    assert area_under_curve(truth, answer.probability) > area_under_curve(truth, crude) + 0.03
