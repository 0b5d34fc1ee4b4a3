"""The proportional-hazards models that are set beside each other, and what each says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import chdtrc

from ircohort.prognosis.weibull import Weibull, fit_weibull, profile_interval

Floats = NDArray[np.float64]

KNOWN_FROM = 0.5
"""A covariate known of a smaller share of the people is left out of the models, rather than the people."""
EVENTS_PER_TERM = 10
"""Fewer events for each coefficient make estimates unreliable (Peduzzi 1995, doi:10.1016/0895-4356(95)00048-8)."""


@dataclass(frozen=True)
class Term:
    """A covariate: the step its hazard ratio is for, and its column in these steps."""

    per: str
    value: pl.Expr


TERMS: Mapping[str, Term] = MappingProxyType(
    {
        "probability": Term("10 points of probability", pl.col("probability") * 10),
        "flag": Term("flagged against not flagged", pl.col("flag")),
        "fitted_glucose": Term("5 mg/dL", pl.col("fitted_glucose") / 5),
        "bmi": Term("5 kg/m2", pl.col("bmi") / 5),
        "latest_homa_ir": Term("doubling", pl.col("latest_homa_ir").log(2)),
        "latest_tg_hdl": Term("doubling", pl.col("latest_tg_hdl").log(2)),
        "latest_glucose": Term("5 mg/dL", pl.col("latest_glucose") / 5),
    }
)


@dataclass(frozen=True)
class Model:
    """Its terms, and the smaller model that it is tested against."""

    terms: tuple[str, ...]
    against: str | None = "no_covariates"


_LATEST = ("latest_homa_ir", "latest_glucose", "bmi")

MODELS: Mapping[str, Model] = MappingProxyType(
    {
        "no_covariates": Model((), None),
        "probability": Model(("probability",)),
        "flag": Model(("flag",)),
        "glucose_and_bmi": Model(("fitted_glucose", "bmi")),
        "probability_adjusted": Model(("probability", "fitted_glucose", "bmi"), "glucose_and_bmi"),
        "flag_adjusted": Model(("flag", "fitted_glucose", "bmi"), "glucose_and_bmi"),
        "latest_homa_ir": Model(("latest_homa_ir",)),
        "latest_tg_hdl": Model(("latest_tg_hdl",)),
        "latest_glucose": Model(("latest_glucose",)),
        "bmi": Model(("bmi",)),
        "latest_together": Model(_LATEST),
        "probability_beside_latest": Model(("probability", *_LATEST), "latest_together"),
    }
)
"""The models; all are fitted to the same people."""

COMPARED = (
    ("probability", "latest_homa_ir"),
    ("probability", "latest_glucose"),
    ("probability", "bmi"),
    ("probability_adjusted", "glucose_and_bmi"),
    ("flag_adjusted", "glucose_and_bmi"),
    ("probability_beside_latest", "latest_together"),
    ("probability_adjusted", "latest_together"),
)
"""Pairs of models whose concordance is compared."""


@dataclass(frozen=True)
class Fitted:
    """A model that was fitted: ``X`` (n, p) the columns of ``terms``."""

    name: str
    terms: tuple[str, ...]
    per: tuple[str, ...]
    against: str | None
    X: Floats
    fit: Weibull


@dataclass(frozen=True)
class Cases:
    """The people that the models are fitted to: bounds of the event (n,), ``table`` with the terms in their steps.

    ``left_out`` says of each term that is not used why.
    """

    low: Floats
    high: Floats
    table: pl.DataFrame
    left_out: Mapping[str, str]

    @property
    def n_events(self) -> int:
        """How many of them had the event."""
        return int(np.isfinite(self.high).sum())


def bounds(people: pl.DataFrame) -> tuple[Floats, Floats]:
    """Give ``low`` and ``high`` as arrays, inf where the event was not seen."""
    return people["low"].to_numpy().astype(float), people["high"].fill_null(float("inf")).to_numpy().astype(float)


def complete_cases(people: pl.DataFrame) -> Cases:
    """Choose the assessable people followed, and the terms known of them; all models see the same people."""
    judged = people.filter((pl.col("standing") == "followed") & pl.col("probability").is_not_null())
    table = judged.select("participant_id", "low", "high", *(term.value.alias(name) for name, term in TERMS.items()))
    left_out = {name: "known of too few" for name in TERMS if table[name].count() < KNOWN_FROM * max(table.height, 1)}
    # TG:HDL is often known of some only: where insulin is known of more, it decides nobody's place.
    if "latest_homa_ir" not in left_out and table["latest_tg_hdl"].count() < table["latest_homa_ir"].count():
        left_out["latest_tg_hdl"] = "known of fewer people than HOMA-IR"
    table = table.drop_nulls([name for name in TERMS if name not in left_out])
    for name in TERMS:
        if name not in left_out and table[name].n_unique() < 2:
            left_out[name] = "the same in everybody"
    low, high = bounds(table)
    return Cases(low, high, table, left_out)


def fit_models(cases: Cases) -> dict[str, Fitted]:
    """Fit every model of which at least one term of its own is known; the others are left out."""
    found: dict[str, Fitted] = {}
    for name, model in MODELS.items():
        terms = tuple(term for term in model.terms if term not in cases.left_out)
        smaller = found.get(model.against) if model.against else None
        if model.against and (smaller is None or terms == smaller.terms):
            continue
        if name in TERMS and name not in terms:
            continue
        found[name] = fit_one(name, terms, cases, model.against)
    return found


def fit_one(name: str, terms: tuple[str, ...], cases: Cases, against: str | None) -> Fitted:
    """Fit one model."""
    X = cases.table.select(terms).to_numpy().astype(float) if terms else np.empty((cases.table.height, 0))
    per = tuple(TERMS[term].per for term in terms)
    return Fitted(name, terms, per, against, X, fit_weibull(cases.low, cases.high, X))


def fit_groups(people: pl.DataFrame, verdicts: tuple[str, ...]) -> tuple[Fitted, Fitted, int] | None:
    """Fit the hazards of the verdicts against that of ``not_shown``, or of the largest group where that is empty.

    Returns the model, the one without verdicts, and how many people are in it; None where there is one group only.
    """
    followed = people.filter(pl.col("standing") == "followed")
    sizes = {name: followed.filter(pl.col("verdict") == name).height for name in verdicts}
    present = [name for name in verdicts if sizes[name]]
    if len(present) < 2:
        return None
    base = "not_shown" if sizes["not_shown"] else max(present, key=lambda name: sizes[name])
    terms = tuple(name for name in present if name != base)
    low, high = bounds(followed)
    X = np.column_stack([(followed["verdict"] == name).to_numpy().astype(float) for name in terms])
    empty = np.empty((len(low), 0))
    model = Fitted("verdict", terms, (f"against {base}",) * len(terms), "none", X, fit_weibull(low, high, X))
    return model, Fitted("none", (), (), None, empty, fit_weibull(low, high, empty)), len(low)


def model_row(model: Fitted, smaller: Fitted | None, n_events: int) -> dict[str, object]:
    """One row of ``models``, but for its concordance."""
    fit, tested = model.fit, smaller is not None and model.fit.converged and smaller.fit.converged
    statistic = df = p_value = None
    if smaller is not None and tested:
        statistic = max(0.0, 2 * (fit.log_likelihood - smaller.fit.log_likelihood))
        df = len(model.terms) - len(smaller.terms)
        p_value = float(chdtrc(df, statistic))
    return {
        "model": model.name,
        "n": len(model.X),
        "n_events": n_events,
        "log_likelihood": fit.log_likelihood,
        "shape": float(np.exp(fit.log_shape)) if fit.converged else None,
        "against": model.against,
        "likelihood_ratio": statistic,
        "df": df,
        "p_value": p_value,
        "converged": fit.converged,
        "note": _note(model, n_events),
    }


def _note(model: Fitted, n_events: int) -> str:
    if not model.fit.converged:
        return "the likelihood has no maximum: a group without events, or one that a covariate sets apart"
    if n_events < EVENTS_PER_TERM * len(model.terms):
        return f"fewer than {EVENTS_PER_TERM} events for each coefficient"
    return ""


def coefficient_rows(model: Fitted, low: Floats, high: Floats) -> list[dict[str, object]]:
    """Rows of ``coefficients``: a ratio where the fit converged, an interval in any case, open ends null."""
    rows: list[dict[str, object]] = []
    for place, term in enumerate(model.terms):
        ends = profile_interval(model.fit, low, high, model.X, place)
        bottom, top = (float(np.exp(end)) if np.isfinite(end) else None for end in ends)
        ratio = float(np.exp(model.fit.coefficients[place])) if model.fit.converged else None
        rows.append(
            {
                "model": model.name,
                "term": term,
                "per": model.per[place],
                "hazard_ratio": ratio,
                "low": bottom,
                "high": top,
            }
        )
    return rows
