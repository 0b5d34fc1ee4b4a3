"""Who stands at the landmark, what was known of them then, and between which visits the event came later."""

from __future__ import annotations

import polars as pl

from ircohort import schema
from ircohort.detection import Detection
from ircohort.frames import to_polars
from ircohort.glycaemia import confirmed_events, with_glycaemia
from ircohort.prognosis.record import LandmarkSettings

STANDINGS = ("followed", "event_by_landmark", "glucose_unknown", "not_normal", "not_followed")

_ASIDE = ("ill", "pregnant", "glucose_lowering_drug", "insulin_therapy")


def classified(visits: pl.DataFrame) -> pl.DataFrame:
    """Give VISITS with a class of glycaemia; where none is stated at all it is decided from glucose and HbA1c."""
    table = schema.arrange(schema.require(visits, schema.VISITS), schema.VISITS)
    if table["glycaemia"].null_count() < table.height:
        return table
    return with_glycaemia(table)


def up_to(visits: pl.DataFrame, at: float) -> pl.DataFrame:
    """Give the visits up to and including the landmark: all that anything said at the landmark may rest on."""
    return visits.filter(pl.col("years") <= at)


def stand_at(visits: pl.DataFrame, at: float, detection: Detection, settings: LandmarkSettings) -> pl.DataFrame:
    """Put together what is known at the landmark and what came after: ``people`` of the record.

    Parameters
    ----------
    visits
        All VISITS.
    at
        The landmark in years.
    detection
        Made from the visits up to the landmark.
    settings
        The event, and the cut-off below which fitted glucose is normal.
    """
    before = _usable(classified(up_to(visits, at)))
    known = _known(detection, before, settings)
    outcome = _outcome(before, _usable(classified(visits)), at, settings.event)
    people = known.join(outcome, on="participant_id", how="left", maintain_order="left")
    people = people.with_columns(_standing().alias("standing"))
    after = pl.col("standing") == "followed"
    return people.select(
        "participant_id",
        "standing",
        "verdict",
        "probability",
        "flag",
        "normal_by",
        "fitted_glucose",
        "latest_glucose",
        "latest_homa_ir",
        "latest_tg_hdl",
        "bmi",
        pl.col("pending").fill_null(False),
        *(pl.when(after).then(pl.col(name)).alias(name) for name in ("low", "high")),
    )


def _standing() -> pl.Expr:
    return (
        pl.when(pl.col("event_by_landmark").fill_null(False))
        .then(pl.lit("event_by_landmark"))
        .when(pl.col("normal_by").is_null())
        .then(pl.lit("glucose_unknown"))
        .when(~pl.col("normal"))
        .then(pl.lit("not_normal"))
        .when(pl.col("low").is_null())
        .then(pl.lit("not_followed"))
        .otherwise(pl.lit("followed"))
    )


def _usable(visits: pl.DataFrame) -> pl.DataFrame:
    """Leave out visits without a time, and those that detection sets aside: they say nothing of fasting glycaemia."""
    aside = pl.any_horizontal(*(pl.col(name).fill_null(False) for name in _ASIDE), ~pl.col("fasting").fill_null(True))
    dated = pl.col("years").is_finite().fill_null(False)
    order = ["participant_id", "years", "visit_date", "glucose_mg_dl", "insulin_uiu_ml", "tg_hdl_mg", "bmi"]
    return visits.filter(dated & ~aside).sort(order)


def _known(detection: Detection, before: pl.DataFrame, settings: LandmarkSettings) -> pl.DataFrame:
    """Verdicts, the fitted glucose at the last visit used, and the latest readings."""
    people = to_polars(detection.participants).select("participant_id", "verdict", "probability").sort("participant_id")
    fitted = (
        to_polars(detection.curves)
        .filter((pl.col("marker") == "glucose") & pl.col("fitted").is_not_null())
        .sort("participant_id", "years")
        .group_by("participant_id", maintain_order=True)
        .agg(pl.col("fitted").last().alias("fitted_glucose"))
    )
    for more in (fitted, _latest(before)):
        people = people.join(more, on="participant_id", how="left", maintain_order="left")
    standing_glucose = pl.coalesce("fitted_glucose", "latest_glucose")
    flagged = (pl.col("verdict") == "hidden_window").cast(pl.Float64)
    return people.with_columns(
        pl.when(pl.col("verdict") != "not_assessable").then(flagged).alias("flag"),
        pl.when(pl.col("fitted_glucose").is_not_null())
        .then(pl.lit("fitted"))
        .when(pl.col("latest_glucose").is_not_null())
        .then(pl.lit("last_reading"))
        .alias("normal_by"),
        (standing_glucose < settings.detection.glucose_cut_off_mg_dl).alias("normal"),
    )


def _latest(before: pl.DataFrame) -> pl.DataFrame:
    """Give the last reading of each kind up to the landmark."""
    homa = pl.coalesce("homa_ir", pl.col("glucose_mg_dl") * pl.col("insulin_uiu_ml") / 405)
    ratio = pl.coalesce("tg_hdl_mg", pl.col("triglycerides_mg_dl") / pl.col("hdl_mg_dl"))
    readings = {"latest_glucose": pl.col("glucose_mg_dl"), "latest_homa_ir": homa, "latest_tg_hdl": ratio}
    positive = [pl.when((value > 0) & value.is_finite()).then(value).alias(name) for name, value in readings.items()]
    return (
        before.select("participant_id", "bmi", *positive)
        .group_by("participant_id", maintain_order=True)
        .agg(pl.col("bmi", *readings).drop_nulls().last())
    )


def _outcome(before: pl.DataFrame, usable: pl.DataFrame, at: float, event: str) -> pl.DataFrame:
    """Between which visits after the landmark the event came, or up to when it is known not to have come.

    An event is confirmed by the visit after it, so a person's last visit only confirms: without an event a person is
    known to be free of one up to the last visit but one. Whoever left the landmark with an abnormal, unconfirmed class
    has the event at the next visit if that confirms it; it settles their case, even if it is the last.
    """
    known_by_then = confirmed_events(before, to=event).select("participant_id", pl.lit(True).alias("event_by_landmark"))
    pending = _pending(before, event)
    events = confirmed_events(usable, to=event).select(
        "participant_id",
        pl.when(pl.col("event_years") > at).then("event_years").otherwise("confirmed_years").alias("seen"),
    )
    judged = usable.filter(pl.col("glycaemia").is_not_null()).unique(["participant_id", "years"], maintain_order=True)
    ids = usable.select(pl.col("participant_id").unique(maintain_order=True))
    for more in (known_by_then, pending, events):
        ids = ids.join(more, on="participant_id", how="left", maintain_order="left")
    after = judged.filter(pl.col("years") > at).select("participant_id", (pl.col("years") - at).alias("after"))
    rows = ids.join(after, on="participant_id", how="left", maintain_order="left").with_columns(
        pl.col("pending").fill_null(False), (pl.col("seen") - at).alias("high")
    )
    in_order, seen = pl.col("after").drop_nulls().sort(), pl.col("high").first()
    without_event = (
        pl.when(in_order.len() > 1)
        .then(in_order.slice(-2, 1).first())
        .when(pl.col("pending").first())
        .then(in_order.first())
    )
    last_free = in_order.filter(in_order < seen).last().fill_null(0.0)
    return rows.group_by("participant_id", maintain_order=True).agg(
        pl.col("event_by_landmark", "pending", "high").first(),
        pl.when(seen.is_not_null()).then(last_free).otherwise(without_event).alias("low"),
    )


def _pending(before: pl.DataFrame, event: str) -> pl.DataFrame:
    reached = {"prediabetes": ["prediabetes", "diabetes"], "diabetes": ["diabetes"]}[event]
    judged = before.filter(pl.col("glycaemia").is_not_null()).with_columns(
        pl.col("glycaemia").is_in(reached).alias("pending")
    )
    return (
        judged.group_by("participant_id", "years", maintain_order=True)
        .agg(pl.col("pending").any())
        .group_by("participant_id", maintain_order=True)
        .agg(pl.col("pending").last())
    )
