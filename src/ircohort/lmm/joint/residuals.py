"""Whether the residuals of the outcomes follow from one another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ircohort.lmm.boundary import PARTAKES, enumerated

Floats = NDArray[np.float64]

_SAME = 1e-5


def describe_residuals(R: Floats, outcomes: Sequence[str]) -> str:
    """Say whether the measurement variation of one outcome follows from the others; empty if not."""
    sds = np.sqrt(np.diagonal(R))
    values, vectors = np.linalg.eigh(R / np.outer(sds, sds))
    if values[0] > _SAME:
        return ""
    involved = [name for name, load in zip(outcomes, vectors[:, 0], strict=True) if abs(load) > PARTAKES]
    return (
        f"Within a draw, the measurement variation of {enumerated(involved)} cannot be told apart: one is estimated to "
        "follow exactly from the other."
    )
