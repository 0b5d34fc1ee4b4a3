"""The models of published analyses of the years before an event, and the house's own, fitted to aligned visits."""

from typing import TYPE_CHECKING

from ircohort.lazily import loader
from ircohort.trajectory.specifications.record import (
    SPECIFICATIONS,
    Bends,
    Specification,
    SpecificationFit,
)

if TYPE_CHECKING:
    from ircohort.trajectory.specifications.curves import TurningPoint, slope_between, turning_point
    from ircohort.trajectory.specifications.fitting import fit_specification
    from ircohort.trajectory.specifications.resampling import resample_curves

__all__ = [
    "SPECIFICATIONS",
    "Bends",
    "Specification",
    "SpecificationFit",
    "TurningPoint",
    "fit_specification",
    "resample_curves",
    "slope_between",
    "turning_point",
]

__getattr__ = loader(
    __name__,
    {
        "TurningPoint": "curves",
        "fit_specification": "fitting",
        "resample_curves": "resampling",
        "slope_between": "curves",
        "turning_point": "curves",
    },
)
