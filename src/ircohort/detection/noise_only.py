"""How many would be flagged by noise alone: each person's visits dealt out anew over the own dates."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ircohort.detection.censoring import Limits
from ircohort.detection.sums import Readings

NOISE_UP_TO = 20_000
"""Series above which the cohort is not judged a second time with its visits dealt out anew."""


@dataclass(frozen=True)
class NoiseOnly:
    """How many people would be judged, and flagged, if visits were dealt out anew."""

    n_judged: int
    n_flagged: int


def permuted(readings: Readings, limits: Limits, seed: int) -> tuple[Readings, Limits]:
    """Deal the visits of each series out to its times at random; what was read at one visit stays together.

    Random numbers go to the visits in the order of their readings, so that names and rows play no part.
    """
    filled = np.nan_to_num(readings.values, nan=-np.inf)
    order = np.lexsort((readings.years, *filled.T))
    chance = np.empty(len(order))
    chance[order] = np.random.default_rng(seed).random(len(order))
    dealt: NDArray[np.intp] = np.lexsort((chance, readings.series))
    moved = np.empty_like(dealt)
    moved[dealt] = np.arange(len(dealt))
    rows = np.argsort(moved[limits.rows], kind="stable")
    new_limits = Limits(moved[limits.rows][rows], limits.low[rows], limits.high[rows])
    return replace(readings, values=readings.values[dealt], weight=readings.weight[dealt]), new_limits
