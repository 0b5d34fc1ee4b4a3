"""The cohort finding: time to an event, cases against a comparison group, onset, hidden window."""

from ircohort.trajectory.alignment import align
from ircohort.trajectory.modelling import hidden_window
from ircohort.trajectory.record import ModelSettings, Trajectory

__all__ = ["ModelSettings", "Trajectory", "align", "hidden_window"]
