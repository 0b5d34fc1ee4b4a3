"""The cohort finding: time to an event, cases against a comparison group, onset, hidden window."""

from typing import TYPE_CHECKING

from ircohort.lazily import loader
from ircohort.trajectory.alignment.rules import Comparison, EventRule
from ircohort.trajectory.record import ModelSettings, Trajectory

if TYPE_CHECKING:
    from ircohort.trajectory.alignment import align, find_events
    from ircohort.trajectory.comparing import compare_cohort
    from ircohort.trajectory.finding import hidden_window
    from ircohort.trajectory.foreseeing import foresee
    from ircohort.trajectory.responding import ResponseSettings, intervention_response
    from ircohort.trajectory.specifications import fit_specification

__all__ = [
    "Comparison",
    "EventRule",
    "ModelSettings",
    "ResponseSettings",
    "Trajectory",
    "align",
    "compare_cohort",
    "find_events",
    "fit_specification",
    "foresee",
    "hidden_window",
    "intervention_response",
]

__getattr__ = loader(
    __name__,
    {
        "ResponseSettings": "responding",
        "align": "alignment",
        "compare_cohort": "comparing",
        "find_events": "alignment",
        "fit_specification": "specifications",
        "foresee": "foreseeing",
        "hidden_window": "finding",
        "intervention_response": "responding",
    },
)
