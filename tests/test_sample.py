"""The sample shows what its page says it shows."""

import re
from pathlib import Path

import polars as pl
import pytest

import ircohort as ic
from ircohort.evaluation import visits_of
from ircohort.glycaemia import confirmed_events

SAMPLE = Path(__file__).parents[1] / "data" / "sample"
PAGE = " ".join((SAMPLE / "README.md").read_text(encoding="utf-8").split())


@pytest.fixture(scope="module")
def visits():
    return ic.markers(ic.read(SAMPLE / "labs.csv").visits)


def flagged(visits, truth):
    found = ic.detect(visits).participants.filter(pl.col("verdict") == "hidden_window")
    return found.join(truth, on="participant_id")


def test_the_flagged_people_are_as_many_as_its_page_says(visits):
    people = flagged(visits, pl.read_csv(SAMPLE / "truth.csv"))
    said = re.search(r"ircohort flags (\d+), of whom (\d+) have a true window", PAGE)
    assert said
    assert (people.height, people["hidden_window"].sum()) == (int(said[1]), int(said[2]))
    assert people.height >= 10


def test_the_probabilities_add_up_to_what_its_page_says(visits):
    judged = ic.detect(visits).participants.drop_nulls("probability")
    truth = pl.read_csv(SAMPLE / "truth.csv")["participant_id", "hidden_window"].filter(pl.col("hidden_window"))
    expected, true = judged["probability"].sum(), judged.join(truth, on="participant_id", how="semi").height
    said = (
        f"of the {judged.height} people whom it judges add up to {expected:.0f}, and {true} of them have a true window"
    )
    assert said in PAGE


def test_the_people_who_progress_are_as_many_as_its_page_says(visits):
    progress = confirmed_events(visits).filter(~pl.col("prevalent")).height
    assert f"{progress} progress to prediabetes" in PAGE
    assert progress >= 80


def test_a_general_population_of_this_size_shows_hardly_anyone():
    simulated = ic.simulate(ic.DESIGNS["population"])
    people = flagged(visits_of(simulated), simulated.truth)
    assert f"of its 500 people ircohort flags {people.height}." in PAGE
    assert people.height <= 5
    assert f"has {simulated.truth['hidden_window'].sum()} people with a true window" in PAGE
