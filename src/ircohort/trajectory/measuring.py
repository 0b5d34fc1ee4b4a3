"""From visits to the courses of the outcomes: alignment, models, refits, onset and window, under one set of choices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ircohort.errors import ModelError
from ircohort.parallel import on_one_blas_thread
from ircohort.trajectory.alignment import Alignment, align_to_event
from ircohort.trajectory.landmarks import find_onsets
from ircohort.trajectory.modelling import Model, model_all, prepared
from ircohort.trajectory.record import GLUCOSE, ModelSettings, Outcome
from ircohort.trajectory.refitting import Curves, curves_of

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Course:
    """The course of one outcome: the estimate and m refits on the same ``times`` (k,).

    ``difference`` (1 + m, k), cases minus comparison in between-person SDs, upwards where that means more resistance
    or disease; ``onsets`` (1 + m,); ``glucose`` (1 + m, j) the cases' fitted glucose on ``glucose_times`` (j,),
    or None.
    """

    outcome: Outcome
    times: Floats
    curves: Curves
    difference: Floats
    onsets: Floats
    glucose: Floats | None
    glucose_times: Floats | None


@dataclass(frozen=True, eq=False)
class Measured:
    """What was measured: ``table`` are the aligned visits that models saw, ``refusals`` say what was left out."""

    aligned: Alignment
    table: pl.DataFrame
    models: Mapping[str, Model]
    courses: Mapping[str, Course]
    refusals: tuple[str, ...]
    n_failed: int


@on_one_blas_thread
def measure(visits: pl.DataFrame, settings: ModelSettings, seed: int) -> Measured:
    """Align, model and refit.

    Raises
    ------
    ModelError
        If no outcome can be modelled.
    """
    aligned = align_to_event(visits, settings.rule, settings.anchor(seed), keep_visit_after=True)
    table = prepared(aligned)
    models, refusals = model_all(table, settings)
    if not models:
        raise ModelError(
            f"No outcome can be modelled on the time to {settings.event}.",
            expected=" ".join(refusals),
            next_step="A cohort finding needs people followed from normal glycaemia to a confirmed event, and others.",
        )
    curves, failed = curves_of(visits, table, models, settings, seed)
    glucose = (models[GLUCOSE].times, curves[GLUCOSE].cases) if GLUCOSE in models else (None, None)
    courses = {name: _course(model, curves[name], settings.onset_sd, *glucose) for name, model in models.items()}
    return Measured(aligned, table, models, courses, tuple(refusals), failed)


def _course(model: Model, curves: Curves, size: float, glucose_times: Floats | None, glucose: Floats | None) -> Course:
    difference = model.outcome.raised * (curves.cases - curves.comparison) / curves.spread
    onsets = find_onsets(model.times, difference, size)
    return Course(model.outcome, model.times, curves, difference, onsets, glucose, glucose_times)
