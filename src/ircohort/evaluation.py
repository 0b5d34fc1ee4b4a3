"""Detection against simulated truth: how good a flag is, and what a given schedule of visits can show."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from hashlib import shake_256
from types import MappingProxyType
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import ndtri

from ircohort.detection import detect
from ircohort.errors import UsageError
from ircohort.frames import to_polars
from ircohort.glycaemia import class_of_reading
from ircohort.indices import markers
from ircohort.schema import PARTICIPANTS, require
from ircohort.simulation import EXPORTS, SAMPLE_SEED, Design, Simulated, simulate
from ircohort.units import conversion

Floats = NDArray[np.float64]

THRESHOLDS = (0.5, 0.8)
"""Probabilities from which a person counts as flagged: ``possible`` and ``hidden_window``."""

CALIBRATION_EDGES = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""Bins of the stated probability; each includes its lower edge, the last both."""

CONFIDENCE = 0.95
_Z = float(ndtri(0.5 + CONFIDENCE / 2))
_BOOTSTRAP = 1000

RATES: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = MappingProxyType(
    {
        "sensitivity": (("true_positive",), ("true_positive", "false_negative")),
        "specificity": (("true_negative",), ("true_negative", "false_positive")),
        "ppv": (("true_positive",), ("true_positive", "false_positive")),
        "npv": (("true_negative",), ("true_negative", "false_negative")),
        "fdr": (("false_positive",), ("true_positive", "false_positive")),
    }
)
"""Each rate as counts over counts: what is summed above and below the line."""


@dataclass(frozen=True)
class Evaluation:
    """How a detector did on simulated cohorts. Shares are 0 to 1; null where nobody can be counted.

    ``people``: one row per participant: ``cohort`` (from 0), ``participant_id``, ``hidden_window`` (the truth),
    ``probability`` (stated; null where not assessable).

    ``summary``: one row: ``n_cohorts``, ``n_participants``, ``n_assessable``, ``n_true`` (a true window),
    ``n_true_assessable``; among the assessable ``prevalence`` and ``auc``, each with ``_low`` and ``_high``.

    ``counts``: one row per threshold: ``threshold``, ``n_flagged``, ``true_positive``, ``false_positive``,
    ``false_negative``, ``true_negative``, ``expected_false`` (sum of 1 - probability over the flagged).

    ``rates``: one row per threshold and rate of :data:`RATES`: ``threshold``, ``rate``, ``estimate``, ``low``,
    ``high``, ``n`` (below the line).

    ``calibration``: one row per bin: ``bin_low``, ``bin_high``, ``n``, ``stated`` (mean probability), ``observed``
    (share with a true window), ``observed_low``, ``observed_high``.

    Intervals are 95 %: Wilson for shares, bootstrap over participants for the AUC. They take participants as
    independent; people of one cohort share what the detector learned from it, so few cohorts vary more than stated.
    """

    people: pl.DataFrame
    summary: pl.DataFrame
    counts: pl.DataFrame
    rates: pl.DataFrame
    calibration: pl.DataFrame


def evaluate(
    design: Design,
    *,
    detector: Callable[[pl.DataFrame], Any] | None = None,
    cohorts: int = 1,
    seed: int = SAMPLE_SEED,
) -> Evaluation:
    """Simulate cohorts of one design, let a detector judge them, and compare with the truth.

    Parameters
    ----------
    design
        Who is seen when; the schedule of visits is what usually changes.
    detector
        Takes VISITS with markers (polars) and gives a table of participants with ``participant_id`` and
        ``probability`` (null or no row: not assessable). Default: :func:`ircohort.detection.detect`.
    cohorts
        How many cohorts to simulate, each with a seed of its own.
    seed
        A whole number from 0.

    Returns
    -------
    Evaluation
        Tables over all cohorts.

    Raises
    ------
    UsageError
        If ``cohorts`` or ``seed`` is out of range, or if the detector names a participant twice or gives a
        probability outside 0 to 1.

    Examples
    --------
    >>> def always(visits):
    ...     return visits.select("participant_id").unique().with_columns(probability=0.6)
    >>> found = evaluate(Design(n_participants=20), detector=always, seed=1)
    >>> found.counts.select("threshold", "n_flagged").rows()
    [(0.5, 20), (0.8, 0)]
    """
    _require_whole("number of cohorts", cohorts, 1)
    _require_whole("seed", seed, 0)
    judged = []
    for number in range(cohorts):
        cohort_seed = _cohort_seed(seed, number)
        simulated = simulate(design, seed=cohort_seed)
        visits = visits_of(simulated, units=design.units)
        found = detect(visits, seed=cohort_seed).participants if detector is None else detector(visits)
        judged.append(_judged(simulated.truth, to_polars(found), number))
    return compare(pl.concat(judged), seed=seed)


def _require_whole(name: str, value: Any, lowest: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < lowest:
        raise UsageError(f"The {name} is {value!r}.", expected=f"Expected is a whole number from {lowest}.")


def _cohort_seed(seed: int, number: int) -> int:
    """Give each cohort a seed that no other evaluation is likely to use."""
    return int.from_bytes(shake_256(f"cohort:{seed}:{number}".encode()).digest(4), "little")


def visits_of(simulated: Simulated, *, units: str = "us") -> pl.DataFrame:
    """Turn a simulated export into VISITS with markers, without the detours of reading a file.

    Parameters
    ----------
    simulated
        A cohort.
    units
        The units of its design.

    Returns
    -------
    polars.DataFrame
        One row per visit: identifier, date, ``years`` since the first visit, age, sex, the measured columns in
        canonical units, glycaemia by the reading as reported, markers and state.

    Examples
    --------
    >>> visits_of(simulate(Design(n_participants=4, n_visits=1), seed=1)).select("glycaemia", "homa_ir").shape
    (4, 2)
    """
    labs, reported = simulated.labs, EXPORTS[units]
    measured = [
        (pl.col(row.header) * float(conversion(row.analyte, row.unit).apply(Decimal(1))))
        .cast(pl.Float64)
        .alias(row.column)
        for row in reported
    ]
    glucose = next(row for row in reported if row.analyte == "glucose")
    classes = {
        value: class_of_reading("glucose", Decimal(str(value)), glucose.unit) for value in labs[glucose.header].unique()
    }
    visits = labs.select(
        "participant_id",
        "visit_date",
        simulated.truth_visits["years"],
        pl.col("age").cast(pl.Float64),
        "sex",
        *measured,
        pl.col(glucose.header).replace_strict(classes, return_dtype=pl.String).alias("glycaemia"),
        pl.lit("glucose").alias("glycaemia_by"),
    )
    table: pl.DataFrame = markers(visits)
    return table


def _judged(truth: pl.DataFrame, found: pl.DataFrame, number: int) -> pl.DataFrame:
    """Set the stated probability beside the truth."""
    stated = require(found, PARTICIPANTS, "probability").select("participant_id", "probability")
    if stated["participant_id"].is_duplicated().any():
        raise UsageError("The detector gave a participant twice.", expected="Expected is one row per participant.")
    return truth.select(pl.lit(number, dtype=pl.Int64).alias("cohort"), "participant_id", "hidden_window").join(
        stated, on="participant_id", how="left", maintain_order="left"
    )


def compare(people: pl.DataFrame, *, seed: int = SAMPLE_SEED) -> Evaluation:
    """Compare stated probabilities with the truth.

    Parameters
    ----------
    people
        One row per person: ``hidden_window`` (the truth), ``probability`` (null: not assessable). Further columns
        stay.
    seed
        Of the bootstrap.

    Raises
    ------
    UsageError
        If a probability is not within 0 and 1.

    Examples
    --------
    >>> people = pl.DataFrame({"hidden_window": [True, True, False, False], "probability": [0.9, 0.6, 0.7, 0.1]})
    >>> compare(people).summary["auc"].item()
    0.75
    """
    assessable = people.filter(pl.col("probability").is_not_null())
    truth = assessable["hidden_window"].to_numpy().astype(bool)
    stated = assessable["probability"].to_numpy().astype(float)
    if not bool(np.all((stated >= 0) & (stated <= 1))):
        raise UsageError("A stated probability lies outside 0 to 1.", expected="Expected are probabilities or null.")
    counts = pl.DataFrame([_count(truth, stated, threshold) for threshold in THRESHOLDS])
    return Evaluation(
        people=people,
        summary=_summary(people, truth, stated, seed),
        counts=counts,
        rates=pl.DataFrame([row for count in counts.to_dicts() for row in _rates(count)], schema=_RATE_TYPES),
        calibration=_calibration(truth, stated),
    )


_RATE_TYPES: Mapping[str, Any] = MappingProxyType(
    {
        "threshold": pl.Float64,
        "rate": pl.String,
        "estimate": pl.Float64,
        "low": pl.Float64,
        "high": pl.Float64,
        "n": pl.Int64,
    }
)

_CALIBRATION_TYPES: Mapping[str, Any] = MappingProxyType(
    {
        "bin_low": pl.Float64,
        "bin_high": pl.Float64,
        "n": pl.Int64,
        "stated": pl.Float64,
        "observed": pl.Float64,
        "observed_low": pl.Float64,
        "observed_high": pl.Float64,
    }
)


def wilson(successes: int, n: int) -> tuple[float | None, float | None, float | None]:
    """Give a share with its 95 % Wilson interval; all None where ``n`` is 0.

    Source
    ------
    Wilson 1927, J Am Stat Assoc 22:209, doi:10.1080/01621459.1927.10502953.

    Examples
    --------
    >>> [round(value, 4) for value in wilson(81, 263)]
    [0.308, 0.2553, 0.3662]
    """
    if n == 0:
        return None, None, None
    share, weight = successes / n, _Z**2 / n
    centre = (share + weight / 2) / (1 + weight)
    half = _Z * float(np.sqrt(share * (1 - share) / n + weight / (4 * n))) / (1 + weight)
    return share, max(0.0, centre - half), min(1.0, centre + half)


def area_under_curve(truth: NDArray[np.bool_], stated: Floats, weights: Floats | None = None) -> float | None:
    """Give the probability that a case is rated above a non-case, ties counted half; None without both.

    Parameters
    ----------
    truth, stated
        (n,) who is a case, and the rating.
    weights
        (n,) times each person counts; default once.

    Examples
    --------
    >>> area_under_curve(np.array([True, False, False]), np.array([0.4, 0.4, 0.1]))
    0.75
    """
    weight = np.ones(truth.size) if weights is None else weights
    _, rank = np.unique(stated, return_inverse=True)
    cases = np.bincount(rank, weight * truth)
    others = np.bincount(rank, weight * ~truth)
    pairs = cases.sum() * others.sum()
    if pairs == 0:
        return None
    below = np.cumsum(others) - others
    return float(np.sum(cases * (below + others / 2)) / pairs)


def _auc_interval(truth: NDArray[np.bool_], stated: Floats, seed: int) -> tuple[float | None, float | None]:
    """Bootstrap the AUC over participants; a resample without both kinds of people is left out."""
    if area_under_curve(truth, stated) is None:
        return None, None
    generator = np.random.default_rng(seed)
    drawn = (
        np.bincount(generator.integers(truth.size, size=truth.size), minlength=truth.size).astype(float)
        for _ in range(_BOOTSTRAP)
    )
    areas = [area for weights in drawn if (area := area_under_curve(truth, stated, weights)) is not None]
    low, high = np.quantile(areas, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def _summary(people: pl.DataFrame, truth: NDArray[np.bool_], stated: Floats, seed: int) -> pl.DataFrame:
    prevalence, prevalence_low, prevalence_high = wilson(int(truth.sum()), truth.size)
    auc_low, auc_high = _auc_interval(truth, stated, seed)
    return pl.DataFrame(
        {
            "n_cohorts": people["cohort"].n_unique() if "cohort" in people.columns else 1,
            "n_participants": people.height,
            "n_assessable": truth.size,
            "n_true": int(people["hidden_window"].sum()),
            "n_true_assessable": int(truth.sum()),
            "prevalence": prevalence,
            "prevalence_low": prevalence_low,
            "prevalence_high": prevalence_high,
            "auc": area_under_curve(truth, stated),
            "auc_low": auc_low,
            "auc_high": auc_high,
        },
        schema_overrides={
            f"{name}{end}": pl.Float64 for name in ("prevalence", "auc") for end in ("", "_low", "_high")
        },
    )


def _count(truth: NDArray[np.bool_], stated: Floats, threshold: float) -> dict[str, float | int]:
    flagged = stated >= threshold
    return {
        "threshold": threshold,
        "n_flagged": int(flagged.sum()),
        "true_positive": int((flagged & truth).sum()),
        "false_positive": int((flagged & ~truth).sum()),
        "false_negative": int((~flagged & truth).sum()),
        "true_negative": int((~flagged & ~truth).sum()),
        "expected_false": float(np.sum(1 - stated[flagged])),
    }


def _rates(count: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows = []
    for rate, (above, below) in RATES.items():
        n = sum(count[name] for name in below)
        estimate, low, high = wilson(sum(count[name] for name in above), n)
        rows.append(
            {
                "threshold": count["threshold"],
                "rate": rate,
                "estimate": estimate,
                "low": low,
                "high": high,
                "n": n,
            }
        )
    return rows


def _calibration(truth: NDArray[np.bool_], stated: Floats) -> pl.DataFrame:
    edges = np.array(CALIBRATION_EDGES)
    which = np.minimum(np.searchsorted(edges, stated, side="right") - 1, edges.size - 2)
    rows = []
    for j in range(edges.size - 1):
        inside = which == j
        observed, low, high = wilson(int(truth[inside].sum()), int(inside.sum()))
        rows.append(
            {
                "bin_low": edges[j],
                "bin_high": edges[j + 1],
                "n": int(inside.sum()),
                "stated": float(stated[inside].mean()) if inside.any() else None,
                "observed": observed,
                "observed_low": low,
                "observed_high": high,
            }
        )
    return pl.DataFrame(rows, schema=_CALIBRATION_TYPES)
