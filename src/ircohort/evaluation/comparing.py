"""Stated probabilities against the truth: counts, rates and calibration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ircohort.errors import ColumnError, UsageError
from ircohort.evaluation.ranking import Bools
from ircohort.evaluation.record import CALIBRATION_EDGES, CALIBRATION_LIMITS, CELLS, RATES, THRESHOLDS
from ircohort.evaluation.resampling import Floats, Resampling, Triple, percentiles, ratio, resampling_of, wilson

_ESTIMATE = {"estimate": pl.Float64, "low": pl.Float64, "high": pl.Float64, "n": pl.Int64}
_RATE_TYPES: Mapping[str, Any] = MappingProxyType({"threshold": pl.Float64, "rate": pl.String, **_ESTIMATE})


@dataclass(frozen=True)
class Sample:
    """People as arrays: ``truth`` (n,), ``stated`` (n,) NaN where not assessable, and how they are resampled."""

    truth: Bools
    stated: Floats
    resampling: Resampling

    @property
    def assessable(self) -> Bools:
        """(n,) who has a probability."""
        return np.isfinite(self.stated)


def sample_of(people: pl.DataFrame, seed: int) -> Sample:
    """Take the arrays out of a table of people, sorted by cohort.

    Raises
    ------
    ColumnError
        If ``hidden_window`` or ``probability`` is missing.
    UsageError
        If a probability is not within 0 and 1, or the truth of somebody is not known.
    """
    if missing := [name for name in ("hidden_window", "probability") if name not in people.columns]:
        raise ColumnError(
            f"The table of people has no column {missing[0]}.", expected=f"It has: {', '.join(people.columns)}."
        )
    if people["hidden_window"].null_count():
        raise UsageError("The truth of somebody is not known.", next_step="Leave out who has no hidden_window.")
    stated = people["probability"].cast(pl.Float64).fill_null(np.nan).to_numpy()
    if not bool(np.all(np.isnan(stated) | ((stated >= 0) & (stated <= 1)))):
        raise UsageError("A stated probability lies outside 0 to 1.", expected="Expected are probabilities or null.")
    cohort = people["cohort"].to_numpy() if "cohort" in people.columns else np.zeros(people.height, dtype=np.int64)
    truth = people["hidden_window"].to_numpy().astype(bool)
    return Sample(truth, stated, resampling_of(cohort, seed))


def in_order(people: pl.DataFrame) -> pl.DataFrame:
    """Put people into the order of cohort and, where they have names, of these."""
    return people.sort([name for name in ("cohort", "participant_id") if name in people.columns], maintain_order=True)


def cells(sample: Sample, threshold: float) -> NDArray[np.int64]:
    """Say what each person is at a threshold (n,): places in :data:`CELLS`."""
    flagged = sample.stated >= threshold
    kind = np.where(sample.truth, np.where(flagged, 0, 2), np.where(flagged, 1, 3))
    return np.where(sample.assessable, kind, np.where(sample.truth, 4, 5))


def _indicators(kind: NDArray[np.int64], count: int) -> Floats:
    indicators: Floats = (kind[:, None] == np.arange(count)).astype(float)
    return indicators


def counts_and_rates(sample: Sample) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Count people at each threshold, and give the rates with their intervals."""
    kinds = [_indicators(cells(sample, threshold), len(CELLS)) for threshold in THRESHOLDS]
    drawn = sample.resampling.totals(np.concatenate(kinds, axis=1))
    counts, rates = [], []
    for j, (threshold, kind) in enumerate(zip(THRESHOLDS, kinds, strict=True)):
        once = kind.sum(axis=0)
        again = drawn[:, j * len(CELLS) : (j + 1) * len(CELLS)]
        counts.append(_count(sample, threshold, once))
        rates += [{"threshold": threshold, **row} for row in rate_rows(once, again)]
    return pl.DataFrame(counts), pl.DataFrame(rates, schema=_RATE_TYPES)


def rate_rows(once: Floats, again: Floats) -> list[dict[str, Any]]:
    """Give each of :data:`RATES` from the counts of :data:`CELLS` (6,) and those of the resamples (r, 6)."""
    rows = []
    for rate, sides in RATES.items():
        above, below = ([CELLS.index(name) for name in side] for side in sides)
        replicated = again[:, above].sum(axis=1), again[:, below].sum(axis=1)
        estimate, low, high = ratio(once[above].sum(), once[below].sum(), replicated)
        rows.append({"rate": rate, "estimate": estimate, "low": low, "high": high, "n": int(once[below].sum())})
    return rows


def _count(sample: Sample, threshold: float, once: Floats) -> dict[str, float | int]:
    flagged = sample.stated >= threshold
    return {
        "threshold": threshold,
        "n_flagged": int(flagged.sum()),
        **{name: int(once[CELLS.index(name)]) for name in CELLS if name != "rest"},
        "expected_false": float(np.sum(1 - sample.stated[flagged])),
    }


def summary(sample: Sample, auc: Triple, n_true_planned: int | None) -> pl.DataFrame:
    """Give the one row of ``Evaluation.summary``; the area under the curve is known, and who had a window planned."""
    seen = sample.assessable
    drawn = sample.resampling.totals(np.stack([seen & sample.truth, seen], axis=1).astype(float))
    prevalence = ratio(int((seen & sample.truth).sum()), int(seen.sum()), (drawn[:, 0], drawn[:, 1]))
    return pl.DataFrame(
        {
            "n_cohorts": sample.resampling.n_cohorts,
            "n_participants": sample.truth.size,
            "n_assessable": int(seen.sum()),
            "n_true": int(sample.truth.sum()),
            "n_true_planned": n_true_planned,
            "n_true_assessable": int((seen & sample.truth).sum()),
            **triple("prevalence", prevalence),
            **triple("auc", auc),
        },
        schema_overrides={
            "n_true_planned": pl.Int64(),
            **dict.fromkeys([*triple("prevalence", prevalence), *triple("auc", auc)], pl.Float64()),
        },
    )


def among(resampling: Resampling, chosen: Bools) -> Resampling:
    """Resample only some people (n,): cohorts keep their numbers, so that one without any of them still counts."""
    return Resampling(resampling.cohort[chosen], resampling.n_cohorts, resampling.seed)


def triple(name: str, values: tuple[float | None, float | None, float | None]) -> dict[str, float | None]:
    """Name an estimate and the ends of its interval."""
    return dict(zip((name, f"{name}_low", f"{name}_high"), values, strict=True))


def calibration(sample: Sample) -> pl.DataFrame:
    """Compare stated probabilities with the observed share, by bins of the stated one."""
    edges = np.array(CALIBRATION_EDGES)
    count = edges.size - 1
    stated = np.nan_to_num(sample.stated, nan=-1.0)
    which = np.where(sample.assessable, np.minimum(np.searchsorted(edges, stated, side="right") - 1, count - 1), -1)
    inside = _indicators(which, count)
    true = inside * sample.truth[:, None]
    drawn = sample.resampling.totals(np.concatenate([true, inside], axis=1))
    rows = []
    for j in range(count):
        n = int(inside[:, j].sum())
        observed, low, high = ratio(int(true[:, j].sum()), n, (drawn[:, j], drawn[:, count + j]))
        mean = float(stated[which == j].mean()) if n else None
        rows.append((edges[j], edges[j + 1], n, mean, observed, low, high))
    names = ("bin_low", "bin_high", "n", "stated", "observed", "observed_low", "observed_high")
    return pl.DataFrame(rows, schema=_floats(names, whole=("n",)), orient="row")


def _floats(names: tuple[str, ...], whole: tuple[str, ...]) -> dict[str, Any]:
    return {name: pl.Int64 if name in whole else pl.Float64 for name in names}


def calibration_above(sample: Sample) -> pl.DataFrame:
    """Compare stated and observed in the large: among all people at or above each limit."""
    stated = np.nan_to_num(sample.stated)
    inside = np.stack([sample.assessable & (sample.stated >= limit) for limit in CALIBRATION_LIMITS], axis=1)
    parts = [inside, inside * stated[:, None], inside * sample.truth[:, None]]
    once = [part.sum(axis=0) for part in parts]
    drawn = np.split(sample.resampling.totals(np.concatenate(parts, axis=1).astype(float)), 3, axis=1)
    rows = []
    for j, limit in enumerate(CALIBRATION_LIMITS):
        n, claimed, true = (float(total[j]) for total in once)
        if not n:
            rows.append((limit, 0, *[None] * 5, 0.0, 0))
            continue
        with np.errstate(invalid="ignore"):
            apart = percentiles((drawn[2][:, j] - drawn[1][:, j]) / drawn[0][:, j])
        ends = _wider(apart, wilson(true, n)[1:], claimed / n)
        rows.append((limit, int(n), claimed / n, true / n, (true - claimed) / n, *ends, n - claimed, int(n - true)))
    names = ("limit", "n", "stated", "observed", "difference", "difference_low", "difference_high")
    types = _floats((*names, "expected_false", "observed_false"), whole=("n", "observed_false"))
    return pl.DataFrame(rows, schema=types, orient="row")


def _wider(apart: Ends, alone: Ends, stated: float) -> tuple[float, float]:
    """Give the wider, on each side, of the bootstrap's interval of a difference and of Wilson's less the stated."""
    low, high = (
        [value for value in (own, None if share is None else share - stated) if value is not None]
        for own, share in zip(apart, alone, strict=True)
    )
    return min(low), max(high)


Ends = tuple[float | None, float | None]
