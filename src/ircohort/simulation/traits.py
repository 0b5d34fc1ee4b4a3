"""What may happen to people and to their readings, beside the slow loss of sensitivity: nothing of it by default.

Each trait is a record of parameters. Values without a source are choices, stated as such in ``docs/simulation.md``.
"""

from __future__ import annotations

from dataclasses import dataclass

from ircohort.simulation.parameter import Checked, number, number_or_none, refusal, share, yes_or_no


def _require_order(name: str, high: float, other: str, low: float) -> None:
    if high < low:
        raise refusal(name, high, f"at least {low!r}, which is {other}")


@dataclass(frozen=True)
class Decliners(Checked):
    """People who hold their sensitivity, and people who lose it fast; the others are slow: kappa as it is."""

    share_stable: float = share(0.0, "share of people who lose no sensitivity")
    share_fast: float = share(0.0, "share of people who lose it fast")
    fast_factor: float = number(4.0, 1.0, 100.0, "by what their yearly loss is multiplied")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.share_stable + self.share_fast > 1:
            raise refusal("share_fast", self.share_fast, f"at most {1 - self.share_stable:.4g}, beside the stable")


@dataclass(frozen=True)
class BetaCells(Checked):
    """Beta cells that fail early, and those that go on; the others are usual."""

    share_failing: float = share(0.0, "share of people whose beta cells fail early")
    failing_factor: float = number(0.5, 0.05, 1.0, "by what their capacity is multiplied")
    share_robust: float = share(0.0, "share of people whose beta cells are robust")
    robust_factor: float = number(3.0, 1.0, 20.0, "by what their capacity is multiplied")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.share_failing + self.share_robust > 1:
            raise refusal("share_robust", self.share_robust, f"at most {1 - self.share_failing:.4g}")


@dataclass(frozen=True)
class Puberty(Checked):
    """Sensitivity falls from Tanner stage I to III or IV, stays, and comes back (Goran & Gower 2001)."""

    present: bool = yes_or_no(False, "whether people pass through puberty; matters below 18 years of age only")
    depth: float = number(0.32, 0.0, 0.9, "share of sensitivity lost at its deepest")
    share_met: float = share(0.5, "share of that loss, in logs, which the growing beta cell makes good at once")
    girls_from: float = number(11.0, 7.0, 16.0, "mean age at which it begins, girls")
    boys_from: float = number(12.5, 7.0, 16.0, "mean age at which it begins, boys")
    from_sd: float = number(1.0, 0.0, 3.0, "SD of that age between people, years")
    years_falling: float = number(2.0, 0.1, 5.0, "years of falling sensitivity")
    years_low: float = number(1.0, 0.0, 5.0, "years at its lowest")
    years_rising: float = number(2.5, 0.1, 5.0, "years of its coming back")


@dataclass(frozen=True)
class Weight(Checked):
    """Loss of weight, kept or regained; sensitivity goes with BMI to the power of -1.9."""

    share_losing: float = share(0.0, "share of people who lose weight once")
    share_regaining: float = share(0.5, "of these, share who regain it")
    loss_mean: float = number(0.10, 0.0, 0.4, "mean share of BMI lost")
    loss_sd: float = number(0.047, 0.0, 0.2, "SD of it between people; the loss lies within 0 and 0.4")
    begins_low: float = number(1.0, 0.0, 60.0, "earliest begin, years since the first visit")
    begins_high: float = number(5.0, 0.0, 60.0, "latest begin")
    years_losing: float = number(0.5, 0.1, 10.0, "years of losing")
    years_kept: float = number(1.0, 0.0, 20.0, "years until those who regain begin to")
    years_regaining: float = number(1.5, 0.1, 20.0, "years of regaining")
    share_regained: float = share(1.0, "share of the lost weight that comes back")

    def __post_init__(self) -> None:
        super().__post_init__()
        _require_order("begins_high", self.begins_high, "begins_low", self.begins_low)


@dataclass(frozen=True)
class Treatment(Checked):
    """A glucose-lowering drug from the visit that confirms diabetes or prediabetes; it raises sensitivity."""

    share_from_prediabetes: float = share(0.0, "share treated from confirmed prediabetes (two visits in a row)")
    share_from_diabetes: float = share(0.0, "share treated from confirmed diabetes at the latest")
    sensitivity_factor: float = number(1.3, 1.0, 5.0, "by what it multiplies sensitivity")
    years_until_full: float = number(0.25, 0.01, 5.0, "years until it does so fully")
    recorded: bool = yes_or_no(True, "whether the export has a column of it")

    def __post_init__(self) -> None:
        super().__post_init__()
        _require_order(
            "share_from_diabetes", self.share_from_diabetes, "share_from_prediabetes", self.share_from_prediabetes
        )

    @property
    def present(self) -> bool:
        """Whether anybody is treated."""
        return self.share_from_diabetes > 0


@dataclass(frozen=True)
class Assay(Checked):
    """Another insulin assay from some time on; the truth stays as it is."""

    share_changed: float = share(0.0, "share of people whose assay changes, each at a time of their own")
    cohort_date: float | None = number_or_none(None, 1900.0, 2200.0, "when everyone's changes, as a year: 2010.5")
    factor: float = number(1.25, 0.1, 10.0, "by what the new assay multiplies insulin")
    recorded: bool = yes_or_no(True, "whether the export has a column of the assay")

    @property
    def present(self) -> bool:
        """Whether anybody's assay changes."""
        return self.share_changed > 0 or self.cohort_date is not None


@dataclass(frozen=True)
class Readings(Checked):
    """How readings are related to each other, and what goes wrong with them."""

    serial_share: float = share(0.0, "share of the within-person variance (not of BMI) that lasts from visit to visit")
    serial_half_life_years: float = number(1.0, 0.01, 50.0, "after which half of that correlation is gone")
    draw_correlation: float = number(0.0, -0.99, 0.99, "correlation of the insulin and glucose errors of one draw")
    share_not_fasting: float = share(0.0, "share of draws after a meal, not recorded")
    not_fasting_glucose_factor: float = number(1.25, 0.5, 5.0, "by what a meal multiplies glucose")
    not_fasting_insulin_factor: float = number(4.0, 0.5, 50.0, "by what a meal multiplies insulin")
    insulin_limit: float | None = number_or_none(None, 0.1, 50.0, "detection limit in uIU/mL; below it: <limit")


@dataclass(frozen=True)
class DropOut(Checked):
    """Leaving the cohort between visits, by the true state at the last one: hazard = rate x exp(...) per year."""

    rate: float = number(0.0, 0.0, 5.0, "leavings per year at glucose 95 mg/dL and insulin 6 uIU/mL")
    log_per_10_mg_dl: float = number(0.0, -5.0, 5.0, "ln of the factor per 10 mg/dL of true glucose above that")
    log_per_doubling: float = number(0.0, -5.0, 5.0, "ln of the factor per doubling of true insulin")
