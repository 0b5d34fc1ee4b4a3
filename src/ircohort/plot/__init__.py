"""The figures of ircohort, and how they are written to files.

Each function takes tables and gives a :class:`matplotlib.figure.Figure` that belongs to nobody else: pyplot's state
and the caller's ``rcParams`` are left alone. Bands come from the tables, never from a bootstrap of the plotting
library.
"""

from ircohort.plot.backward import hidden_window
from ircohort.plot.evaluation import detection_quality
from ircohort.plot.evaluation import schedules as visit_schedules
from ircohort.plot.individuals import trajectories
from ircohort.plot.landmark import after_landmark
from ircohort.plot.overview import distributions, plane
from ircohort.plot.saving import save_figure, to_png, to_svg

__all__ = [
    "after_landmark",
    "detection_quality",
    "distributions",
    "hidden_window",
    "plane",
    "save_figure",
    "to_png",
    "to_svg",
    "trajectories",
    "visit_schedules",
]
