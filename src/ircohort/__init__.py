"""Longitudinal cohorts of laboratory results, and the hidden window of insulin resistance.

Names are loaded when they are first used, so that ``import ircohort`` costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ircohort.lazily import loader

if TYPE_CHECKING:
    from ircohort import plot
    from ircohort.analysis import Analysis, analyse, read
    from ircohort.configuration import Settings
    from ircohort.detection import Detection, detect
    from ircohort.errors import IrcohortError
    from ircohort.evaluation import evaluate
    from ircohort.glycaemia import CUT_OFFS
    from ircohort.indices import MARKERS, markers
    from ircohort.lmm import Fit, fit
    from ircohort.normalisation import Normalised
    from ircohort.output import save, verify
    from ircohort.prognosis import Landmark, landmark
    from ircohort.simulation import DESIGNS, Design, simulate
    from ircohort.states import States, compensated_time, describe_states
    from ircohort.trajectory import (
        Trajectory,
        align,
        compare_cohort,
        fit_specification,
        foresee,
        hidden_window,
        intervention_response,
    )

_HOMES = {
    "Analysis": "analysis",
    "CUT_OFFS": "glycaemia",
    "DESIGNS": "simulation",
    "Design": "simulation",
    "Detection": "detection",
    "Fit": "lmm",
    "IrcohortError": "errors",
    "Landmark": "prognosis",
    "MARKERS": "indices",
    "Normalised": "normalisation",
    "Settings": "configuration",
    "States": "states",
    "Trajectory": "trajectory",
    "align": "trajectory",
    "analyse": "analysis",
    "compare_cohort": "trajectory",
    "compensated_time": "states",
    "describe_states": "states",
    "detect": "detection",
    "evaluate": "evaluation",
    "fit": "lmm",
    "fit_specification": "trajectory",
    "foresee": "trajectory",
    "hidden_window": "trajectory",
    "intervention_response": "trajectory",
    "landmark": "prognosis",
    "markers": "indices",
    "plot": "plot",
    "read": "analysis",
    "save": "output",
    "simulate": "simulation",
    "verify": "output",
}

__all__ = [
    "CUT_OFFS",
    "DESIGNS",
    "MARKERS",
    "Analysis",
    "Design",
    "Detection",
    "Fit",
    "IrcohortError",
    "Landmark",
    "Normalised",
    "Settings",
    "States",
    "Trajectory",
    "align",
    "analyse",
    "compare_cohort",
    "compensated_time",
    "describe_states",
    "detect",
    "evaluate",
    "fit",
    "fit_specification",
    "foresee",
    "hidden_window",
    "intervention_response",
    "landmark",
    "markers",
    "plot",
    "read",
    "save",
    "simulate",
    "verify",
]


__getattr__ = loader(__name__, _HOMES)


def __dir__() -> list[str]:
    return sorted(__all__)
