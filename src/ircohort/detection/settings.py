"""What detection may be told, and what it gives back."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from ircohort.errors import UsageError
from ircohort.estimand import HiddenWindow

CENSORED = ("interval", "half_limit", "drop")


@dataclass(frozen=True)
class DetectSettings:
    """The thresholds of detection; the defaults are those of the project.

    ``min_rise`` is a share (0.25 = 25 %), ``min_years`` years, ``glucose_cut_off_mg_dl`` mg/dL. ``flag_from`` and
    ``possible_from`` are probabilities. ``min_visits`` is the number of visits with the marker, and with glucose,
    below which a person is not judged. ``judge_from`` is the number of people with two readings in one series below
    which nobody is: with fewer, how people differ is learned too roughly. ``course_from`` is the posterior
    probability from which a course or a stage is named. ``draws`` (rounded up to a power of two) curves are drawn
    per person, shared out over ``refits`` refits of the population (0: the population parameters are taken as
    known). Populations are learned from at most ``learn_up_to`` series, evenly spread, and everyone is judged by them.
    In cohorts of more than ``refit_up_to`` series, where time would run out, 4,000 series do, nothing is refitted, and
    a quarter of the draws is made; where 4,000 show too little of how slopes differ, ``learn_up_to`` series are
    learned from after all, refits included. ``expected_from`` is the number of people from which a rise beyond the
    cohort's mean course is judged. ``censored`` says what a reading of insulin beyond a limit of detection is taken
    for: the ``interval`` in which it lies, half of the limit (``half_limit``), or nothing (``drop``). ``noise_check``
    asks how many would be flagged if each person's visits were dealt out anew; cohorts of more than 20,000 series are
    not asked. In cohorts of more than ``whole_up_to`` series curves, and the probability without TG:HDL, are given only
    where a window is at least possible. ``recalibrate`` asks, where there are refits, by how much probabilities are too
    far from the middle, and corrects them.
    """

    min_rise: float = 0.25
    min_years: float = 2.0
    glucose_cut_off_mg_dl: float = 100.0
    flag_from: float = 0.8
    possible_from: float = 0.5
    min_visits: int = 3
    judge_from: int = 400
    course_from: float = 0.9
    draws: int = 512
    refits: int = 16
    learn_up_to: int = 50_000
    refit_up_to: int = 500_000
    expected_from: int = 300
    censored: str = "interval"
    noise_check: bool = True
    whole_up_to: int = 20_000
    recalibrate: bool = True

    def __post_init__(self) -> None:
        """Refuse values that cannot be meant."""
        checks = (
            (0 < self.min_rise <= 10, "min_rise", "a share above 0, such as 0.25"),
            (0 < self.min_years <= 100, "min_years", "years above 0"),
            (40 <= self.glucose_cut_off_mg_dl <= 400, "glucose_cut_off_mg_dl", "mg/dL from 40 to 400"),
            (0 < self.possible_from <= self.flag_from <= 1, "possible_from", "above 0 and at most flag_from"),
            (0 < self.flag_from <= 1, "flag_from", "a probability above 0"),
            (self.min_visits >= 2, "min_visits", "2 or more"),
            (self.judge_from >= 100, "judge_from", "100 or more"),
            (0.5 < self.course_from < 1, "course_from", "a probability between 0.5 and 1"),
            (64 <= self.draws <= 65536, "draws", "64 to 65536"),
            (0 <= self.refits <= min(64, self.draws), "refits", "0 to 64"),
            (self.learn_up_to >= 100, "learn_up_to", "100 or more"),
            (self.refit_up_to >= 0, "refit_up_to", "0 or more"),
            (self.whole_up_to >= 0, "whole_up_to", "0 or more"),
            (self.expected_from >= 1, "expected_from", "1 or more"),
            (self.censored in CENSORED, "censored", f"one of {', '.join(CENSORED)}"),
            (isinstance(self.noise_check, bool), "noise_check", "True or False"),
            (isinstance(self.recalibrate, bool), "recalibrate", "True or False"),
        )
        for good, name, expected in checks:
            if not good:
                raise UsageError(f"The detection setting {name} cannot be used.", expected=f"Expected is {expected}.")

    @property
    def asks_for(self) -> str:
        """What a cohort must have before anybody in it is judged, in words."""
        return (
            f"{self.judge_from} people with two readings of the marker in one series, whose slopes differ beyond "
            f"chance, and {self.min_visits} visits with the marker and with glucose from each who is judged"
        )

    @property
    def definition(self) -> HiddenWindow:
        """The thresholds as the definition of a hidden window."""
        return HiddenWindow(self.min_rise, self.min_years, self.glucose_cut_off_mg_dl)


@dataclass(frozen=True)
class Detection:
    """The individual findings of a cohort.

    ``participants`` and ``windows`` are the tables of the contract. ``curves`` has one row per participant, marker
    (``insulin`` uIU/mL, ``tg_hdl`` mg/mg, ``glucose`` mg/dL) and grid time with ``fitted``, ``fitted_low`` and
    ``fitted_high`` (95 %). ``population`` has one row per marker: people and visits in the fit, components of the
    mixture, mean and SD of the yearly change in % with its 95 % profile interval, residual CV in %, whether the SD can
    be told from zero, and a note. ``expected_false`` is the sum of (1 - probability) over the flagged, with a 95 %
    interval, None where nobody is. ``flagged_by_noise`` is how many would be flagged if each person's visits were dealt
    out anew at random; no estimate of false flags; None where it was not counted. ``notes`` are sentences for the
    reader.
    """

    participants: Any
    windows: Any
    curves: Any
    population: Any
    n_flagged: int
    expected_false: float | None
    expected_false_low: float | None
    expected_false_high: float | None
    flagged_by_noise: int | None
    settings: DetectSettings
    notes: tuple[str, ...]


SETTING_NAMES = tuple(field.name for field in fields(DetectSettings))
"""Names of the settings, for configuration files and messages."""
