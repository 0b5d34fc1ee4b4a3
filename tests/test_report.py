"""The page: what it says, what it keeps to itself, and that it is sound HTML that needs nothing from outside."""

from __future__ import annotations

import itertools
import re
from datetime import date, timedelta
from html.parser import HTMLParser
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest

from ircohort import schema
from ircohort.report import Facts, gather, person_numbers, render
from ircohort.report.words import NARROW
from ircohort.trajectory import ModelSettings

SVG = "<svg xmlns='http://www.w3.org/2000/svg'/>"
PNG = b"\x89PNG\r\n\x1a\n"
FIGURES: dict[str, bytes | str] = {
    "hidden_window": SVG,
    "trajectories": PNG,
    "plane": SVG.encode(),
    "distributions": SVG,
}
FIRST_DAY = date(2004, 3, 17)
VERDICTS = ["hidden_window", "not_shown", "hidden_window", "not_assessable", "possible", "not_assessable"]
PROBABILITIES = [0.871, 0.1, 0.9987, None, 0.6, None]
NO_COUNTS = dict.fromkeys(("read", "used", "rejected", "merged", "set_aside", "not_asked_for"), 0)


def person_id(number: int) -> str:
    return f"SECRET-{number:03d}"


def make_visits() -> pl.DataFrame:
    # The first person has prediabetes from the fourth visit on, the fifth from the first visit: prevalent.
    rows = [
        {
            "participant_id": person_id(number),
            "visit_date": FIRST_DAY + timedelta(days=round(365.25 * year)),
            "years": float(year),
            "glycaemia": "prediabetes" if (number == 0 and year >= 3) or number == 4 else "normal",
            "glycaemia_by": "glucose",
        }
        for number in range(len(VERDICTS))
        for year in range(5)
    ]
    return pl.DataFrame(rows)


def make_detection(verdicts: list[str], probabilities: list[float | None]) -> SimpleNamespace:
    ids = [person_id(number) for number in range(len(verdicts))]
    assessable = [verdict != "not_assessable" for verdict in verdicts]
    participants = pl.DataFrame(
        {
            "participant_id": ids,
            "verdict": verdicts,
            "reason": ["" if judged else "fewer than three visits" for judged in assessable],
            "marker": ["insulin" if judged else None for judged in assessable],
            "probability": probabilities,
            "probability_without_tg_hdl": [0.752 if judged else None for judged in assessable],
            "probability_beyond_expected": [0.404 if judged else None for judged in assessable],
            "rise_pct": [62.4 if judged else None for judged in assessable],
            "rise_pct_low": [31.2 if judged else None for judged in assessable],
            "rise_pct_high": [104.0 if judged else None for judged in assessable],
            "course": ["rising" if judged else None for judged in assessable],
            "stage": ["compensating" if judged else None for judged in assessable],
        },
        schema_overrides={"probability": pl.Float64, "verdict": pl.String},
    )
    flagged = [place for place, verdict in enumerate(verdicts) if verdict == "hidden_window"]
    windows = pl.DataFrame(
        {
            "participant_id": [ids[place] for place in flagged],
            "marker": ["insulin"] * len(flagged),
            "window_start": [0.5] * len(flagged),
            "window_end": [4.0] * len(flagged),
            "window_years": [3.5] * len(flagged),
            "opened_by": ["onset"] * len(flagged),
            "closed_by": ["end_of_follow_up"] * len(flagged),
        },
        schema_overrides={"participant_id": pl.String},
    )
    return SimpleNamespace(
        participants=schema.arrange(participants, schema.PARTICIPANTS),
        windows=schema.arrange(windows, schema.WINDOWS),
        population=pl.DataFrame(
            {
                "marker": ["insulin"],
                "n_participants": [4],
                "n_visits": [20],
                "components": [1],
                "slope_mean_pct_per_year": [2.1],
                "slope_sd_pct_per_year": [4.0],
                "slope_sd_low": [0.0],
                "slope_sd_high": [9.5],
                "residual_cv_pct": [27.4],
                "identifiable": [False],
                "note": ["the interval of the slope SD reaches zero"],
            }
        ),
        n_flagged=len(flagged),
        expected_false=sum(1 - (probabilities[place] or 0) for place in flagged) if flagged else None,
        expected_false_low=0.0 if flagged else None,
        expected_false_high=1.0 if flagged else None,
        settings=SimpleNamespace(flag_from=0.8),
        notes=("A note of detection.",),
    )


def make_trajectory(**onset: Any) -> SimpleNamespace:
    row = {
        "outcome": "homa_ir",
        "onset_years": -8.0,
        "onset_low": -9.4,
        "onset_high": -6.3,
        "onset_status": "dated",
        "hidden_window_years": 6.5,
        "hidden_window_low": 4.3,
        "hidden_window_high": 7.1,
        "hidden_window_status": "closed",
        "lead_years": -1.8,
        "lead_low": -3.0,
        "lead_high": 0.4,
        "n_refits": 200,
        "n_refits_without_onset": 3,
        **onset,
    }
    fit = {"participants": 387, "visits": 3890, "converged": True, "at_boundary": False, "boundary_direction": ""}
    singular = {"converged": False, "at_boundary": True, "boundary_direction": "the variance of slopes is zero"}
    return SimpleNamespace(
        onset=pl.DataFrame([row]),
        fits={"homa_ir": SimpleNamespace(**fit), "glucose_mg_dl": SimpleNamespace(**{**fit, **singular})},
        counts={"cases": 86, "comparison": 1301},
        settings=ModelSettings(),
        sensitivity=pl.DataFrame(
            {
                "variant": ["as analysed", "matched comparison group"],
                "outcome": ["homa_ir"] * 2,
                "hidden_window_years": [4.0, 6.5],
                "hidden_window_status": ["closed", "at_least"],
            }
        ),
        notes=("A caveat of the trajectory.",),
    )


def make_states() -> SimpleNamespace:
    steps = [("sensitive", "sensitive", "same", 9, 3, 8, 7), ("sensitive", "compensated", "worse", 5, 4, 4, 1)]
    names = ("from_state", "to_state", "change", "n", "n_participants", "n_followed", "n_settled")
    years = [("sensitive", 15.0, 16, 5), ("compensated", 5.0, 5, 4), ("diabetes", 0.0, 0, 0)]
    return SimpleNamespace(
        transitions=pl.DataFrame(steps, schema=names, orient="row"),
        person_years=pl.DataFrame(years, schema=("state", "person_years", "n_visits", "n_participants"), orient="row"),
        recovery=pl.DataFrame(
            [("compensated", 4, 2, 1), ("diabetes", 0, 0, 0)],
            schema=("state", "reached", "recovered", "relapsed"),
            orient="row",
        ),
        notes=("A note of states.",),
    )


def no_states() -> SimpleNamespace:
    empty = make_states()
    tables = {name: getattr(empty, name).clear() for name in ("transitions", "person_years", "recovery")}
    return SimpleNamespace(**tables, notes=())


def make_analysis(**changes: Any) -> SimpleNamespace:
    counts = {"read": 1432, "used": 1300, "rejected": 21, "merged": 30, "set_aside": 60, "not_asked_for": 21}
    ledger = {
        "rows": {"labs.csv": counts},
        "values": {"glucose": counts, "insulin": counts},
        "rules": {"rejected": {"unreadable_value": 18, "a_new_rule": 3}, "set_aside": {"not_fasting": 60}},
    }
    rejected = pl.DataFrame({"source_row": [3], "raw_value": ["SECRET-VALUE"], "rule": ["unreadable_value"]})
    parts: dict[str, Any] = {
        "cohort": SimpleNamespace(ledger=ledger, notes=("No column speaks of fasting.",), rejected=rejected),
        "visits": make_visits(),
        "states": make_states(),
        "detection": make_detection(VERDICTS, PROBABILITIES),
        "trajectory": make_trajectory(),
        "warnings": (),
        "settings": {"detect": {"min_rise": 0.25}, "seed": 1, "long": {}},
        "versions": {"ircohort": "0.1.0", "polars": "2.1.0"},
    }
    return SimpleNamespace(**{**parts, **changes})


def nobody_flagged() -> SimpleNamespace:
    return make_analysis(detection=make_detection(["not_shown"] * 6, [0.1] * 6))


def no_model() -> SimpleNamespace:
    return make_analysis(trajectory=None, warnings=("No trajectory: too few cases.",))


def nothing_at_all() -> SimpleNamespace:
    """Give an analysis of a file with a header only: all tables are empty, all columns null."""
    empty = make_analysis()
    ledger = {"rows": {"labs.csv": NO_COUNTS}, "values": {}, "rules": {}}
    detection = make_detection([], [])
    detection.population = detection.population.clear()
    return make_analysis(
        cohort=SimpleNamespace(ledger=ledger, notes=(), rejected=empty.cohort.rejected.clear()),
        visits=pl.DataFrame({name: [] for name in ("participant_id", "years")}),
        states=no_states(),
        detection=detection,
        trajectory=None,
    )


def all_null() -> SimpleNamespace:
    """Give an analysis in which everything that may be null is."""
    analysis = make_analysis()
    keep = ("participant_id", "verdict")
    nulls = [pl.lit(None).alias(name) for name in analysis.detection.participants.columns if name not in keep]
    analysis.detection.participants = analysis.detection.participants.with_columns(nulls)
    analysis.detection.windows = analysis.detection.windows.with_columns(
        pl.lit(None).alias(name) for name in analysis.detection.windows.columns if name != "participant_id"
    )
    analysis.detection.population = analysis.detection.population.with_columns(
        pl.lit(None).alias(name) for name in analysis.detection.population.columns if name != "marker"
    )
    for name in ("expected_false", "expected_false_low", "expected_false_high"):
        setattr(analysis.detection, name, None)
    analysis.visits = analysis.visits.with_columns(pl.lit(None).alias("glycaemia"), pl.lit(None).alias("visit_date"))
    onset = analysis.trajectory.onset
    analysis.trajectory.onset = onset.with_columns(
        pl.lit(None).alias(name) for name in onset.columns if name != "outcome"
    )
    return analysis


ANALYSES = {
    "whole": make_analysis,
    "nobody flagged": nobody_flagged,
    "no model": no_model,
    "nothing at all": nothing_at_all,
    "all null": all_null,
}


class Reader(HTMLParser):
    """Read a page as elements with their attributes, and its words without style."""

    VOID = frozenset({"meta", "img", "br", "link", "input", "hr"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == [], "elements were left open"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag
        self.text += " " if tag in ("td", "th", "p", "li", "dt", "dd") else ""

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def words(self) -> str:
        return " ".join(self.text.replace(NARROW, " ").split())


def words_of(analysis: Any, **options: Any) -> str:
    return Reader(render(analysis, FIGURES, **options)).words


# --- what it says ---


def test_the_first_sentence_says_what_was_found():
    assert (
        "2 of 4 people whose data can be judged (50 %) are flagged as showing insulin rising while their "
        "fitted glucose was normal, of these 0.1 (0–1) expected to be false; in the cohort as a whole the hidden "
        "window before confirmed prediabetes "
        "lasted 6.5 years (95 % interval 4.3–7.1)."
    ) in words_of(make_analysis())


def test_it_says_once_that_it_does_not_diagnose():
    assert words_of(make_analysis()).count("diagnose") == 1


def test_the_sections_stand_in_their_order():
    html = render(make_analysis(), FIGURES)
    assert re.findall(r"<h2>(.*?)</h2>", html) == [
        "The hidden window in the cohort",
        "Flagged people",
        "How sure",
        "States over time",
        "What became of the data",
        "Models",
        "Further figures",
        "Settings and versions",
        "Files beside this page",
    ]


def test_the_course_of_the_cohort_is_told_in_sentences_with_its_caveats():
    words = words_of(make_analysis())
    for sentence in (
        "Followed back from confirmed prediabetes (86 people, compared with 1,301 without that event): HOMA-IR "
        "was raised from 8.0 years before (95 % interval 6.3–9.4).",
        "Their fitted glucose read normal for 6.5 years (95 % interval 4.3–7.1) from then on: the hidden window.",
        "By the same measure HOMA-IR was raised 1.8 years after glucose itself, a signed lead of −1.8 years (95 % "
        "interval −3.0 to 0.4).",
        "Intervals come from 200 refits of the models; in 3 of them no onset was found",
        "A caveat of the trajectory.",
    ):
        assert sentence in words


@pytest.mark.parametrize(
    ("onset", "sentence"),
    [
        (
            {"hidden_window_status": "at_least", "hidden_window_high": None, "onset_status": "before_support"},
            "the hidden window before confirmed prediabetes lasted at least 6.5 years (95 % interval 4.3 or more).",
        ),
        (
            {"hidden_window_status": "open_at_event"},
            "the hidden window had lasted 6.5 years (95 % interval 4.3–7.1) by confirmed prediabetes.",
        ),
        (
            {"hidden_window_low": 0.0},
            "the hidden window before confirmed prediabetes is estimated at 6.5 years (95 % interval 0.0–7.1), which "
            "does not exclude that there is none.",
        ),
        (
            {"onset_low": None, "onset_high": None},
            "HOMA-IR was raised from 8.0 years before (95 % interval beyond the data at both ends).",
        ),
        (
            {"onset_status": "before_support"},
            "By the same measure HOMA-IR was raised at least 1.8 years after glucose itself",
        ),
        (
            {"hidden_window_status": "none", "hidden_window_years": None, "onset_status": "none", "onset_years": None},
            "no hidden window could be dated in the cohort as a whole.",
        ),
    ],
)
def test_a_window_that_is_open_or_absent_is_said_so(onset, sentence):
    assert sentence in words_of(make_analysis(trajectory=make_trajectory(**onset)))


def test_other_choices_have_no_window_to_be_held_against_where_none_is_dated():
    assert "Analysed otherwise" in words_of(make_analysis())
    none = {"hidden_window_status": "none", "hidden_window_years": None, "onset_status": "none", "onset_years": None}
    assert "Analysed otherwise" not in words_of(make_analysis(trajectory=make_trajectory(**none)))


def test_flagged_people_are_numbered_in_the_order_of_the_table():
    words = words_of(make_analysis())
    assert "1 0.87 0.75 0.40 62 % (31–104) 0.5–4.0 onset → end compensating" in words
    assert "2 > 0.99 0.75 0.40 62 %" in words
    assert person_numbers(make_analysis().detection.participants) == {"SECRET-000": 1, "SECRET-002": 2}


def test_a_long_list_shows_the_most_probable_under_their_own_numbers():
    probabilities: list[float | None] = [0.8 + place / 200 for place in range(30)]
    words = words_of(make_analysis(detection=make_detection(["hidden_window"] * 30, probabilities)))
    assert "Shown are the 20 with the highest probabilities; all 30 stand in participants.csv." in words
    assert "11 0.85 0.75" in words
    assert "10 0.85 0.75" not in words


def test_every_window_of_a_person_is_shown():
    analysis = make_analysis()
    first = analysis.detection.windows.head(1)
    later = first.with_columns(
        pl.lit(8.0).alias("window_start"), pl.lit(11.5).alias("window_end"), pl.lit("diabetes").alias("closed_by")
    )
    analysis.detection.windows = pl.concat([later, analysis.detection.windows])
    assert "0.5–4.0; 8.0–11.5 onset → end; onset → diabetes compensating" in words_of(analysis)


def test_the_marker_is_named_where_not_everybody_is_judged_by_insulin():
    analysis = make_analysis()
    first = pl.col("participant_id") == person_id(0)
    by_lipids = pl.when(first).then(pl.lit("tg_hdl")).otherwise("marker")
    analysis.detection.participants = analysis.detection.participants.with_columns(by_lipids.alias("marker"))
    words = words_of(analysis)
    assert "1 0.87 0.75 0.40 TG:HDL 62 %" in words
    assert "2 > 0.99 0.75 0.40 insulin 62 %" in words


def test_what_is_given_of_nobody_has_no_column():
    analysis = make_analysis()
    analysis.detection.participants = analysis.detection.participants.with_columns(
        pl.lit(None, pl.Float64).alias("probability_without_tg_hdl"),
        pl.lit(None, pl.Float64).alias("probability_beyond_expected"),
    )
    words = words_of(analysis)
    assert "1 0.87 62 %" in words
    assert "without TG:HDL" not in words
    assert "age and sex" not in words


def test_it_says_how_many_flags_are_expected_to_be_false():
    # 1 - 0.871 + 1 - 0.9987 = 0.1303
    words = words_of(make_analysis())
    assert "Of 2 flags, 0.1 are expected to be false" in words
    assert "95 % interval of their number: 0–1)" in words
    assert "Flags expected to be false 0.1 (0–1)" in words


def test_it_says_how_often_people_who_progress_are_flagged():
    # Assessable are persons 0, 1, 2 and 4; 0 progresses, 4 is prevalent.
    words = words_of(make_analysis())
    assert (
        "Of 1 assessable person who reached confirmed prediabetes after their first visit, 1 (100 %) is flagged."
    ) in words


def test_what_detection_says_of_the_cohort_stands_among_what_is_sure():
    page = render(make_analysis(), FIGURES)
    section = page.split("<h2>How sure</h2>")[1].split("<h2>")[0]
    assert "<li>A note of detection.</li>" in section


def test_verdicts_and_reasons_are_counted():
    words = words_of(make_analysis())
    assert "hidden window 2 flagged possible 1" in words
    assert "not assessable fewer than three visits 2" in words
    assert "not shown no reason stated 1" in words


def test_rare_reasons_of_a_verdict_are_added_up():
    detection = make_detection(["not_assessable"] * 21, [None] * 21)
    reasons = [f"reason {place}" for place in range(6) for _ in range(place + 1)]
    detection.participants = detection.participants.with_columns(pl.Series("reason", reasons))
    words = words_of(make_analysis(detection=detection))
    assert (
        "not assessable reason 5 6 not assessable reason 4 5 not assessable reason 3 4 not assessable reason 2 3"
        in words
    )
    assert "not assessable other reasons 3" in words  # 1 + 2


def test_courses_and_stages_are_counted_with_the_flagged_among_them():
    words = words_of(make_analysis())
    assert "rising 4 2 the marker rises" in words
    assert "compensating 4 2 insulin and HOMA-%B rise" in words
    assert "falling" not in words


def test_states_over_time_are_told_in_person_years_and_steps():
    words = words_of(make_analysis())
    assert "sensitive 15 75 % 5 16 compensated 5 25 % 4 5" in words
    assert "sensitive → compensated 5 4 1 of 4" in words
    assert "sensitive → sensitive" not in words
    assert "compensated 4 2 1" in words
    assert "A note of states." in words
    assert "States over time" not in words_of(nothing_at_all())


def test_the_ledger_stands_by_file_and_by_analyte_with_totals():
    words = words_of(make_analysis())
    assert "labs.csv 1,432 1,300 21 30 60 21" in words
    assert "all 2,864 2,600 42 60 120 42" in words


def test_a_ledger_of_many_files_is_shortened_and_still_adds_up():
    files = {f"file{place}.csv": {**NO_COUNTS, "read": place, "used": place} for place in range(14)}
    analysis = make_analysis()
    analysis.cohort.ledger["rows"] = files
    words = words_of(analysis)
    assert "4 others 6 6 0" in words  # the smallest four: 0 + 1 + 2 + 3
    assert "all 91 91 0" in words
    assert "file0.csv" not in words


def test_the_most_frequent_reasons_are_given_in_words():
    words = words_of(make_analysis())
    assert "not a number, nor a number with < or > before it rejected 18" in words
    assert "a new rule rejected 3" in words
    assert "the draw is stated as not fasting set aside 60" in words


def test_models_say_whether_they_converged_and_are_at_a_boundary():
    words = words_of(make_analysis())
    assert "HOMA-IR 387 3,890 converged no" in words
    assert "fasting glucose 387 3,890 did not converge: do not rely on it yes: the variance of slopes is zero" in words
    assert "4.0 % (0.0–9.5) 27 % no: the interval of the slope SD reaches zero" in words


def test_settings_and_versions_are_printed():
    words = words_of(make_analysis())
    assert "detect min_rise 0.25" in words
    assert "general seed 1" in words
    assert "ircohort 0.1.0; polars 2.1.0" in words


def test_without_a_model_the_page_says_why():
    words = words_of(no_model())
    assert "Warning: No trajectory: too few cases." in words
    assert "the course of the cohort as a whole could not be modelled" in words
    assert "model/" not in words


def test_with_nobody_flagged_the_page_says_so():
    words = words_of(nobody_flagged())
    assert "Of 6 people whose data can be judged, nobody is flagged" in words
    assert "Nobody is flagged." in words
    assert "people with a hidden window may have been missed" in words


def test_an_empty_cohort_has_a_page():
    words = words_of(nothing_at_all())
    assert "No participant has data that can be judged one by one" in words
    assert "0 people, 0 visits" in words


def test_what_is_not_known_is_a_dash_and_never_none_or_nan():
    words = words_of(all_null())
    assert "1 – – – – – → – –" in words
    assert not re.search(r"\b(None|nan|null|inf)\b", words)


def test_ledger_and_settings_may_be_records_that_know_how_to_be_plain():
    analysis = make_analysis()
    plain = analysis.cohort.ledger
    analysis.cohort.ledger = SimpleNamespace(as_dict=lambda: plain)
    settings = analysis.settings
    analysis.settings = SimpleNamespace(as_dict=lambda: settings)
    assert render(analysis, FIGURES) == render(make_analysis(), FIGURES)


# --- what it keeps to itself ---


def dates_in(text: str) -> list[str]:
    return re.findall(r"\b(?:19|20)\d\d-\d\d-\d\d\b", text)


@pytest.mark.parametrize("make", ANALYSES.values(), ids=ANALYSES.keys())
def test_no_identifier_no_value_and_no_date_is_shown(make):
    html = render(make(), FIGURES)
    assert "SECRET" not in html
    assert "200" + "4" not in html
    assert dates_in(html) == []


def test_facts_hold_no_identifier_and_no_date_either():
    facts = gather(make_analysis())
    assert isinstance(facts, Facts)
    assert "SECRET" not in repr(facts)
    assert "datetime" not in repr(facts)


def test_identifiers_and_dates_are_shown_where_they_are_asked_for():
    html = render(make_analysis(), FIGURES, identifiers=True)
    assert "SECRET-000" in html
    assert "SECRET-001" not in html  # not flagged
    # Half a year and four years after 17 March 2004.
    assert set(dates_in(html)) == {"2004-09-16", "2008-03-17"}


def test_dates_are_those_of_the_axis_also_where_the_first_dated_visit_is_late():
    analysis = make_analysis(visits=make_visits().filter(pl.col("years") >= 2))
    assert "2004-09-16" in render(analysis, FIGURES, identifiers=True)


# --- that it is sound ---


@pytest.mark.parametrize("make", ANALYSES.values(), ids=ANALYSES.keys())
@pytest.mark.parametrize("identifiers", [False, True])
def test_the_page_is_sound_html_that_everyone_can_read(make, identifiers):
    page = Reader(render(make(), FIGURES, identifiers=identifiers))
    assert page.all("html") == [{"lang": "en-GB"}]
    assert len(page.all("title")) == len(page.all("main")) == len(page.all("h1")) == 1
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    assert all(image["alt"] for image in page.all("img"))
    assert all(header.get("scope") in ("row", "col") for header in page.all("th"))
    assert len(page.all("table")) == len(page.all("caption"))
    assert len(page.all("figure")) == len(page.all("figcaption")) == len(page.all("img"))


@pytest.mark.parametrize("make", ANALYSES.values(), ids=ANALYSES.keys())
def test_the_page_needs_nothing_from_outside(make):
    html = render(make(), FIGURES)
    page = Reader(html)
    assert not {"script", "link", "iframe", "object", "embed"} & {tag for tag, _ in page.elements}
    assert all((image["src"] or "").startswith("data:image/") for image in page.all("img"))
    assert "http" not in html
    assert "@import" not in html
    assert "url(" not in html


def test_figures_are_inlined_by_their_kind():
    sources = [image["src"] for image in Reader(render(make_analysis(), FIGURES)).all("img")]
    kinds = [(source or "").split(";")[0] for source in sources]
    assert kinds == ["data:image/svg+xml", "data:image/png", "data:image/svg+xml", "data:image/svg+xml"]


def test_without_figures_there_is_a_page_all_the_same():
    assert Reader(render(make_analysis(), {})).all("img") == []


def test_a_figure_of_another_name_is_shown_too():
    page = Reader(render(make_analysis(), {"my_figure": SVG}))
    assert [image["alt"] for image in page.all("img")] == ["Figure: my figure."]


def test_hostile_words_are_words():
    hostile = '<script>alert("x")</script>'
    counts = {**NO_COUNTS, "read": 1, "rejected": 1}
    ledger = {"rows": {hostile: counts}, "values": {hostile: counts}, "rules": {"rejected": {hostile: 1}}}
    detection = make_detection(VERDICTS, PROBABILITIES)
    detection.notes = (hostile,)
    detection.participants = detection.participants.with_columns(
        pl.lit(hostile).alias("stage"), pl.lit(hostile).alias("reason")
    )
    analysis = make_analysis(
        cohort=SimpleNamespace(ledger=ledger, notes=(hostile,), rejected=None),
        detection=detection,
        warnings=(hostile,),
        settings={hostile: {hostile: hostile}},
        versions={hostile: hostile},
    )
    html = render(analysis, {hostile: SVG})
    assert "<script" not in html.lower()
    assert '"x"' not in html
    assert html.count("&lt;script&gt;") >= 10


def test_the_same_analysis_gives_the_same_page():
    first = render(make_analysis(), FIGURES)
    shuffled = make_analysis(visits=make_visits().sample(fraction=1.0, shuffle=True, seed=3).to_pandas())
    shuffled.detection.windows = shuffled.detection.windows.reverse().to_pandas()
    assert render(make_analysis(), FIGURES) == first
    assert render(shuffled, FIGURES) == first


def contrast(first: str, second: str) -> float:
    """Compute the contrast of two colours by WCAG 2.1, 1.4.3."""

    def luminance(colour: str) -> float:
        parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    lighter, darker = sorted((luminance(first), luminance(second)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def test_letters_stand_out_from_their_ground():
    html = render(make_analysis(), {})
    colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", html))
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)  # a well-known value just below the limit
    for letters in ("ink", "quiet"):
        for ground in ("#ffffff", colours["soft"], "#fdf3e1"):
            assert contrast(colours[letters], ground) >= 4.5
