"""The people of a population before anything happens to them: medians, spreads, and what comes with age and sex."""

from __future__ import annotations

from dataclasses import dataclass, field

from ircohort.simulation.parameter import Checked, group, number

REFERENCE_AGE = 50.0
"""Age in years at which the effects of age are nil."""


@dataclass(frozen=True)
class Effect(Checked):
    """What sex and age at entry add to the level of a quantity, in the unit of that level."""

    women: float = number(0.0, -50.0, 50.0, "added for women, at age 50")
    per_year: float = number(0.0, -5.0, 5.0, "added per year of age above 50")
    per_year_women: float = number(0.0, -5.0, 5.0, "added to that for women")


@dataclass(frozen=True)
class Population(Checked):
    """The parameters from which people are drawn. Defaults: the cohort model of ``docs/simulation.md``.

    The effects of age and sex move levels at the beginning of the process, by age at entry; what happens to a person
    afterwards comes from the physiology alone.
    """

    bmi_median: float = number(22.3, 10.0, 60.0, "median BMI at the beginning, kg/m2")
    bmi_log_sd: float = number(0.125, 0.0, 1.0, "SD of its log")
    sensitivity_median: float = number(1.55, 0.05, 10.0, "median insulin sensitivity at the median BMI, mL/uIU per day")
    sensitivity_log_sd: float = number(0.42, 0.0, 1.5, "SD of its log at a given BMI")
    set_point_mean: float = number(90.5, 70.0, 115.0, "mean set-point of glucose, mg/dL")
    set_point_sd: float = number(4.5, 0.0, 15.0, "SD of it, mg/dL")
    set_point_by_sensitivity: float = number(0.0, -30.0, 30.0, "mg/dL added to it per unit of ln(S / median)")
    toxic_level_mean: float = number(122.0, 100.0, 200.0, "mean level above which glucose harms the beta cell, mg/dL")
    toxic_level_sd: float = number(8.0, 0.0, 30.0, "SD of it, mg/dL")
    reserve_median: float = number(2.0, 1.0, 20.0, "median capacity of the beta cell, in multiples of the start")
    reserve_log_sd: float = number(0.4, 0.0, 2.0, "SD of its log")
    triglycerides_log_level: float = number(4.45, 3.0, 6.0, "mean ln triglycerides (mg/dL) at the median sensitivity")
    triglycerides_log_slope: float = number(0.35, -2.0, 2.0, "added per unit of lost ln sensitivity")
    triglycerides_log_bmi: float = number(0.0, -3.0, 3.0, "added per unit of ln(BMI / median), beside that")
    triglycerides_between_sd: float = number(0.40, 0.0, 1.5, "SD between people, beside that")
    hdl_log_level: float = number(4.10, 3.0, 5.0, "mean ln HDL (mg/dL) at the median sensitivity")
    hdl_log_slope: float = number(-0.14, -2.0, 2.0, "added per unit of lost ln sensitivity")
    hdl_log_bmi: float = number(0.0, -3.0, 3.0, "added per unit of ln(BMI / median), beside that")
    hdl_between_sd: float = number(0.20, 0.0, 1.5, "SD between people, beside that")
    lipids_correlation: float = number(0.0, -0.95, 0.95, "correlation of these two deviations")
    set_point: Effect = field(default=Effect(), metadata=group(Effect, "of the set-point, mg/dL"))
    bmi: Effect = field(default=Effect(), metadata=group(Effect, "of ln BMI"))
    bmi_spread: Effect = field(default=Effect(), metadata=group(Effect, "of ln of the SD of ln BMI"))
    sensitivity: Effect = field(default=Effect(), metadata=group(Effect, "of ln sensitivity at a given BMI"))
    triglycerides: Effect = field(default=Effect(), metadata=group(Effect, "of ln triglycerides"))
    triglycerides_spread: Effect = field(
        default=Effect(), metadata=group(Effect, "of ln of the SD of triglycerides between people")
    )
    hdl: Effect = field(default=Effect(), metadata=group(Effect, "of ln HDL"))
