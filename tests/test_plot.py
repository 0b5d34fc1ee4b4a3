"""The figures: what they show, in words and in coordinates, and that they are the same every time."""

from __future__ import annotations

import math
import os
import struct
import subprocess
import sys
from types import SimpleNamespace

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ircohort import plot
from ircohort.errors import FileError
from ircohort.plot import style
from ircohort.trajectory import ModelSettings

PEOPLE = [f"ID-{number:02d}" for number in range(8)]
FLAGGED = {"ID-01": 0.85, "ID-04": 0.97, "ID-06": 0.999}


def wobble(*seeds: float) -> float:
    """Give a number between -1 and 1 that looks like noise and is always the same."""
    return math.sin(sum((place + 1) * 12.9898 * seed for place, seed in enumerate(seeds)))


def make_visits(people: list[str] = PEOPLE, n_visits: int = 8) -> pl.DataFrame:
    rows = []
    for index, person in enumerate(people):
        for visit in range(n_visits):
            rise = 0.09 if person in FLAGGED else 0.01
            insulin = math.exp(1.6 + 0.05 * index + rise * visit + 0.25 * wobble(index, visit))
            glucose = 90 + index + 0.3 * visit + 4 * wobble(visit, index)
            triglycerides, hdl = 100 + 20 * wobble(index, visit, 1), 50 + 8 * wobble(index, visit, 2)
            rows.append(
                {
                    "participant_id": person,
                    "years": float(visit),
                    "glucose_mg_dl": glucose,
                    "insulin_uiu_ml": insulin,
                    "homa_ir": glucose * insulin / 405,
                    "tg_hdl_mg": triglycerides / hdl,
                    "tyg": math.log(triglycerides * glucose / 2),
                    "quicki": None,
                }
            )
    return pl.DataFrame(rows, schema_overrides={"quicki": pl.Float64})


def make_detection(flagged: dict[str, float] = FLAGGED, people: list[str] = PEOPLE) -> SimpleNamespace:
    participants = pl.DataFrame(
        {
            "participant_id": people,
            "verdict": ["hidden_window" if person in flagged else "not_shown" for person in people],
            "marker": ["insulin"] * len(people),
            "probability": [flagged.get(person, 0.1) for person in people],
        },
        schema={"participant_id": pl.String, "verdict": pl.String, "marker": pl.String, "probability": pl.Float64},
    )
    curves = [
        (person, marker, years, value, value * 0.9, value * 1.1)
        for index, person in enumerate(people)
        for marker in ("insulin", "glucose")
        for years in (0.0, 3.5, 7.0)
        for value in [math.exp(1.6 + 0.05 * index + 0.09 * years) if marker == "insulin" else 90 + index + 0.3 * years]
    ]
    windows = [(person, "insulin", 1.0, 6.0) for person in people if person in flagged]
    return SimpleNamespace(
        participants=participants,
        curves=pl.DataFrame(
            curves,
            schema={
                "participant_id": pl.String,
                "marker": pl.String,
                **dict.fromkeys(["years", "fitted", "fitted_low", "fitted_high"], pl.Float64),
            },
            orient="row",
        ),
        windows=pl.DataFrame(
            windows,
            schema={
                "participant_id": pl.String,
                "marker": pl.String,
                "window_start": pl.Float64,
                "window_end": pl.Float64,
            },
            orient="row",
        ),
        settings=SimpleNamespace(glucose_cut_off_mg_dl=100.0),
    )


def make_trajectory(outcome: str = "homa_ir", **onset: object) -> SimpleNamespace:
    times = np.arange(-10.0, 0.01, 0.5)
    courses = {
        (outcome, "cases"): 1.6 * np.exp(0.05 * (times + 10)),
        (outcome, "comparison"): np.full_like(times, 1.4),
        (outcome, "difference"): 0.1 * (times + 10),
        ("glucose_mg_dl", "cases"): 93 + 0.8 * (times + 10),
        ("glucose_mg_dl", "comparison"): 91 + 0.1 * (times + 10),
    }
    curves = pl.concat(
        pl.DataFrame(
            {
                "outcome": [name] * len(times),
                "group": [group] * len(times),
                "years_to_event": times,
                "fitted": values,
                "fitted_low": values * 0.95,
                "fitted_high": values * 1.05,
            }
        )
        for (name, group), values in courses.items()
    )
    row = {
        "outcome": outcome,
        "onset_years": -8.0,
        "onset_low": -9.4,
        "onset_high": -6.3,
        "onset_status": "dated",
        "hidden_window_years": 6.5,
        "hidden_window_low": 4.3,
        "hidden_window_high": 7.1,
        "hidden_window_status": "closed",
        **onset,
    }
    years = list(range(-10, 1))
    people = pl.DataFrame(
        {
            "years_to_event": years * 2,
            "group": ["cases"] * 11 + ["comparison"] * 11,
            "n_participants": [40 + year for year in years] + [1300 + year for year in years],
        }
    )
    return SimpleNamespace(
        curves=curves,
        onset=pl.DataFrame([row]),
        people_by_year=people,
        counts={"cases": 40, "comparison": 1300},
        settings=ModelSettings(),
    )


def words_on(figure: Figure) -> list[str]:
    texts = [text.get_text() for text in figure.texts]
    for axes in figure.axes:
        texts += [text.get_text() for text in axes.texts]
        texts += [axes.get_title(loc="left"), axes.get_xlabel(), axes.get_ylabel()]
    return [text for text in texts if text]


def shaded_spans(axes: Axes, colour: str) -> list[tuple[float, float]]:
    red_green_blue = mpl.colors.to_rgb(colour)
    return [
        (patch.get_x(), patch.get_x() + patch.get_width())
        for patch in axes.patches
        if patch.get_facecolor()[:3] == pytest.approx(red_green_blue)
    ]


# --- the hidden window ---


def test_the_window_is_shaded_from_the_onset_for_its_length_in_both_panels():
    upper, lower, _ = plot.hidden_window(make_trajectory()).axes
    for axes in (upper, lower):
        assert shaded_spans(axes, style.WINDOW) == [(-8.0, pytest.approx(-1.5))]


def test_the_window_is_labelled_with_its_length_and_interval():
    assert "Hidden window: 6.5 years (95 % interval 4.3–7.1)" in words_on(plot.hidden_window(make_trajectory()))


def test_the_onset_stands_with_its_interval():
    assert "raised from 8.0 years before (6.3–9.4)" in words_on(plot.hidden_window(make_trajectory()))


def test_an_end_of_the_onset_that_lies_beyond_the_data_is_left_open():
    words = words_on(plot.hidden_window(make_trajectory(onset_low=None)))
    assert "raised from 8.0 years before (6.3 or more)" in words


def test_the_axis_counts_years_backward_and_says_how_the_comparison_group_is_placed():
    figure = plot.hidden_window(make_trajectory())
    lower = figure.axes[1]
    assert lower.get_xlabel() == "Years before confirmed prediabetes (comparison group: before its last visit)"
    assert lower.xaxis.get_label().get_visible()
    formatted = lower.xaxis.get_major_formatter()
    assert [formatted(tick, 0) for tick in lower.xaxis.get_major_locator()()] == ["10", "8", "6", "4", "2", "0"]


def test_people_with_a_visit_are_counted_under_the_axis():
    words = words_on(plot.hidden_window(make_trajectory()))
    assert {"30", "32", "40", "1,290", "1,300"} <= set(words)
    assert "Later prediabetes\n40 people" in words
    assert "No prediabetes\n1,300 people" in words


@pytest.mark.parametrize(
    ("onset", "words", "span"),
    [
        (
            {"hidden_window_status": "open_at_event", "hidden_window_years": 8.0},
            "Hidden window: 8.0 years (95 % interval 4.3–7.1), still open at year 0",
            (-8.0, 0.0),
        ),
        (
            {
                "onset_status": "before_support",
                "onset_years": -10.0,
                "hidden_window_status": "at_least",
                "hidden_window_years": 8.5,
                "hidden_window_high": None,
            },
            "Hidden window: at least 8.5 years (95 % interval 4.3 or more)",
            (-10.0, -1.5),
        ),
        (
            {"onset_status": "none", "onset_years": None, "hidden_window_status": "none", "hidden_window_years": None},
            "No hidden window could be dated",
            None,
        ),
    ],
)
def test_a_window_that_is_open_or_absent_is_drawn_and_said_so(onset, words, span):
    figure = plot.hidden_window(make_trajectory(**onset))
    assert words in words_on(figure)
    spans = shaded_spans(figure.axes[0], style.WINDOW)
    assert spans == ([] if span is None else [(span[0], pytest.approx(span[1]))])


def test_tg_hdl_is_drawn_where_homa_ir_was_not_fitted():
    assert plot.hidden_window(make_trajectory("tg_hdl_mg")).axes[0].get_ylabel() == "TG:HDL (mg/mg)"


def test_a_trajectory_without_an_insulin_marker_gives_words():
    trajectory = make_trajectory()
    trajectory.curves = trajectory.curves.filter(pl.col("outcome") == "glucose_mg_dl")
    assert any("no hidden window to show" in words for words in words_on(plot.hidden_window(trajectory)))


def test_a_trajectory_without_glucose_or_intervals_is_drawn_all_the_same():
    trajectory = make_trajectory()
    trajectory.curves = trajectory.curves.filter(pl.col("outcome") == "homa_ir").with_columns(
        pl.lit(None, dtype=pl.Float64).alias("fitted_low"), pl.lit(None, dtype=pl.Float64).alias("fitted_high")
    )
    assert "glucose could not be modelled" in words_on(plot.hidden_window(trajectory))


def test_the_event_and_the_cut_off_of_the_settings_are_used():
    trajectory = make_trajectory()
    trajectory.settings = ModelSettings(event="diabetes", glucose_cut_off_mg_dl=126.0)
    words = words_on(plot.hidden_window(trajectory))
    assert "126 mg/dL:\nnormal below" in words
    assert "Later diabetes\n40 people" in words


@pytest.mark.parametrize(("onset", "length"), [(-10.0, 0.5), (-10.0, 10.0), (-5.0, 1.0), (-0.3, 0.3), (0.0, 0.0)])
def test_the_words_over_a_window_stay_inside_the_figure(onset, length):
    trajectory = make_trajectory(onset_years=onset, hidden_window_years=length)
    figure = plot.hidden_window(trajectory)
    renderer = FigureCanvasAgg(figure).get_renderer()
    for text in figure.axes[0].texts:
        if text.get_text().startswith(("Hidden window", "raised")):
            box = text.get_window_extent(renderer)
            assert box.x0 >= 0
            assert box.x1 <= figure.bbox.width


# --- flagged people ---


def test_the_most_probable_come_first_under_the_number_of_their_row():
    figure = plot.trajectories(make_detection(), make_visits())
    titles = [axes.get_title(loc="left") for axes in figure.axes[::2]]
    assert titles == ["Person 3: probability >0.99", "Person 2: probability 0.97", "Person 1: probability 0.85"]


def test_identifiers_are_shown_only_as_labels():
    unlabelled = plot.trajectories(make_detection(), make_visits())
    assert not any("ID-" in words for words in words_on(unlabelled))
    assert b"ID-0" not in plot.to_svg(unlabelled)
    labelled = plot.trajectories(make_detection(), make_visits(), labels={"ID-06": "ID-06"})
    assert "ID-06: probability >0.99" in words_on(labelled)


def test_readings_are_dots_and_the_window_is_shaded():
    visits = make_visits()
    upper, lower = plot.trajectories(make_detection(), visits).axes[:2]
    own = visits.filter(pl.col("participant_id") == "ID-06")
    for axes, column in ((upper, "insulin_uiu_ml"), (lower, "glucose_mg_dl")):
        dots = next(artist for artist in axes.collections if len(artist.get_offsets()) == own.height)
        assert dots.get_offsets().tolist() == pytest.approx(own.select("years", column).to_numpy())
        assert shaded_spans(axes, style.WINDOW) == [(1.0, 6.0)]


def limited(visits):
    """State the first reading of each person as less than 3, the last one as more than 9."""
    first, last = pl.col("years") == 0, pl.col("years") == pl.col("years").max()
    return visits.with_columns(
        insulin_uiu_ml=pl.when(first).then(1.5).when(last).then(9.0).otherwise("insulin_uiu_ml"),
        insulin_uiu_ml_lower=pl.when(first).then(0.0).when(last).then(9.0),
        insulin_uiu_ml_upper=pl.when(first).then(3.0),
        homa_ir_lower=pl.when(first).then(0.0).when(last).then(2.0),
        homa_ir_upper=pl.when(first).then(0.7),
    )


def test_readings_beyond_a_limit_are_triangles_at_the_limit_and_no_dots():
    figure = plot.trajectories(make_detection(), limited(make_visits()))
    places = [artist.get_offsets().tolist() for artist in figure.axes[0].collections if len(artist.get_offsets())]
    assert [0.0, 3.0] in [dot for dots in places for dot in dots if len(dots) == 1]
    assert [7.0, 9.0] in [dot for dots in places for dot in dots if len(dots) == 1]
    assert [1.0, 2.0, 3.0, 4.0, 5.0, 6.0] in [[years for years, _ in dots] for dots in places]
    assert any("Open triangles" in words for words in words_on(figure))
    assert not any("Open triangles" in words for words in words_on(plot.trajectories(make_detection(), make_visits())))


def test_bounds_are_a_limit_as_detection_reads_them():
    nan, infinite = math.nan, math.inf
    bounds = {
        (None, None): "neither", (None, 3.0): "below", (0.0, 3.0): "below", (1.0, 3.0): "below",
        (nan, 3.0): "below", (3.0, 3.0): "neither", (0.0, None): "neither", (nan, None): "neither",
        (nan, nan): "neither", (9.0, None): "above", (9.0, nan): "above", (9.0, infinite): "above",
    }  # fmt: skip
    lower, upper = zip(*bounds, strict=True)
    below, above = style.beyond_limit(pl.DataFrame({"x_lower": lower, "x_upper": upper}, strict=False), "x")
    found = ["below" if low else "above" if high else "neither" for low, high in zip(below, above, strict=True)]
    assert dict(zip(bounds, found, strict=True)) == bounds


def test_the_figures_of_the_cohort_say_that_readings_beyond_a_limit_are_among_them():
    visits = limited(make_visits())
    assert any(
        "At 16 visits a reading lies beyond" in words.replace("\n", " ") for words in words_on(plot.plane(visits))
    )
    assert any("Readings beyond a limit" in words for words in words_on(plot.distributions(visits)))
    assert not any("beyond a limit" in words for words in words_on(plot.distributions(make_visits())))


def test_the_grey_lines_are_those_of_people_who_are_not_flagged():
    upper = plot.trajectories(make_detection(), make_visits()).axes[0]
    lines = next(artist for artist in upper.collections if type(artist).__name__ == "LineCollection")
    assert len(lines.get_segments()) == len(PEOPLE) - len(FLAGGED)


def fitted_lines(axes: Axes) -> list[list[float]]:
    return [line.get_xdata().tolist() for line in axes.lines if line.get_linewidth() == 1.6]


def test_each_series_of_a_person_has_a_course_and_a_window_of_its_own():
    detection = make_detection()
    times = [*np.linspace(0.0, 3.0, 7), *np.linspace(4.5, 7.0, 7)]
    bent = [6.0 + 2 * math.sin(years) for years in times]
    detection.curves = pl.DataFrame(
        {
            "participant_id": ["ID-06"] * 14,
            "marker": ["insulin"] * 14,
            "years": times,
            "fitted": bent,
            "fitted_low": [value * 0.9 for value in bent],
            "fitted_high": [value * 1.1 for value in bent],
        }
    )
    second = detection.windows.filter(pl.col("participant_id") == "ID-06").with_columns(
        pl.lit(6.5).alias("window_start"), pl.lit(7.0).alias("window_end")
    )
    detection.windows = pl.concat([second, detection.windows])
    upper = plot.trajectories(detection, make_visits()).axes[0]
    assert fitted_lines(upper) == [pytest.approx(times[:7]), pytest.approx(times[7:])]
    assert shaded_spans(upper, style.WINDOW) == [(1.0, 6.0), (6.5, 7.0)]


def test_a_course_without_a_gap_is_one_line():
    upper = plot.trajectories(make_detection(), make_visits()).axes[0]
    assert fitted_lines(upper) == [[0.0, 3.5, 7.0]]


def test_no_more_people_are_shown_than_asked_for():
    assert len(plot.trajectories(make_detection(), make_visits(), max_people=2).axes) == 4


def test_with_nobody_flagged_the_figure_says_so():
    figure = plot.trajectories(make_detection({}, PEOPLE), make_visits(PEOPLE))
    assert words_on(figure) == ["Nobody was flagged: no course shows a hidden window with enough probability."]


@pytest.mark.parametrize("people", [PEOPLE, []])
def test_with_nobody_judged_the_figure_says_so(people):
    detection = make_detection({}, people)
    detection.participants = detection.participants.with_columns(pl.lit(None, pl.Float64).alias("probability"))
    assert words_on(plot.trajectories(detection, make_visits(people))) == [
        "Nobody could be judged: the reasons stand beside the verdicts."
    ]


def test_a_flagged_person_without_curves_readings_or_window_has_an_empty_panel():
    detection = make_detection()
    detection.curves, detection.windows = detection.curves.clear(), detection.windows.clear()
    figure = plot.trajectories(detection, make_visits().select("participant_id", "years"))
    assert len(figure.axes) == 2 * len(FLAGGED)
    assert plot.to_png(figure)


def test_a_person_judged_by_tg_hdl_is_shown_by_tg_hdl():
    detection = make_detection()
    of_first = pl.col("participant_id") == "ID-06"
    detection.participants = detection.participants.with_columns(
        pl.when(of_first).then(pl.lit("tg_hdl")).otherwise("marker").alias("marker")
    )
    assert plot.trajectories(detection, make_visits()).axes[0].get_ylabel() == "TG:HDL\n(mg/mg)"


# --- the plane ---


def test_the_plane_counts_people_and_visits():
    words = words_on(plot.plane(make_visits()))
    assert any(text.startswith("Dots: 8 people, 64 visits") for text in words)


def test_cut_offs_are_named_on_the_plane():
    words = " ".join(words_on(plot.plane(make_visits()))).replace("\n", " ")
    for name in ("1.0 above the optimum", "1.9 early insulin resistance", "2.9 marked insulin resistance"):
        assert name in words
    assert "100 prediabetes" in words
    assert "126 diabetes" in words


def test_a_path_leads_along_fitted_glucose_and_homa_ir():
    detection = make_detection()
    axes = plot.plane(make_visits(), detection).axes[0]
    path = next(line for line in axes.lines if len(line.get_xdata()) == 3)
    own = detection.curves.filter(pl.col("participant_id") == "ID-06")
    glucose = own.filter(pl.col("marker") == "glucose")["fitted"].to_numpy()
    insulin = own.filter(pl.col("marker") == "insulin")["fitted"].to_numpy()
    assert path.get_xdata() == pytest.approx(glucose)
    assert path.get_ydata() == pytest.approx(glucose * insulin / 405)
    assert any("3 of 3 flagged people" in words for words in words_on(axes.figure))


def test_many_visits_become_hexagons():
    visits = make_visits([f"P{number}" for number in range(600)])
    assert any(text.startswith("Hexagons: 600 people, 4,800 visits") for text in words_on(plot.plane(visits)))


def test_visits_far_outside_do_not_squash_the_plane_and_are_counted():
    far = make_visits().head(1).with_columns(pl.lit(480.0).alias("glucose_mg_dl"))
    figure = plot.plane(pl.concat([make_visits(), far]))
    assert figure.axes[0].get_xlim()[1] < 160
    assert any("1 of them outside the frame" in words for words in words_on(figure))


@pytest.mark.parametrize("visits", [make_visits().clear(), make_visits().drop("homa_ir")])
def test_a_plane_without_points_says_so(visits):
    assert words_on(plot.plane(visits)) == ["No visit has both HOMA-IR and glucose."]


# --- distributions ---


def test_each_person_counts_once_at_the_first_visit_with_the_marker():
    visits = make_visits()
    unseen = (pl.col("participant_id") == "ID-00") & (pl.col("years") < 2)
    visits = visits.with_columns(pl.when(unseen).then(None).otherwise("homa_ir").alias("homa_ir"))
    axes = plot.distributions(visits).axes[0]
    assert sum(bar.get_height() for bar in axes.patches) == len(PEOPLE)
    first = visits.drop_nulls("homa_ir").sort("participant_id", "years").unique("participant_id", keep="first")
    bars = [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in axes.patches]
    assert min(bars)[0] == pytest.approx(first["homa_ir"].min())
    assert max(bars)[1] == pytest.approx(first["homa_ir"].max())
    assert "8 people, 62 visits" in words_on(axes.figure)


def test_only_markers_that_have_a_value_get_a_panel():
    shown = [axes.get_title(loc="left") for axes in plot.distributions(make_visits()).axes if axes.get_visible()]
    assert shown == ["HOMA-IR", "TG:HDL (mg/mg)", "TyG"]


def test_cut_offs_are_named_under_the_distributions():
    words = "\n".join(words_on(plot.distributions(make_visits())))
    assert "HOMA-IR: 1.0 above the optimum, 1.9 early insulin resistance, 2.9 marked insulin resistance" in words
    assert "TG:HDL (mg/mg): 1.5 above the optimum, 2.0 raised, 3.0 probable insulin resistance" in words


def test_one_visit_of_one_person_has_a_distribution():
    figure = plot.distributions(make_visits(PEOPLE[:1], 1))
    assert "1 person, 1 visit" in words_on(figure)
    assert plot.to_png(figure)


def test_without_markers_the_distributions_say_so():
    assert words_on(plot.distributions(make_visits().select("participant_id", "years"))) == ["No visit has a marker."]


# --- all of them ---


def draw_all() -> dict[str, Figure]:
    return {
        "hidden_window": plot.hidden_window(make_trajectory()),
        "trajectories": plot.trajectories(make_detection(), make_visits()),
        "plane": plot.plane(make_visits(), make_detection()),
        "distributions": plot.distributions(make_visits()),
    }


def test_the_callers_settings_and_pyplot_are_left_alone():
    before = dict(mpl.rcParams)
    for figure in draw_all().values():
        plot.to_svg(figure)
    assert dict(mpl.rcParams) == before
    assert plt.get_fignums() == []


def test_the_callers_settings_do_not_change_a_figure():
    plain = {name: plot.to_svg(figure) for name, figure in draw_all().items()}
    with mpl.rc_context({"font.size": 22, "lines.linewidth": 9, "axes.facecolor": "red", "svg.fonttype": "none"}):
        assert {name: plot.to_svg(figure) for name, figure in draw_all().items()} == plain


def test_row_order_and_kind_of_frame_do_not_change_a_figure():
    shuffled = make_visits().sample(fraction=1.0, shuffle=True, seed=1)
    detection, mixed = make_detection(), make_detection()
    mixed.curves = detection.curves.sample(fraction=1.0, shuffle=True, seed=2).to_pandas()
    mixed.windows = detection.windows.reverse().to_pandas()
    mixed.participants = detection.participants.to_pandas()
    trajectory = make_trajectory()
    trajectory.curves = trajectory.curves.sample(fraction=1.0, shuffle=True, seed=3).to_pandas()
    again = {
        "hidden_window": plot.hidden_window(trajectory),
        "trajectories": plot.trajectories(mixed, shuffled.to_pandas()),
        "plane": plot.plane(shuffled.to_pandas(), mixed),
        "distributions": plot.distributions(shuffled.to_pandas()),
    }
    for name, figure in draw_all().items():
        assert plot.to_svg(figure) == plot.to_svg(again[name]), name


def test_a_figure_gives_the_same_bytes_twice():
    figure = plot.hidden_window(make_trajectory())
    assert plot.to_svg(figure) == plot.to_svg(figure)
    assert plot.to_png(figure) == plot.to_png(figure)


def test_files_are_the_same_in_another_process(tmp_path):
    for name, figure in draw_all().items():
        plot.save_figure(figure, tmp_path / name)
    other = tmp_path / "other"
    other.mkdir()
    code = (
        f"import sys; sys.path.insert(0, {os.path.dirname(__file__)!r})\n"
        "import test_plot\nfrom ircohort import plot\n"
        f"for name, figure in test_plot.draw_all().items(): plot.save_figure(figure, {str(other)!r} + '/' + name)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONHASHSEED": "7"})
    for name in draw_all():
        for suffix in (".png", ".svg"):
            first = (tmp_path / (name + suffix)).read_bytes()
            assert first == (other / (name + suffix)).read_bytes(), name


def test_a_png_says_neither_when_nor_by_what_it_was_made():
    content = plot.to_png(Figure(figsize=(1, 1)))
    place, kinds = 8, []
    while place < len(content):
        (length,) = struct.unpack(">I", content[place : place + 4])
        kinds.append(content[place + 4 : place + 8])
        place += 12 + length
    assert {b"tEXt", b"iTXt", b"zTXt", b"tIME"}.isdisjoint(kinds)


def test_an_svg_says_neither_when_nor_by_what_it_was_made():
    svg = plot.to_svg(plot.hidden_window(make_trajectory()))
    for word in (b"dc:date", b"dc:creator", b"Matplotlib v", b"font-family"):
        assert word not in svg


def test_a_figure_that_cannot_be_written_names_the_file(tmp_path):
    with pytest.raises(FileError, match=r"absent/plane\.png could not be written"):
        plot.save_figure(Figure(figsize=(1, 1)), tmp_path / "absent" / "plane")


@settings(derandomize=True, deadline=None)
@given(st.floats(1e-3, 1e3), st.floats(1.001, 1e4))
def test_ticks_of_a_logarithmic_axis_lie_on_it_in_order(low, ratio):
    ticks = style.log_ticks(low, low * ratio)
    assert 2 <= len(ticks) <= 10
    assert ticks == sorted(set(ticks))
    assert low <= ticks[0] <= ticks[-1] <= low * ratio
