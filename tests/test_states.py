"""What a cohort did over time: transitions, person-years, recovery, persistence, secretion against clearance."""

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from ircohort.errors import ColumnError, UsageError
from ircohort.indices import MARKERS, markers
from ircohort.schema import STATES
from ircohort.states import States, describe_states
from ircohort.states.persistence import _rank_correlation, _share

TABLES = (*("visits", "transitions", "person_years", "recovery", "persistence", "contrasts", "tracking", "secretion"),)
WORDS = {"s": "sensitive", "c": "compensated", "p": "prediabetes", "d": "diabetes", "?": "unknown"}


def course(letters: str, name: str = "x", **more: list[Any]) -> pl.DataFrame:
    """One person seen once a year, in these states."""
    cells = {
        "participant_id": [name] * len(letters),
        "years": [float(t) for t in range(len(letters))],
        "state": [WORDS[letter] for letter in letters],
        "insulin_uiu_ml": [8.0] * len(letters),
    }
    return pl.DataFrame({**cells, **more}, strict=False)


def crowd(n: int = 80, seed: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    person, k = np.repeat(np.arange(n), 9), 9
    level = rng.normal(2, 0.5, n)
    state = rng.choice(np.array(STATES), n * k, p=[0.4, 0.2, 0.2, 0.1, 0.1])
    return pl.DataFrame(
        {
            "participant_id": [f"{i:02d}" for i in person],
            "years": np.tile(np.arange(9.0), n) + rng.uniform(0, 0.4, n * k),
            "sex": list(np.where(person % 2, "female", "male")),
            "state": list(state),
            "insulin_uiu_ml": np.exp(level[person] + rng.normal(0, 0.3, n * k)),
            "bmi": 25 + 3 * (level[person] - 2) + rng.normal(0, 1, n * k),
            "c_peptide_ng_ml": np.exp(0.5 + 0.5 * (level[person] - 2) + rng.normal(0, 0.2, n * k)),
            "glucose_lowering_drug": list(rng.random(n * k) < 0.1),
        }
    )


# Transitions and time


def test_a_visit_that_shows_no_state_is_passed_over() -> None:
    found = describe_states(course("s?cs"))
    assert found.visits["from_state"].to_list() == [None, "sensitive", "sensitive", "compensated"]
    assert found.visits["change"].to_list() == [None, None, "worse", "better"]
    rows = found.transitions.select("from_state", "to_state", "change", "n", "n_followed", "n_settled", "years_between")
    assert rows.rows() == [
        ("sensitive", "compensated", "worse", 1, 1, 0, 2.0),
        ("compensated", "sensitive", "better", 1, 0, 0, 1.0),
    ]


def test_each_visit_counts_for_half_of_the_time_on_either_side() -> None:
    table = course("scpd", years=[0.0, 1.0, 4.0, 5.0])
    assert describe_states(table).visits["years_in_state"].to_list() == [0.5, 2.0, 2.0, 0.5]
    assert dict(describe_states(table).person_years.select("state", "person_years").iter_rows()) == {
        "sensitive": 0.5,
        "compensated": 2.0,
        "prediabetes": 2.0,
        "diabetes": 0.5,
        "unknown": 0.0,
    }


def test_of_a_long_gap_only_its_ends_are_known() -> None:
    found = describe_states(course("scpd", years=[0.0, 1.0, 4.0, 5.0]), longest_gap_years=2.0).person_years
    assert dict(found.select("state", "person_years").iter_rows()) == {
        "sensitive": 0.5,
        "compensated": 1.5,
        "prediabetes": 1.5,
        "diabetes": 0.5,
        "unknown": 1.0,
    }


@pytest.mark.parametrize("flag", [{"ill": True}, {"pregnant": True}, {"fasting": False}])
def test_an_unreliable_visit_shows_no_state_and_is_counted(flag: dict[str, bool]) -> None:
    name, value = next(iter(flag.items()))
    found = describe_states(course("scs", **{name: [None, value, None]}))
    assert found.visits["state"].to_list() == ["sensitive", "unknown", "sensitive"]
    assert any(note.startswith("1 visit not fasting") for note in found.notes)


@settings(derandomize=True, deadline=None, max_examples=60)
@given(
    letters=st.lists(st.text("scpd?", min_size=1, max_size=8), min_size=1, max_size=4),
    gap=st.one_of(st.none(), st.floats(0.5, 3.0)),
)
def test_transitions_and_years_are_those_counted_by_hand(letters: list[str], gap: float | None) -> None:
    rng = np.random.default_rng(sum(map(len, letters)))
    times = [np.round(np.cumsum(rng.uniform(0.1, 4.0, len(word))), 3) for word in letters]
    table = pl.concat(course(word, f"{i}", years=list(times[i])) for i, word in enumerate(letters))
    pairs: dict[tuple[str, str], int] = {}
    years = dict.fromkeys(STATES, 0.0)
    for word, at in zip(letters, times, strict=True):
        for a, b in pairwise([letter for letter in word if letter != "?"]):
            pairs[WORDS[a], WORDS[b]] = pairs.get((WORDS[a], WORDS[b]), 0) + 1
        for (a, b), (s, t) in zip(pairwise(word), pairwise(at), strict=True):
            half = min((t - s) / 2, gap / 2 if gap else math.inf)
            years[WORDS[a]] += half
            years[WORDS[b]] += half
            years["unknown"] += t - s - 2 * half
    found = describe_states(table.sample(fraction=1.0, shuffle=True, seed=1), longest_gap_years=gap)
    assert {(a, b): n for a, b, n in found.transitions.select("from_state", "to_state", "n").iter_rows()} == pairs
    assert dict(found.person_years.select("state", "person_years").iter_rows()) == pytest.approx(years, abs=1e-9)


# Recovery and relapse

COURSES = {
    "ssss": {},
    "scsc": {},  # once is not confirmed
    "sccc": {"compensated": (1, 0, 0)},
    "sccss": {"compensated": (1, 1, 0)},
    "ccsscc": {"compensated": (1, 1, 1)},
    "sppcc": {"compensated": (1, 0, 0), "prediabetes": (1, 1, 0)},
    "ppsspp": {"compensated": (1, 1, 1), "prediabetes": (1, 1, 1)},
    "dpdds?s": {"compensated": (1, 1, 0), "prediabetes": (1, 1, 0), "diabetes": (1, 1, 0)},
    "ddpp": {"compensated": (1, 0, 0), "prediabetes": (1, 0, 0), "diabetes": (1, 1, 0)},
}


@pytest.mark.parametrize("letters", COURSES)
def test_recovery_and_relapse_take_two_visits_in_a_row(letters: str) -> None:
    found = describe_states(course(letters)).recovery
    counted = {state: (a, b, c) for state, a, b, c, _ in found.iter_rows()}
    assert counted == {state: COURSES[letters].get(state, (0, 0, 0)) for state in STATES[1:-1]}


def test_the_years_to_recovery_run_from_the_event_to_the_first_better_visit() -> None:
    assert describe_states(course("sccss")).recovery["years_to_recovery"].to_list() == [2.0, None, None]


def test_better_under_a_drug_is_no_recovery() -> None:
    drug = [False, False, False, True, True]
    assert describe_states(course("sppss", glucose_lowering_drug=drug)).recovery["recovered"].to_list() == [0, 0, 0]


def test_glycaemia_judges_recovery_where_insulin_is_missing() -> None:
    table = course("spp??", glycaemia=["normal", "prediabetes", "prediabetes", "normal", "normal"])
    assert describe_states(table).recovery["recovered"].to_list() == [0, 1, 0]
    assert describe_states(table.drop("glycaemia")).recovery["recovered"].to_list() == [0, 0, 0]


# Persistence


def two_visits(first: list[float], last: list[float], apart: float = 8.0, **more: list[Any]) -> pl.DataFrame:
    n = len(first)
    return pl.DataFrame(
        {
            "participant_id": [f"{i:03d}" for i in range(n)] * 2,
            "years": [0.0] * n + [apart] * n,
            "state": ["unknown"] * (2 * n),
            "insulin_uiu_ml": [*first, *last],
            **{name: [*values, *values] for name, values in more.items()},
        }
    )


def test_the_top_and_bottom_quarters_at_both_ends() -> None:
    first = [float(i) for i in range(1, 13)]
    last = [2.0, 3.0, 9.0, 4.0, 5.0, 6.0, 7.0, 8.0, 1.0, 10.0, 11.0, 12.0]
    found = describe_states(two_visits(first, last, bmi=[float(20 + i) for i in range(12)]))
    top, bottom = found.persistence.rows(named=True)
    assert (top["n_participants"], top["n_first"], top["n_both"], top["years_between"]) == (12, 3, 3, 8.0)
    assert (bottom["n_first"], bottom["n_both"]) == (3, 2)
    assert bottom["share_staying"] == pytest.approx(2 / 3)
    bmi = found.contrasts.row(0, named=True)
    assert (bmi["n_top"], bmi["n_bottom"]) == (3, 2)
    assert bmi["difference"] == pytest.approx(np.mean([29, 30, 31]) - np.mean([20, 21]))
    assert found.contrasts.row(1, named=True)["difference"] is None  # nobody's waist was measured


def test_ties_share_a_quarter_and_nobody_is_top_where_all_are_equal() -> None:
    found = describe_states(two_visits([8.0] * 12, [9.0] * 12)).persistence
    assert found["n_first"].to_list() == [0, 0]
    assert found["share_staying"].to_list() == [None, None]


def test_quarters_can_be_formed_within_groups() -> None:
    first = [1.0, 2.0, 3.0, 4.0, 11.0, 12.0, 13.0, 14.0]
    sex = ["female"] * 4 + ["male"] * 4
    table = two_visits(first, first, sex=sex)
    of_all, of_groups = describe_states(table), describe_states(table, within=["sex"])
    assert of_all.persistence["n_both"].to_list() == of_groups.persistence["n_both"].to_list() == [2, 2]
    value = table.head(8).with_columns(bmi=pl.Series(first))
    table = pl.concat([value, value.with_columns(years=pl.lit(8.0))])
    assert describe_states(table).contrasts["mean_top"][0] == pytest.approx(13.5)
    assert describe_states(table, within=["sex"]).contrasts["mean_top"][0] == pytest.approx(9.0)  # 4 and 14


def test_who_was_not_followed_long_enough_says_nothing_of_persistence() -> None:
    table = two_visits([1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 4.0], apart=4.9)
    found = describe_states(table)
    assert found.persistence["n_participants"].to_list() == [0, 0]
    assert found.tracking.height == 0
    assert any("persistence is not given" in note for note in found.notes)
    assert describe_states(table, min_years_apart=4.9).persistence["n_participants"].to_list() == [4, 4]


def test_values_of_visits_that_are_not_fasting_do_not_rank_and_censored_ones_rank_by_half_the_limit() -> None:
    table = two_visits([1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 4.0])
    assert (
        describe_states(table.with_columns(fasting=pl.col("insulin_uiu_ml") < 4)).persistence["n_participants"][0] == 3
    )
    bounds = {
        "insulin_uiu_ml": pl.when(pl.col("insulin_uiu_ml") > 1).then("insulin_uiu_ml"),
        "insulin_uiu_ml_lower": pl.when(pl.col("insulin_uiu_ml") == 1).then(0.0),
        "insulin_uiu_ml_upper": pl.when(pl.col("insulin_uiu_ml") == 1).then(2.0),
    }
    assert_frame_equal(describe_states(table.with_columns(**bounds)).tracking, describe_states(table).tracking)


def test_tracking_is_spearmans_correlation_with_the_published_interval() -> None:
    # The example of ci.spear in the R package statpsych 1.6.0 (Bonett and Wright 2000).
    y = [21.0, 4, 9, 12, 35, 18, 10, 22, 24, 1, 6, 8, 13, 16, 19]
    x = [67.0, 28, 30, 28, 52, 40, 25, 37, 44, 10, 14, 20, 28, 40, 51]
    found = describe_states(two_visits(y, x)).tracking
    assert found["pairs"].to_list() == ["first_to_last", "first_to_year_8"]
    for row in found.rows(named=True):
        assert row["n_participants"] == 15
        got = [row["spearman"], row["spearman_low"], row["spearman_high"]]
        assert got == pytest.approx([0.8699639, 0.5840951, 0.9638297], abs=1e-6)


def test_the_visit_nearest_to_a_year_is_correlated() -> None:
    rng = np.random.default_rng(0)
    rows = [
        {"participant_id": f"{i:02d}", "years": t, "state": "unknown", "insulin_uiu_ml": v}
        for i in range(20)
        for t, v in ((0.0, rng.normal(9, 1)), (0.7, 1.0), (1.1, float(i)), (6.0, rng.normal(9, 1)))
    ]
    table = pl.DataFrame(rows)
    first = table.filter(pl.col("years") == 0)["insulin_uiu_ml"]
    year = describe_states(table).tracking.filter(pl.col("pairs") == "first_to_year_1").row(0, named=True)
    expected = pd.Series(first.to_list()).corr(pd.Series(range(20)), method="spearman")
    assert year["spearman"] == pytest.approx(expected)
    assert year["years_between"] == pytest.approx(1.1)


def test_correlations_without_an_interval_have_none() -> None:
    def of(first: list[float], last: list[float]) -> tuple[Any, ...]:
        return _rank_correlation(pl.DataFrame({"apart": [8.0] * len(first), "first_value": first, "value": last}))

    assert of([1.0, 2.0, 3.0], [1.0, 2.0, 3.0]) == (8.0, 3, None, None, None)
    assert of([1.0, 2.0, 3.0, 4.0], [1.0, 1.0, 1.0, 1.0]) == (8.0, 4, None, None, None)
    assert of([1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 4.0]) == pytest.approx((8.0, 4, 1.0, None, None))


def test_shares_have_wilsons_interval() -> None:
    # (p + z2/2n +- z sqrt(p q / n + z2/4n2)) / (1 + z2/n), written out.
    z2, p, n = 1.959963984540054**2, 0.3, 10
    reach = math.sqrt(z2) * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    low, high = ((p + z2 / (2 * n) + sign * reach) / (1 + z2 / n) for sign in (-1, 1))
    assert _share(3, 10) == pytest.approx((0.3, low, high))


def test_differences_have_welchs_interval() -> None:
    from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

    table = crowd(120, 2)
    found = describe_states(table)
    last = table.sort("participant_id", "years").unique("participant_id", keep="last", maintain_order=True)
    first = table.sort("participant_id", "years").unique("participant_id", keep="first", maintain_order=True)
    ranks = [np.argsort(np.argsort(visit["insulin_uiu_ml"].to_numpy())) for visit in (first, last)]
    bmi = last["bmi"].to_numpy()
    top, bottom = (bmi[np.logical_and(*(rank // 30 == quarter for rank in ranks))] for quarter in (3, 0))
    low, high = CompareMeans(DescrStatsW(top), DescrStatsW(bottom)).tconfint_diff(usevar="unequal")
    row = found.contrasts.row(0, named=True)
    assert (row["n_top"], row["n_bottom"]) == (len(top), len(bottom))
    assert (row["difference_low"], row["difference_high"]) == pytest.approx((low, high))


# Secretion against clearance


def test_the_c_peptide_ratio_is_in_moles() -> None:
    # 2 ng/mL are 2 / 3.02 nmol/L = 662.3 pmol/L; 10 uIU/mL are 60 pmol/L: 11.04.
    table = course("s", c_peptide_ng_ml=[2.0], insulin_uiu_ml=[10.0]).drop("state")
    assert markers(table)["c_peptide_insulin_ratio"].item() == pytest.approx(11.038, abs=1e-3)
    assert MARKERS["c_peptide_insulin_ratio"].unit == "mol/mol"
    assert markers(table.with_columns(insulin_uiu_ml=0.0))["c_peptide_insulin_ratio"].item() is None
    assert markers(table.drop("c_peptide_ng_ml"))["c_peptide_insulin_ratio"].item() is None


@pytest.mark.parametrize(("secretion", "clearance"), [(0.05, 0.0), (0.0, -0.05), (0.03, -0.02)])
def test_a_rise_of_insulin_is_split_into_secretion_and_clearance(secretion: float, clearance: float) -> None:
    rng = np.random.default_rng(1)
    person, years = np.repeat(np.arange(60), 8), np.tile(np.arange(8.0), 60)
    c_peptide = rng.normal(0.5, 0.3, 60)[person] + secretion * years + rng.normal(0, 0.1, 480)
    ratio = rng.normal(2.4, 0.3, 60)[person] + clearance * years + rng.normal(0, 0.1, 480)
    molar = 1 / 0.00302 / 6.0
    table = pl.DataFrame(
        {
            "participant_id": [f"{i:02d}" for i in person],
            "years": years,
            "state": ["unknown"] * 480,
            "c_peptide_ng_ml": np.exp(c_peptide),
            "insulin_uiu_ml": np.exp(c_peptide - ratio) * molar,
        }
    )
    found = describe_states(table).secretion
    log = {row["outcome"]: np.log1p(row["pct_per_year"] / 100) for row in found.rows(named=True)}
    assert log["insulin"] == pytest.approx(log["c_peptide"] - log["ratio"], abs=1e-12)
    assert log["c_peptide"] == pytest.approx(secretion, abs=0.006)  # five standard errors
    assert log["ratio"] == pytest.approx(clearance, abs=0.006)
    assert found["n_visits"].to_list() == [480] * 3


def test_the_common_slope_is_that_of_statsmodels_with_clusters() -> None:
    import statsmodels.api as sm

    table = crowd(30, 3).sort("participant_id", "years")
    index = table["participant_id"].cast(pl.Int64).to_numpy()
    persons = (index[:, None] == np.arange(30)).astype(float)
    design = np.column_stack([table["years"].to_numpy(), persons])
    fit = sm.OLS(np.log(table["insulin_uiu_ml"].to_numpy()), design).fit()
    robust = fit.get_robustcov_results("cluster", groups=index, use_correction=False)
    row = describe_states(table).secretion.row(0, named=True)
    assert row["pct_per_year"] == pytest.approx(100 * np.expm1(fit.params[0]))
    reach = (np.log1p(row["high"] / 100) - np.log1p(row["low"] / 100)) / 2
    assert reach == pytest.approx(2.0452296 * robust.bse[0] * np.sqrt(30 / 29))  # t with 29 degrees of freedom


# The tables


@pytest.fixture(scope="module")
def found() -> States:
    return describe_states(crowd())


def test_the_order_of_the_rows_and_the_names_do_not_matter(found: States) -> None:
    names = {f"{i:02d}": f"{(37 * i) % 80:02d}" for i in range(80)}
    table = crowd().with_columns(pl.col("participant_id").replace_strict(names))
    other = describe_states(table.sample(fraction=1.0, shuffle=True, seed=2))
    for name in TABLES[1:]:
        assert_frame_equal(getattr(other, name), getattr(found, name), check_exact=False, rel_tol=1e-12)
    shuffled = describe_states(crowd().sample(fraction=1.0, shuffle=True, seed=2))
    for name in TABLES:
        assert_frame_equal(getattr(shuffled, name), getattr(found, name), check_exact=True)


def test_the_unit_of_the_marker_does_not_matter(found: States) -> None:
    scaled = describe_states(crowd().with_columns(pl.col("insulin_uiu_ml") * 6.0))
    for name in ("persistence", "contrasts", "tracking"):
        assert_frame_equal(getattr(scaled, name), getattr(found, name))


def test_pandas_in_gives_pandas_out(found: States) -> None:
    other = describe_states(crowd().to_pandas())
    for name in TABLES:
        table = getattr(other, name)
        assert isinstance(table, pd.DataFrame)
        assert_frame_equal(pl.from_pandas(table), getattr(found, name), check_dtypes=False)


def test_no_rows_give_empty_tables_with_the_same_columns(found: States) -> None:
    empty = describe_states(crowd().clear())
    for name in TABLES:
        assert getattr(empty, name).schema == getattr(found, name).schema
    assert empty.person_years["person_years"].to_list() == [0.0] * 5
    assert empty.recovery["reached"].to_list() == [0, 0, 0]


def test_a_visit_without_a_time_is_left_out_and_counted() -> None:
    found = describe_states(course("scs", years=[0.0, None, 2.0]))
    assert found.visits["years"].to_list() == [0.0, 2.0]
    assert found.notes[0] == "1 visit without a time was left out."


def test_what_cannot_be_used_is_refused_with_the_way_out() -> None:
    with pytest.raises(ColumnError, match="markers"):
        describe_states(course("s").drop("state"))
    with pytest.raises(ColumnError, match="other words"):
        describe_states(course("s").with_columns(state=pl.lit("fine")))
    with pytest.raises(ColumnError, match="no column homa"):
        describe_states(course("s"), marker="homa")
    with pytest.raises(ColumnError, match="holds no numbers"):
        describe_states(course("s"), marker="state")
    with pytest.raises(ColumnError, match="no column group"):
        describe_states(course("s"), within=["group"])
    with pytest.raises(UsageError, match="min_years_apart"):
        describe_states(course("s"), min_years_apart=0)
    with pytest.raises(UsageError, match="longest_gap_years"):
        describe_states(course("s"), longest_gap_years=-1.0)
