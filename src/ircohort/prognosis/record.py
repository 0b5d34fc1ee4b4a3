"""What a landmark analysis may be told, and what it gives back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ircohort.detection import Detection, DetectSettings
from ircohort.errors import UsageError
from ircohort.schema import GLYCAEMIA

MIN_RESAMPLES = 40
"""Fewer leave the ends of a 95 % interval to a single resample."""


@dataclass(frozen=True)
class LandmarkSettings:
    """The settings of a landmark analysis.

    ``event`` is ``prediabetes`` (prediabetes or worse) or ``diabetes``; it counts where the next visit confirms it.
    ``horizons`` are years after the landmark at which predictions are judged. ``min_events`` is the number of events
    below which no model is fitted. ``resamples`` are the random weightings of the people from which the intervals of
    curves and of concordance come; of more than ``resample_up_to`` people the models are not refitted.
    ``detection`` holds the settings of the flags; their cut-off for glucose is also that of being normal at the
    landmark.
    """

    event: str = "prediabetes"
    horizons: tuple[float, ...] = (2.0, 5.0)
    min_events: int = 10
    resamples: int = 200
    resample_up_to: int = 5000
    detection: DetectSettings = field(default_factory=DetectSettings)

    def __post_init__(self) -> None:
        """Refuse values that cannot be meant."""
        checks = (
            (self.event in GLYCAEMIA[1:], "event", "prediabetes or diabetes"),
            (all(math.isfinite(k) and k > 0 for k in self.horizons), "horizons", "years above 0"),
            (self.min_events >= 5, "min_events", "5 or more"),
            (MIN_RESAMPLES <= self.resamples <= 10_000, "resamples", f"{MIN_RESAMPLES} to 10000"),
            (self.resample_up_to >= 0, "resample_up_to", "0 or more"),
        )
        for good, name, expected in checks:
            if not good:
                raise UsageError(f"The landmark setting {name} cannot be used.", expected=f"Expected is {expected}.")


@dataclass(frozen=True)
class Landmark:
    """What became of the people after the landmark, by what was said of them up to it. Intervals are 95 %.

    ``at``: the landmark, years since the first visit.

    ``people``: one row per participant seen up to the landmark, sorted: ``participant_id``, ``standing`` (``followed``,
    or why not: a key of ``counts``), ``verdict``, ``probability``, ``flag`` (1 or 0, null where not assessable),
    ``normal_by`` (``fitted`` or ``last_reading``), ``fitted_glucose``, ``latest_glucose`` (mg/dL), ``latest_homa_ir``,
    ``latest_tg_hdl``, ``bmi`` (kg/m2), ``pending`` (the last class before the landmark is abnormal and not confirmed),
    ``low``, ``high`` (of those followed: the event lies in (low, high], years after the landmark; ``high`` null where
    it was not seen).

    ``counts``: people by standing.

    ``groups``: one row per verdict: ``group``, ``n``, ``n_events``, ``n_by_last_reading``, ``n_pending``,
    ``median_followed_years``.

    ``curves``: Turnbull's estimate by verdict: ``group``, ``years`` (after the landmark), ``event_free``, ``low``,
    ``high``. Between two rows the share falls somewhere; it is drawn straight.

    ``at_risk``: ``group``, ``years`` (whole), ``n`` still known to be free of the event then.

    ``models``: one row per proportional-hazards model: ``model``, ``n``, ``n_events``, ``log_likelihood``, ``shape``,
    ``against`` (the smaller model), ``likelihood_ratio``, ``df``, ``p_value``, ``concordance`` with ``_low`` and
    ``_high``, ``optimism`` (what refitting says that fitting and judging on the same people adds to it), ``converged``,
    ``note``. All but ``verdict`` are fitted to the same people.

    ``coefficients``: ``model``, ``term``, ``per`` (the step that the ratio is for), ``hazard_ratio``, ``low``, ``high``
    (profile likelihood; null where an end is open).

    ``differences``: in concordance: ``model``, ``against``, ``difference``, ``low``, ``high``, ``optimism``.

    ``horizons``: ``model``, ``years``, ``n_event``, ``n_free``, ``n_unknown`` (by then), ``auc``, ``brier``, each with
    ``_low`` and ``_high``, ``brier_skill`` (share of the Brier score of no predictor that is saved).

    ``baseline_gap``: largest vertical distance between Turnbull's curve of everybody followed and the Weibull curve
    fitted to them; None without a fit.
    """

    at: float
    people: Any
    counts: Mapping[str, int]
    groups: Any
    curves: Any
    at_risk: Any
    models: Any
    coefficients: Any
    differences: Any
    horizons: Any
    baseline_gap: float | None
    detection: Detection
    settings: LandmarkSettings
    notes: tuple[str, ...]
