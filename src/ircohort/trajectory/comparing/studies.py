"""The studies that a cohort is set beside: after which model, on the time to which events, and what differs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import polars as pl

from ircohort.errors import UsageError
from ircohort.trajectory.alignment import GROUPS
from ircohort.trajectory.alignment.rules import EVENTS
from ircohort.trajectory.published import STUDIES, targets
from ircohort.trajectory.specifications.record import BACKWARD


@dataclass(frozen=True)
class StudyDesign:
    """How a study is met: the specification that is after its model, the events it counts to, and what differs."""

    specification: str
    events: tuple[str, ...]
    differs: tuple[str, ...]


COMPARED: Mapping[str, StudyDesign] = MappingProxyType(
    {
        "sagesaka-2018": StudyDesign(
            "sagesaka",
            EVENTS,
            (
                "Sagesaka 2018 measured no insulin: its insulin sensitivity is SPISE, computed from HDL, triglycerides "
                "and BMI, so that a lower SPISE is partly a higher BMI. Nothing there can be set beside insulin or "
                "HOMA-IR.",
                "Its 20 years are two windows of ten years joined, before prediabetes and before diabetes, in two "
                "separate analyses: no person was followed through both, and the mean follow-up was 5.3 years.",
                "The abstract does not say which covariates and random effects the mixed model had, how people "
                "without the event were placed in time, or whether an event was confirmed.",
                "Ten years before diabetes the mean glucose of its future cases, 101.5 mg/dL, is already impaired: "
                "only the analysis of prediabetes begins with a normal glucose.",
                "Its events are by fasting glucose and HbA1c together; own events are by the readings that this "
                "cohort has.",
            ),
        ),
        "tabak-2009": StudyDesign(
            "tabak",
            ("diabetes",),
            (
                "Tabak 2009 gives insulin sensitivity and beta-cell function by HOMA2, whose coefficients are not "
                "shipped with ircohort: HOMA1 stands in, and only the years in which curves bend are set beside, "
                "never levels.",
                "Half of its cases (49.1 %) were found by an oral glucose test, and there were 801 measurements of 505 "
                "cases: its knots are those of a population average.",
                "Its knots are stated in whole years and without intervals.",
                "Where own events are found by the fasting glucose that is modelled, the readings of the last year are "
                "selected and pull knots towards the event; own_terms takes these readings out of the curve.",
                "Adjusted there for age, sex and ethnic origin.",
            ),
        ),
        "hulman-2017": StudyDesign(
            "hulman",
            ("diabetes",),
            (
                "Hulman 2017 compares South Asian with white people who came to have diabetes; there is no comparison "
                "group without diabetes, and ethnic origin is not part of the own table. Its differences therefore "
                "stand alone.",
                "Its beta-cell function is by HOMA2; only the year in which it is highest is set beside.",
                "Visits were five years apart.",
            ),
        ),
        "malmstrom-2018": StudyDesign(
            "sagesaka",
            ("diabetes",),
            (
                "Its means are of cases and five matched controls each.",
                "The means are from a conference abstract, without intervals, in whole mg/dL.",
            ),
        ),
        "heianza-2012": StudyDesign(
            "sagesaka",
            ("diabetes",),
            (
                "Ten years before diabetes it rests on 21 people.",
                "Its comparison group is people without diabetes after ten years, and its diagnoses are by glucose, "
                "HbA1c or a stated diagnosis.",
                "The scale of its HbA1c is not named; NGSP is taken, to which its cut-off of 6.5 % belongs.",
            ),
        ),
    }
)
"""By study. The others of :data:`ircohort.trajectory.published.STUDIES` have numbers of another kind."""


def design_of(study: str) -> StudyDesign:
    """Give how a study is met.

    Raises
    ------
    UsageError
        If there is no such study, or it has no course in time.

    Examples
    --------
    >>> design_of("tabak-2009").specification
    'tabak'
    """
    if study not in COMPARED:
        why = "has no course in time" if study in STUDIES else "is not known"
        raise UsageError(
            f"The study {study} {why}: no cohort can be set beside it.",
            expected=f"Those with one are: {', '.join(COMPARED)}.",
        )
    return COMPARED[study]


def dated_targets(study: str) -> pl.DataFrame:
    """Take the numbers of a study with an event and a time, and add the differences of means between the groups.

    Examples
    --------
    >>> dated_targets("malmstrom-2018").filter(group="difference")["value"].to_list()
    [4.0, 10.0, 16.0]
    """
    rows = targets(study).filter(pl.col("event").is_not_null() & pl.col(BACKWARD).is_not_null())
    keys = ["event", "outcome", "unit", BACKWARD]
    means = rows.filter(pl.col("kind") == "mean")
    cases, others = (means.filter(pl.col("group") == group) for group in GROUPS)
    pairs = cases.join(others.select(*keys, pl.col("value").alias("other")), on=keys, maintain_order="left")
    differences = pairs.with_columns(
        (pl.col("value") - pl.col("other")).alias("value"),
        pl.lit("difference").alias("group"),
        pl.lit(None, pl.Float64).alias("low"),
        pl.lit(None, pl.Float64).alias("high"),
    ).drop("other")
    return pl.concat([rows, differences])
