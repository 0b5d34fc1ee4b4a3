"""The cohort finding: how long the insulin marker of future cases is raised while their glucose still reads normal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import polars as pl

from ircohort.errors import ModelError
from ircohort.frames import kind_of, to_polars
from ircohort.lmm import Fit
from ircohort.trajectory.alignment import StillBelow, count_people_by_year, share_still_below
from ircohort.trajectory.measuring import Measured, measure
from ircohort.trajectory.modelling import Model
from ircohort.trajectory.narrative import assay_notes, notes_of
from ircohort.trajectory.record import GLUCOSE, ModelSettings, Trajectory
from ircohort.trajectory.sensitivity import sensitivity_table
from ircohort.trajectory.tables import ONSET_SCHEMA, curve_table, onset_row


def hidden_window(visits: Any, settings: ModelSettings | None = None, *, seed: int = 0) -> Trajectory:
    """Measure how long the insulin marker of future cases is raised while their glucose still reads normal.

    Each outcome (by default log HOMA-IR, log TG:HDL and glucose) gets a linear mixed model: random level and slope per
    participant; a natural spline in years to the event for each group; terms for the readings by which events are
    found, of the event and of the judged visits before and after it; age at the visit and sex where they are known.
    Curves of both groups are those of people with the cases' mean age at the event and share of men, growing older
    along the curve.

    - The **difference** is in between-person SDs of the comparison group: sqrt(z'Gz) at each time, with z = (1, time)
      and G the covariance of the random effects in a model of that group alone. It leaves out measurement variation,
      and what age and sex explain.
    - **Onset** is the earliest time from which the difference stays at or above ``onset_sd`` until the event.
    - The **hidden window** lasts from the marker's onset until the cases' fitted glucose reaches the cut-off, else
      until the event.
    - The **lead** is glucose's own onset minus the marker's, so positive where the marker is first.

    Intervals are percentiles of a cluster bootstrap: participants are drawn with replacement, the same ones for all
    outcomes, and the curves and the SD between people are estimated anew. The supported years and the standard person
    are held at their estimates, and so are the spline's knots and the variances of the model of both groups, unless
    the comparison group is matched or events are dated by fitted glucose: then the drawn people go through alignment,
    matching and models anew. Limits of whole curves
    are symmetric on the scale of the model, as wide as 95 % of the refits need.

    Parameters
    ----------
    visits
        VISITS with ``glycaemia`` and at least one of the outcomes; pandas or polars.
    settings
        Event, comparison group, terms, thresholds and number of refits.
    seed
        Of the bootstrap, and of the draws that choose and match comparison visits.

    Returns
    -------
    Trajectory
        The record; an outcome that cannot be fitted is left out, and a note says why.

    Raises
    ------
    ModelError
        If no outcome can be fitted.
    ColumnError
        If ``participant_id``, ``years`` or ``glycaemia`` is absent, or what another event or a matched comparison
        group needs.

    Source
    ------
    Backward time and comparison group: Tabak 2009, Lancet 373:2215, doi:10.1016/S0140-6736(09)60619-X, and Sagesaka
    2018, J Endocr Soc 2:476, doi:10.1210/js.2018-00071. Simultaneous limits from a bootstrap: Davison and Hinkley
    1997, Bootstrap Methods, section 4.2.4, doi:10.1017/CBO9780511802843. The hidden window itself is this project's
    definition.
    """
    chosen = settings or ModelSettings()
    kind, table = kind_of(visits), to_polars(visits)
    found = measure(table, chosen, seed)
    still_below, refusals = _still_below(table, found, chosen)
    glucose = found.courses.get(GLUCOSE)
    rows = [onset_row(course, glucose, chosen) for course in found.courses.values()]
    return Trajectory(
        curves=kind(pl.concat([curve_table(course) for course in found.courses.values()])),
        onset=kind(pl.DataFrame(rows, schema=ONSET_SCHEMA)),
        sensitivity=kind(sensitivity_table(table, found, chosen, seed)),
        people_by_year=kind(count_people_by_year(found.aligned.visits)),
        fixed=kind(_stack(found.models, lambda record: record.fixed)),
        random=kind(_stack(found.models, lambda record: record.random)),
        fits={name: _of_kind(model.fit, kind) for name, model in found.models.items()},
        counts=found.aligned.counts,
        still_below=still_below,
        settings=chosen,
        notes=(*notes_of(found, still_below, chosen), *assay_notes(table), *refusals),
    )


def _still_below(
    visits: pl.DataFrame, found: Measured, settings: ModelSettings
) -> tuple[StillBelow | None, tuple[str, ...]]:
    """Count the events by readings that the fitted glucose does not bear out; where it cannot be fitted, say so."""
    if not settings.rule.by_readings or "glucose_mg_dl" not in visits.columns or found.aligned.events is None:
        return None, ()
    try:
        return share_still_below(visits, found.aligned.events, settings.rule), ()
    except ModelError as error:
        return None, (f"Whether fitted glucose bears the events out is not known: {' '.join(str(error).split())}",)


def _stack(models: Mapping[str, Model], pick: Callable[[Fit], pl.DataFrame]) -> pl.DataFrame:
    return pl.concat(
        [pick(model.fit).select(pl.lit(name).alias("outcome"), pl.all()) for name, model in models.items()]
    )


def _of_kind(record: Fit, kind: Callable[[pl.DataFrame], Any]) -> Fit:
    return replace(record, fixed=kind(record.fixed), random=kind(record.random), people=kind(record.people))
