"""Time in the compensated state: spells by hand, the competing estimate against other routes, known truth, edges."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from scipy.optimize import minimize

from ircohort.errors import ColumnError, UsageError
from ircohort.frames import to_pandas
from ircohort.states.compensated import compensated_time
from ircohort.states.competing import estimate, incidence_by
from ircohort.turnbull import event_free, turnbull

WORDS = {"s": "sensitive", "c": "compensated", "p": "prediabetes", "d": "diabetes", "?": "unknown"}
TABLES = ("spells", "quartiles", "incidence")


def course(letters: str, name: str = "x", **more: list[Any]) -> pl.DataFrame:
    """One person seen once a year, in these states."""
    cells = {
        "participant_id": [name] * len(letters),
        "years": [float(t) for t in range(len(letters))],
        "state": [WORDS[letter] for letter in letters],
    }
    return pl.DataFrame({**cells, **more}, strict=False)


def spell(letters: str, confirmed: bool) -> tuple[Any, ...] | None:
    rows = compensated_time(course(letters), confirmed=confirmed, n_refits=0).spells.rows()
    return rows[0][1:] if rows else None


def exponential(n: int, median: float, gap: float, seed: int) -> pl.DataFrame:
    """People seen often, who become compensated and leave that state after an exponential time, 60 % for worse."""
    rng = np.random.default_rng(seed)
    k = int(12 / gap)
    times = np.arange(k) * gap + rng.uniform(0, gap / 3, (n, k))
    entry = rng.uniform(2 * gap, 5, n)
    end = entry + rng.exponential(median / math.log(2), n)
    after = np.where(rng.random(n) < 0.6, "prediabetes", "sensitive")[:, None]
    inside = np.where(times < end[:, None], "compensated", after)
    state = np.where(times < entry[:, None], "sensitive", inside)
    seen = (times <= rng.uniform(5, 12, n)[:, None]).ravel()
    names = np.repeat([f"{i:04d}" for i in range(n)], k)
    return pl.DataFrame({"participant_id": names[seen], "years": times.ravel()[seen], "state": state.ravel()[seen]})


# -- spells ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("letters", "expected"),
    [
        ("ssccpp", (1, 2, 3, 4, "prediabetes", 1, 3)),
        ("ssccpd", (1, 2, 3, 4, "prediabetes", 1, 3)),
        ("ssccss", (1, 2, 3, 4, "recovery", 1, 3)),
        ("ssccc", (1, 2, 3, None, "end_of_follow_up", 1, None)),  # the last visit cannot be confirmed
        ("sscsccss", (3, 4, 5, 6, "recovery", 1, 3)),  # a single compensated visit begins nothing
        ("ssccscc", (1, 2, 5, None, "end_of_follow_up", 3, None)),  # nor does a single sensitive one end anything
        ("sscccp", (1, 2, 4, None, "end_of_follow_up", 2, None)),  # nor an unconfirmed last one
        ("ssccspp", (1, 2, 3, 5, "prediabetes", 1, 4)),  # left for certain after the last compensated visit
        ("ss?c?cp?p", (1, 3, 5, 6, "prediabetes", 2, 5)),
        ("sccpp", None),  # a single sensitive visit is not a state
        ("ccpp", None),
        ("ssppccss", None),
        ("ssccssccc", (1, 2, 3, 4, "recovery", 1, 3)),  # the first spell only
    ],
)
def test_spells_of_confirmed_states(letters: str, expected: tuple[Any, ...] | None) -> None:
    found = spell(letters, True)
    assert found == (expected and (*expected[:4], expected[4], *expected[5:]))


@pytest.mark.parametrize(
    ("letters", "expected"),
    [
        ("scp", (0, 1, 1, 2, "prediabetes", 0, 2)),
        ("sscsccss", (1, 2, 2, 3, "recovery", 0, 2)),
        ("sccd", (0, 1, 2, 3, "prediabetes", 1, 3)),
        ("sc", (0, 1, 1, None, "end_of_follow_up", 0, None)),
        ("cscc", None),
    ],
)
def test_spells_of_single_visits(letters: str, expected: tuple[Any, ...] | None) -> None:
    assert spell(letters, False) == expected


@settings(derandomize=True, deadline=None, max_examples=40)
@given(st.lists(st.text("scpd?", min_size=1, max_size=9), min_size=1, max_size=5), st.booleans())
def test_spells_are_those_of_a_walk_along_each_course(words: list[str], confirmed: bool) -> None:
    expected = []
    for i, word in enumerate(words):
        seen = [(t, "p" if letter == "d" else letter) for t, letter in enumerate(word) if letter != "?"]
        now, entry, last = None, None, {}
        for place, (t, letter) in enumerate(seen):
            agrees = not confirmed or (place + 1 < len(seen) and seen[place + 1][1] == letter)
            if confirmed and place + 1 == len(seen):
                continue  # confirms the one before, and says nothing else
            if agrees and letter != now:
                if letter == "c" and entry is None:
                    entry = (now, last.get("s"), t)
                elif now == "c":
                    expected.append((f"{i}", *entry[1:], last["c"], t, letter) if entry and entry[0] == "s" else None)
                    break
                now = letter
            last[letter] = t
        else:
            if entry and entry[0] == "s":
                expected.append((f"{i}", *entry[1:], last["c"], None, "-"))
    ends = {"prediabetes": "p", "recovery": "s", "end_of_follow_up": "-"}
    table = pl.concat(course(word, f"{i}") for i, word in enumerate(words)).sample(fraction=1.0, shuffle=True, seed=0)
    rows = compensated_time(table, confirmed=confirmed, n_refits=0).spells.rows()
    assert [(*row[:5], ends[row[5]]) for row in rows] == [one for one in expected if one is not None]


@pytest.mark.parametrize("flag", [{"ill": True}, {"pregnant": True}, {"fasting": False}, {"insulin_therapy": True}])
def test_a_visit_that_cannot_be_relied_on_is_passed_over(flag: dict[str, bool]) -> None:
    name, value = next(iter(flag.items()))
    table = course("scccpp", **{name: [None, None, value, None, None, None]})
    spells = compensated_time(table, confirmed=False, n_refits=0).spells
    assert spells["exit_low"].item() == 3.0
    late = course("scccpp", **{name: [None, None, None, value, None, None]})
    assert compensated_time(late, confirmed=False, n_refits=0).spells["exit_low"].item() == 2.0


def test_who_is_left_out_is_counted() -> None:
    words = {"a": "ssccpp", "b": "ccss", "c": "ppcc", "d": "ssss", "e": "ssccss", "f": "sscc"}
    found = compensated_time(pl.concat(course(word, name) for name, word in words.items()), n_refits=0)
    counts = {"participants": 6, "spells": 3, "prediabetes": 1, "recovery": 1, "end_of_follow_up": 1}
    assert found.counts == counts | {"open_at_start": 1, "from_above": 1, "never_compensated": 1}
    assert any(note.startswith("1 people were compensated from") for note in found.notes)


# -- the competing estimate --------------------------------------------------------------------------------------------

ROWS = st.lists(st.tuples(st.integers(0, 8), st.integers(1, 4), st.integers(-1, 1)), min_size=1, max_size=30).map(
    lambda rows: (
        np.array([float(low) for low, _, _ in rows]),
        np.array([math.inf if kind < 0 else float(low + width) for low, width, kind in rows]),
        np.array([kind for _, _, kind in rows]),
    )
)


def covers(found: Any, low: Any, high: Any, kind: Any) -> Any:
    """Which masses each person can have, one by one."""
    within = (low[:, None] <= found.left) & (found.right <= high[:, None])
    return within & ((kind[:, None] == found.kind) | (kind < 0)[:, None])


@settings(derandomize=True, deadline=None, max_examples=60)
@given(ROWS)
def test_no_mass_can_be_moved_to_make_what_was_seen_likelier(rows: Any) -> None:
    found = estimate(*rows)
    may = covers(found, *rows)
    inside = may @ found.mass
    assert found.mass.sum() == pytest.approx(1.0)
    assert found.log_likelihood == pytest.approx(np.log(inside).sum())
    assert (may / inside[:, None]).sum(axis=0).max() <= len(inside) * (1 + 2e-5)


def test_the_estimate_is_as_likely_as_the_best_of_a_general_search_over_finer_cells() -> None:
    rng = np.random.default_rng(2)
    low = rng.integers(0, 5, 20).astype(float)
    kind = rng.integers(-1, 2, 20)
    high = np.where(kind < 0, np.inf, low + rng.integers(1, 4, 20))
    found = estimate(low, high, kind)
    # Every cell between whole years, of either kind, and what comes after; not only those of the estimate.
    cells = [(a, a + 1.0, k) for k in (0, 1) for a in range(9)] + [(9.0, np.inf, -1)]
    left, right, of = (np.array(part) for part in zip(*cells, strict=True))
    may = (low[:, None] <= left) & (right <= high[:, None]) & ((kind[:, None] == of) | (kind < 0)[:, None])

    def depth(free: Any) -> float:
        mass = np.exp(free - free.max())
        return -float(np.log(np.maximum(may @ (mass / mass.sum()), 1e-300)).sum())

    best = min(float(minimize(depth, rng.normal(size=len(left))).fun) for _ in range(3))
    assert found.log_likelihood == pytest.approx(-best, abs=1e-3)


@settings(derandomize=True, deadline=None, max_examples=30)
@given(ROWS)
def test_with_one_kind_of_end_it_is_turnbull(rows: Any) -> None:
    low, high, kind = rows
    ends = estimate(low, high, np.minimum(kind, 0))
    assert ends.log_likelihood == pytest.approx(turnbull(low, high).log_likelihood, abs=1e-4)


@settings(derandomize=True, deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.integers(1, 6), st.integers(-1, 1)), min_size=2, max_size=40))
def test_on_one_grid_of_visits_it_is_aalen_and_johansen(rows: list[tuple[int, int]]) -> None:
    time, kind = np.array([t for t, _ in rows], float), np.array([k for _, k in rows])
    low, high = np.where(kind >= 0, time - 1, time), np.where(kind >= 0, time, np.inf)
    last = time[kind < 0].max() if (kind < 0).any() else time.max()
    found = estimate(low, high, kind)
    free, share = 1.0, [0.0, 0.0]
    for year in np.arange(1.0, last + 1.0):
        at_risk = (low >= year).sum() + (high == year).sum()
        ended = [((high == year) & (kind == k)).sum() for k in (0, 1)]
        share = [share[k] + free * ended[k] / at_risk if at_risk else share[k] for k in (0, 1)]
        free *= 1.0 - sum(ended) / at_risk if at_risk else 1.0
        for k in (0, 1):
            read = [float(part[0]) for part in incidence_by(found, k, np.array([year]))]
            assert read == pytest.approx([share[k]] * 3, abs=2e-3)


def test_a_refit_from_an_estimate_ends_where_one_from_nothing_does() -> None:
    rng = np.random.default_rng(0)
    low = rng.uniform(0, 4, 150)
    kind = rng.integers(-1, 2, 150)
    high = np.where(kind < 0, np.inf, low + rng.uniform(0.5, 2, 150))
    weights = rng.exponential(size=150)
    slow, quick = estimate(low, high, kind, weights), estimate(low, high, kind, weights, estimate(low, high, kind))
    assert quick.log_likelihood == pytest.approx(slow.log_likelihood, abs=150 * 2e-5)
    assert max(slow.gap, quick.gap) < 2e-5


# -- known truth -------------------------------------------------------------------------------------------------------


def test_a_known_median_and_known_shares_are_found_where_visits_are_close() -> None:
    found = compensated_time(exponential(500, median=2.0, gap=0.1, seed=3), confirmed=False, n_refits=20)
    half = found.quartiles.row(by_predicate=pl.col("share") == 0.5, named=True)
    assert half["years"] == pytest.approx(2.0, abs=0.35)  # five standard errors
    assert half["low"] < 2.0 < half["high"]
    by_two = {row["exit"]: row for row in found.incidence.filter(pl.col("years") == 2.0).iter_rows(named=True)}
    assert by_two["any"]["share"] == pytest.approx(0.5, abs=0.1)
    assert by_two["prediabetes"]["share"] == pytest.approx(0.3, abs=0.1)
    assert by_two["recovery"]["share"] == pytest.approx(0.2, abs=0.1)
    for row in by_two.values():
        assert row["low"] < row["share"] < row["high"]
        assert row["at_least"] - 1e-9 <= row["share"] <= row["at_most"] + 1e-9


def test_the_share_that_ended_is_read_off_turnbull() -> None:
    found = compensated_time(exponential(80, median=3.0, gap=0.5, seed=1), n_refits=0)
    low = found.spells["duration_low"].to_numpy()
    high = found.spells["duration_high"].fill_null(math.inf).to_numpy()
    any_end = found.incidence.filter(exit="any")
    expected = 1.0 - event_free(turnbull(low, high), any_end["years"].to_numpy())
    assert any_end["share"].fill_null(math.nan).to_list() == pytest.approx(expected.tolist(), nan_ok=True)
    half = found.quartiles["years"][1]
    assert event_free(turnbull(low, high), np.array([half])).item() == pytest.approx(0.5)


# -- the same bytes, and edges -----------------------------------------------------------------------------------------


def test_neither_order_nor_kind_of_frame_matter() -> None:
    table = exponential(60, median=2.0, gap=0.5, seed=2)
    found = compensated_time(table, n_refits=10, seed=1)
    shuffled = compensated_time(table.sample(fraction=1.0, shuffle=True, seed=5), n_refits=10, seed=1)
    pandas = compensated_time(to_pandas(table), n_refits=10, seed=1)
    for name in TABLES:
        own = getattr(found, name)
        assert_frame_equal(getattr(shuffled, name), own, check_exact=True)
        assert_frame_equal(pl.from_pandas(getattr(pandas, name)).cast(dict(own.schema)), own, check_exact=True)
    assert not found.quartiles.equals(compensated_time(table, n_refits=10, seed=2).quartiles)


@pytest.mark.parametrize("letters", ["", "?", "ssss", "ccpp"])
def test_without_a_spell_there_is_no_estimate(letters: str) -> None:
    found = compensated_time(course(letters, years=[float(t) for t in range(len(letters))]), n_refits=3)
    assert [getattr(found, name).height for name in TABLES] == [0, 0, 0]
    assert "no duration is given" in found.notes[-1]


def test_one_spell_that_was_not_seen_to_end_says_nothing_of_its_end() -> None:
    found = compensated_time(course("ssccc"), n_refits=5)
    assert found.quartiles["years"].null_count() == 3
    assert found.quartiles["years_from"].to_list() == [1.0] * 3
    shares = found.incidence.filter(exit="any")["share"].to_list()
    assert shares == [0.0]


def test_what_cannot_be_meant_is_refused() -> None:
    with pytest.raises(UsageError, match="n_refits"):
        compensated_time(course("sc"), n_refits=-1)
    with pytest.raises(ColumnError, match="state"):
        compensated_time(course("sc").drop("state"))
    with pytest.raises(ColumnError, match="other words"):
        compensated_time(course("sc").with_columns(state=pl.lit("fine")))
