"""Detection beside the simple rules, on the same people and the same truth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from ircohort.evaluation.comparing import Sample, among, rate_rows, triple
from ircohort.evaluation.ranking import MEASURES, Bools, ranking
from ircohort.evaluation.record import CELLS, THRESHOLDS
from ircohort.evaluation.resampling import Floats, Triple
from ircohort.evaluation.rules import GATES, RULES

RATES_SHOWN = ("sensitivity", "specificity", "ppv", "npv", "fdr")

_NOTHING: Triple = (None, None, None)


def rule_schema() -> dict[str, Any]:
    """Give the columns of ``Evaluation.rules``."""
    measures = {f"{name}{end}": pl.Float64 for name in (*RATES_SHOWN, *MEASURES) for end in ("", "_low", "_high")}
    counts = dict.fromkeys(("n", "n_rated", "n_flagged"), pl.Int64)
    return {"rule": pl.String, "gate": pl.String, **counts, **measures}


def compare_rules(sample: Sample, rated: pl.DataFrame | None) -> pl.DataFrame:
    """Judge the detector and every rule behind every gate.

    Parameters
    ----------
    sample
        People with truth and stated probability.
    rated
        Their rows of :func:`ircohort.evaluation.apply_rules`, in the same order; None: the detector alone.
    """
    compared = sample.assessable if sample.assessable.any() else np.ones(sample.truth.size, dtype=bool)
    rows = [(f"from {threshold:g}", sample.stated, sample.stated >= threshold) for threshold in THRESHOLDS]
    named = [("detect", *row) for row in rows] + ([] if rated is None else _all_rules(rated))
    truth, resampling = sample.truth[compared], among(sample.resampling, compared)
    ratings = [np.where(np.isfinite(rating), rating, -np.inf)[compared] for _, _, rating, _ in named]
    ranked = ranking(truth, ratings[len(rows) - 1 :], resampling)
    ranked = [ranked[0]] * (len(rows) - 1) + ranked  # the detector rates alike at every threshold
    kinds = [_kinds(truth, None if flagged is None else flagged[compared]) for *_, flagged in named]
    drawn = np.split(resampling.totals(np.concatenate(kinds, axis=1)), len(kinds), axis=1)
    table = []
    for (rule, gate, _, flagged), rating, best, kind, again in zip(named, ratings, ranked, kinds, drawn, strict=True):
        rates = {row["rate"]: (row["estimate"], row["low"], row["high"]) for row in rate_rows(kind.sum(axis=0), again)}
        n_rated = int(np.isfinite(rating).sum())
        n_flagged = int(flagged[compared].sum()) if flagged is not None and n_rated else None
        counts = {"n": truth.size, "n_rated": n_rated, "n_flagged": n_flagged}
        shown = {name: _NOTHING if n_flagged is None else rates[name] for name in RATES_SHOWN}
        shown |= best if n_rated else dict.fromkeys(best, _NOTHING)
        table.append({"rule": rule, "gate": gate, **counts, **_spread(shown)})
    return pl.DataFrame(table, schema=rule_schema())


def _spread(measures: Mapping[str, Triple]) -> dict[str, float | None]:
    return {name: value for measure in measures for name, value in triple(measure, measures[measure]).items()}


def _kinds(truth: Bools, flagged: Bools | None) -> Floats:
    """Give the cell of each person as indicators (n, 6); of a rule that flags nobody at all where it only rates."""
    hit = np.zeros(truth.size, dtype=bool) if flagged is None else flagged
    columns = [truth & hit, ~truth & hit, truth & ~hit, ~truth & ~hit]
    return np.stack(columns + [np.zeros(truth.size, dtype=bool)] * (len(CELLS) - 4), axis=1).astype(float)


def _all_rules(rated: pl.DataFrame) -> list[tuple[str, str, Floats, Bools | None]]:
    named = []
    for gate in GATES:
        passes = rated[f"gate_{gate}"].to_numpy().astype(bool)
        for rule in RULES:
            rating = np.where(passes, rated[rule].fill_null(-np.inf).to_numpy(), -np.inf)
            flags = f"{rule}_flagged"
            flagged = rated[flags].to_numpy().astype(bool) & passes if flags in rated.columns else None
            named.append((rule, gate, rating, flagged))
    return named
