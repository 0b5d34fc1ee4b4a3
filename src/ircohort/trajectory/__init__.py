"""The cohort finding: time to an event, cases against a comparison group, onset, hidden window."""

from typing import TYPE_CHECKING

from ircohort.lazily import loader
from ircohort.trajectory.record import ModelSettings, Trajectory

if TYPE_CHECKING:
    from ircohort.trajectory.alignment import align
    from ircohort.trajectory.modelling import hidden_window

__all__ = ["ModelSettings", "Trajectory", "align", "hidden_window"]

__getattr__ = loader(__name__, {"align": "alignment", "hidden_window": "modelling"})
