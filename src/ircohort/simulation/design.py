"""What a simulated cohort looks like: who is in it, when they are seen, and how exactly they are measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from ircohort.simulation.parameter import Checked, choice, group, number, refusal, share, whole, yes_or_no
from ircohort.simulation.population import Population
from ircohort.simulation.presets import JAPAN, US
from ircohort.simulation.traits import Assay, BetaCells, Decliners, DropOut, Puberty, Readings, Treatment, Weight

UNITS = ("us", "si")

SAMPLE_SEED = 14
"""Seed of ``data/sample``."""

_MOST_PARTICIPANTS = 1_000_000
_LONGEST_YEARS = 60.0
_FIRST_YEAR, _LAST_YEAR = 1900, 2100
STEEPEST = 0.12
"""Highest loss of ln(sensitivity) per year."""


@dataclass(frozen=True)
class Design(Checked):
    """The design of a simulated cohort. Defaults describe a general population seen once a year.

    The meaning and range of each parameter stand beside its default; :func:`ircohort.simulation.parameters` lists
    them. Those of ``population`` and of the traits are records of their own: ``Design(puberty=Puberty(present=True))``.

    Raises
    ------
    UsageError
        If a parameter is outside its range, or is not of its type.

    Examples
    --------
    >>> Design(n_participants=0)
    Traceback (most recent call last):
    ...
    ircohort.errors.UsageError: The design has n_participants = 0.
    Expected is a whole number from 1 to 1000000.
    """

    n_participants: int = whole(500, 1, _MOST_PARTICIPANTS, "people; each has at least the first visit")
    n_visits: int = whole(12, 1, 1000, "visits planned for each person, the first at entry")
    years_between_visits: float = number(1.0, 1 / 12, 20.0, "planned time between visits, years")
    visit_jitter_years: float = number(0.1, 0.0, 10.0, "later visits fall uniformly within this time of their plan")
    share_visits_missed: float = share(0.08, "probability that a visit after the first does not take place")
    share_insulin_missing: float = share(0.03, "probability that insulin was not measured at a visit")
    until_diabetes: bool = yes_or_no(
        False, "follow-up ends with the visit that confirms diabetes: readings of 126 mg/dL or more twice in a row"
    )
    age_low: float = number(35.0, 0.0, 110.0, "lowest age at entry, years; drawn uniformly")
    age_high: float = number(60.0, 0.0, 110.0, "highest age at entry")
    share_women: float = share(0.5, "probability of being a woman")
    years_before_entry_low: float = number(0.0, 0.0, 40.0, "how long sensitivity had been falling at entry, at least")
    years_before_entry_high: float = number(0.0, 0.0, 40.0, "at most, years; drawn uniformly, 0: everyone at the start")
    kappa_median: float = number(0.012, 0.0, STEEPEST, "yearly loss of ln sensitivity, median; never above 0.12")
    kappa_log_sd: float = number(0.8, 0.0, 3.0, "SD of its log between people")
    glucose_log_sd: float = number(0.05, 0.0, 1.0, "within-person SD of the log of one reading of glucose")
    insulin_log_sd: float = number(0.26, 0.0, 1.0, "the same of insulin")
    triglycerides_log_sd: float = number(0.20, 0.0, 1.0, "the same of triglycerides")
    hdl_log_sd: float = number(0.075, 0.0, 1.0, "the same of HDL")
    bmi_log_sd: float = number(0.01, 0.0, 1.0, "the same of BMI")
    first_year_low: int = whole(2004, _FIRST_YEAR, _LAST_YEAR, "first calendar year of entry; drawn uniformly by day")
    first_year_high: int = whole(2006, _FIRST_YEAR, _LAST_YEAR, "last calendar year of entry")
    units: str = choice("us", UNITS, "units of the export: us (mg/dL, uIU/mL) or si (mmol/L, pmol/L)")
    population: Population = field(default=Population(), metadata=group(Population, "from what people are drawn"))
    decliners: Decliners = field(default=Decliners(), metadata=group(Decliners, "stable, slow and fast decliners"))
    beta_cells: BetaCells = field(default=BetaCells(), metadata=group(BetaCells, "failing and robust beta cells"))
    puberty: Puberty = field(default=Puberty(), metadata=group(Puberty, "transient loss of sensitivity"))
    weight: Weight = field(default=Weight(), metadata=group(Weight, "loss and regain of weight"))
    treatment: Treatment = field(default=Treatment(), metadata=group(Treatment, "glucose-lowering drug"))
    assay: Assay = field(default=Assay(), metadata=group(Assay, "change of the insulin assay"))
    readings: Readings = field(default=Readings(), metadata=group(Readings, "correlated and mistaken readings"))
    drop_out: DropOut = field(default=DropOut(), metadata=group(DropOut, "leaving by the true state"))

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_order(self)


def _check_order(design: Design) -> None:
    if design.age_high < design.age_low:
        raise refusal("age_high", design.age_high, f"an age from age_low = {design.age_low} on")
    if design.years_before_entry_high < design.years_before_entry_low:
        low = design.years_before_entry_low
        raise refusal("years_before_entry_high", design.years_before_entry_high, f"a time from {low} years on")
    if design.first_year_high < design.first_year_low:
        raise refusal("first_year_high", design.first_year_high, f"a year from {design.first_year_low} on")
    # Below half of the spacing, less the day that rounding to whole days can move a visit: no two visits coincide.
    room = design.years_between_visits / 2 - 1 / 365.25
    if design.visit_jitter_years > room:
        raise refusal("visit_jitter_years", design.visit_jitter_years, f"at most {room:.4g}, so that visits keep order")
    if (design.n_visits - 1) * design.years_between_visits > _LONGEST_YEARS:
        raise refusal("n_visits", design.n_visits, f"a follow-up of at most {_LONGEST_YEARS:.0f} years in all")


DESIGNS: Mapping[str, Design] = MappingProxyType(
    {
        "clinic": Design(kappa_median=0.03, kappa_log_sd=1.0, years_before_entry_high=10.0, until_diabetes=True),
        "population": Design(years_before_entry_high=10.0, until_diabetes=True),
        "japan": Design(
            n_participants=27_392,
            n_visits=16,
            years_before_entry_high=10.0,
            kappa_median=0.0116,
            kappa_log_sd=0.72,
            until_diabetes=True,
            population=JAPAN,
            drop_out=DropOut(rate=0.15),
        ),
        "us": Design(
            n_participants=20_000,
            n_visits=1,
            age_low=20.0,
            age_high=80.0,
            years_before_entry_high=10.0,
            share_insulin_missing=0.0,
            first_year_low=2017,
            first_year_high=2018,
            population=US,
        ),
    }
)
"""Named designs: ``clinic``, people at risk (the sample); ``population``, people at large, with another kappa;
``japan`` and ``us``, fitted to published figures (``benchmarks/presets.md``)."""
